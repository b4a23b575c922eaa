//! The command line, as people type it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use anyhow::ensure;
use pe_e2e::lab::Lab;
use pe_e2e::paths;

use crate::labs::Labs;

crate::scenarios![
    pe_run_compiles_c_and_passes_the_exit_status_on,
    pe_run_takes_directories_and_writes_returned_files,
    pe_run_says_plainly_what_went_wrong,
];

fn pe(lab: &Lab, args: &[&str], stdin: Stdio) -> anyhow::Result<Output> {
    let out = Command::new(paths::binary("pe")?)
        .arg(args.first().copied().unwrap_or("help"))
        .args(["--server", &lab.client.url])
        .args(args.iter().skip(1))
        .current_dir(lab.scratch())
        .stdin(stdin)
        .output()?;
    Ok(out)
}

fn pe_run_compiles_c_and_passes_the_exit_status_on(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let source = "#include <stdio.h>\nint main(void) { char name[64]; \
                  if (scanf(\"%63s\", name) == 1) printf(\"hello %s\\n\", name); return 42; }\n";
    fs::write(lab.scratch().join("main.c"), source)?;
    fs::write(lab.scratch().join("name"), "world\n")?;
    let script = "gcc main.c -o /output/a.out && /output/a.out";
    let args = [
        "run", "--image", "gcc", "--wall", "120s", "--file", "main.c", "--stdin", "name", "--",
        "sh", "-c", script,
    ];
    let out = pe(&lab, &args, Stdio::null())?;
    ensure!(out.status.code() == Some(42), "{out:?}");
    ensure!(out.stdout == b"hello world\n", "{out:?}");
    Ok(())
}

fn pe_run_takes_directories_and_writes_returned_files(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let tree = lab.scratch().join("tree");
    fs::create_dir_all(tree.join("nested/empty"))?;
    fs::write(
        tree.join("nested/tool"),
        "#!/bin/sh\necho \"$GREETING\"; cp -r tree /output/copy\n",
    )?;
    fs::set_permissions(tree.join("nested/tool"), fs::Permissions::from_mode(0o755))?;
    let args = [
        "run",
        "--image",
        "busybox",
        "--wall",
        "120s",
        "--file",
        "tree",
        "--env",
        "GREETING=good morning",
        "--out",
        "got",
        "--",
        "tree/nested/tool",
    ];
    let out = pe(&lab, &args, Stdio::null())?;
    ensure!(out.status.success() && out.stdout == b"good morning\n", "{out:?}");
    let tool = lab.scratch().join("got/copy/nested/tool");
    ensure!(fs::read(&tool)? == fs::read(tree.join("nested/tool"))?);
    ensure!(fs::metadata(&tool)?.permissions().mode() & 0o111 != 0, "not executable");
    ensure!(lab.scratch().join("got/copy/nested/empty").is_dir());
    Ok(())
}

fn pe_run_says_plainly_what_went_wrong(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let cases: [(&[&str], i32, &str); 5] = [
        (&["run", "--image", "no-such-image", "--", "true"], 125, "no-such-image"),
        (
            &["run", "--image", "busybox", "--wall", "120s", "--", "no-such-program"],
            127,
            "no-such-program",
        ),
        (&["run", "--image", "busybox", "--wall", "2s", "--", "sleep", "100"], 124, "timed out"),
        (&["run", "--image", "busybox", "--file", "not-there.c", "--", "true"], 2, "not-there.c"),
        (&["run", "--image", "busybox", "--wall", "999h", "--", "true"], 125, "wall"),
    ];
    for (args, code, word) in cases {
        let out = pe(&lab, args, Stdio::null())?;
        let message = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(out.status.code() == Some(code), "{args:?}: {out:?}");
        ensure!(message.contains(word) && message.starts_with("pe: "), "{args:?}: {message}");
    }
    Ok(())
}
