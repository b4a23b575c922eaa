//! What goes in arrives, and what comes out comes back, byte for byte.

use anyhow::{Context as _, ensure};
use pe_e2e::client::{self, Job};
use pe_e2e::lab::Lab;
use pe_proto::Outcome;

use crate::labs::Labs;

crate::scenarios![
    a_c_program_is_compiled_and_run,
    args_env_cwd_and_stdin_reach_the_program_exactly,
    an_image_without_a_path_gets_the_default_one,
    nested_inputs_executables_and_empty_directories_are_there,
    every_byte_value_comes_back_on_every_way_out,
    empty_files_and_unicode_names_survive_both_ways,
    outputs_patterns_return_new_files_of_the_working_directory,
    symbolic_links_come_back_as_links_and_are_not_followed,
    names_that_are_not_utf8_are_spelt_out_and_lose_no_others,
    exit_codes_that_shells_and_runtimes_bend_come_back_as_they_were,
    signals_are_told_from_exit_codes,
    user_entrypoint_and_workdir_of_an_image_hold,
    sixteen_mebibytes_go_in_and_come_out,
    the_result_says_where_it_ran_and_where_the_time_went,
];

const EXITED: Outcome = Outcome::Exited { code: 0 };

fn a_c_program_is_compiled_and_run(labs: &Labs) -> anyhow::Result<()> {
    let source = br#"#include <stdio.h>
int main(void) { int c, n = 0; while ((c = getchar()) != EOF) n += c; printf("sum %d\n", n); return 7; }
"#;
    let job = Job::new("gcc", &["sh", "-c", "gcc -O1 main.c -o /output/a.out && /output/a.out"])
        .file("main.c", source)
        .stdin(&[1, 2, 3, 250]);
    let answer = labs.common()?.client.run(job)?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 7 }, "{answer:?}");
    ensure!(client::stdout_text(&answer)? == "sum 256\n", "{answer:?}");
    ensure!(client::file(&answer, "a.out")?.starts_with(b"\x7fELF"));
    ensure!(answer.files.get("a.out").is_some_and(|file| file.executable));
    Ok(())
}

/// Prints everything a program is given, as Python writes bytes.
const MIRROR: &str = "import os, sys
print(os.getcwdb())
print([os.fsencode(arg) for arg in sys.argv[1:]])
print(sorted(os.environb.items()))
print(sys.stdin.buffer.read())";

fn args_env_cwd_and_stdin_reach_the_program_exactly(labs: &Labs) -> anyhow::Result<()> {
    let args = [
        "python3",
        "-c",
        MIRROR,
        "",
        " two words ",
        "new\nline",
        "=",
        "\u{1f980}",
        "$HOME `x` 'q'\"",
    ];
    let job = Job::new("python", &args)
        .env("PE_EMPTY", "")
        .env("PE_LINES", "a\nb=c")
        .env("PATH", "/usr/bin:/bin")
        .stdin(b"bytes \0\xff\xfe\r\n")
        .with(|job| job.cwd = Some("/tmp/a b/\u{fc}".to_owned()));
    let answer = labs.common()?.client.run(job)?;
    let text = client::stdout_text(&answer)?;
    ensure!(answer.head.outcome == EXITED, "{answer:?}");
    let lines: Vec<&str> = text.lines().collect();
    ensure!(lines.first() == Some(&r"b'/tmp/a b/\xc3\xbc'"), "{text}");
    let args =
        r#"[b'', b' two words ', b'new\nline', b'=', b'\xf0\x9f\xa6\x80', b'$HOME `x` \'q\'"']"#;
    ensure!(lines.get(1) == Some(&args), "{text}");
    let env = lines.get(2).copied().unwrap_or_default();
    ensure!(env.contains(r"(b'PE_EMPTY', b'')"), "{text}");
    ensure!(env.contains(r"(b'PE_LINES', b'a\nb=c')"), "{text}");
    ensure!(env.contains(r"(b'PATH', b'/usr/bin:/bin')"), "{text}");
    ensure!(lines.get(3) == Some(&r"b'bytes \x00\xff\xfe\r\n'"), "{text}");
    Ok(())
}

fn an_image_without_a_path_gets_the_default_one(labs: &Labs) -> anyhow::Result<()> {
    let answer = labs.common()?.client.run(Job::new("busybox", &["env"]))?;
    let text = client::stdout_text(&answer)?;
    ensure!(text.lines().any(|line| line.starts_with("PATH=/usr/local/sbin:")), "{text}");
    // Nothing of ours or of the host's shows up in a program's environment.
    for line in text.lines() {
        let name = line.split('=').next().unwrap_or_default();
        ensure!(["PATH", "HOME", "SHLVL", "PWD", "HOSTNAME"].contains(&name), "{text}");
    }
    Ok(())
}

fn nested_inputs_executables_and_empty_directories_are_there(labs: &Labs) -> anyhow::Result<()> {
    let job = Job::shell("./bin/tool.sh; ls -d a/b/c/deep.txt empty; stat -c %a bin/tool.sh plain.txt; touch a/b/beside")
        .executable("bin/tool.sh", b"#!/bin/sh\necho ran in $PWD\n")
        .file("a/b/c/deep.txt", b"deep")
        .file("plain.txt", b"plain")
        .directory("empty");
    let answer = labs.common()?.client.run(job)?;
    let text = client::stdout_text(&answer)?;
    ensure!(answer.head.outcome == EXITED, "{answer:?}");
    let expected = "ran in /input\na/b/c/deep.txt\nempty\n755\n644\n";
    ensure!(text == expected, "{text}");
    Ok(())
}

fn every_byte_value_comes_back_on_every_way_out(labs: &Labs) -> anyhow::Result<()> {
    // A length that is no multiple of anything, and a cut in the middle of UTF-8 sequences.
    let bytes: Vec<u8> = (0..=255u8).cycle().skip(77).take(70_001).collect();
    let job = Job::shell("cat all; cat all >&2; cp all /output/copy; cat > /output/stdin")
        .file("all", &bytes)
        .stdin(&bytes);
    let answer = labs.common()?.client.run(job)?;
    ensure!(client::stdout(&answer)? == bytes, "stdout differs");
    ensure!(answer.stderr.clone().into_bytes()? == bytes, "stderr differs");
    ensure!(client::file(&answer, "copy")? == bytes, "file differs");
    ensure!(client::file(&answer, "stdin")? == bytes, "stdin differs");
    Ok(())
}

fn empty_files_and_unicode_names_survive_both_ways(labs: &Labs) -> anyhow::Result<()> {
    let names =
        ["empty", "\u{e9}t\u{e9}/na\u{ef}ve \u{1f600}.txt", "-dash", "with space/\u{65e5}\u{672c}"];
    let job = names.iter().fold(Job::shell("cp -r . /output/"), |job, name| job.file(name, b""));
    let answer = labs.common()?.client.run(job)?;
    ensure!(answer.head.outcome == EXITED, "{answer:?}");
    for name in names {
        ensure!(client::file(&answer, name)?.is_empty());
    }
    ensure!(answer.files.len() == names.len(), "{:?}", answer.files.keys());
    Ok(())
}

fn outputs_patterns_return_new_files_of_the_working_directory(labs: &Labs) -> anyhow::Result<()> {
    let script = "echo new > made.o; mkdir -p sub; echo deep > sub/deep.o; echo no > made.txt; \
                  echo changed > old.o; echo from-output > /output/both.o; echo here > both.o";
    let job = Job::shell(script)
        .file("same.o", b"same")
        .file("old.o", b"old")
        .with(|job| job.outputs = vec!["*.o".to_owned(), "sub/**".to_owned()]);
    let answer = labs.common()?.client.run(job)?;
    let names: Vec<&String> = answer.files.keys().collect();
    ensure!(names == ["both.o", "made.o", "old.o", "sub/deep.o"], "{names:?}");
    ensure!(client::file(&answer, "both.o")? == b"from-output\n");
    ensure!(client::file(&answer, "old.o")? == b"changed\n");
    Ok(())
}

fn symbolic_links_come_back_as_links_and_are_not_followed(labs: &Labs) -> anyhow::Result<()> {
    let script = "cd /output; ln -s /etc/passwd secret; ln -s nowhere/../x dangling; ln -s . loop; \
                  mkfifo pipe; echo a > real; ln real hard";
    let answer = labs.common()?.client.run(Job::shell(script))?;
    for (name, target) in [("secret", "/etc/passwd"), ("dangling", "nowhere/../x"), ("loop", ".")] {
        ensure!(answer.files.get(name).is_some_and(|file| file.symlink), "{name}: {answer:?}");
        ensure!(client::file(&answer, name)? == target.as_bytes());
    }
    ensure!(client::file(&answer, "hard")? == b"a\n");
    ensure!(!answer.files.contains_key("pipe"));
    ensure!(answer.head.notes.iter().any(|note| note.contains("pipe")), "{:?}", answer.head.notes);
    Ok(())
}

fn names_that_are_not_utf8_are_spelt_out_and_lose_no_others(labs: &Labs) -> anyhow::Result<()> {
    let script = r"import os
os.chdir(b'/output')
open(b'b\xff', 'w').write('bytes')
open(b'a\\xff', 'w').write('backslash')
os.mkdir(b'a\xff')
open(b'a\xff/x', 'w').write('below')
open(b'z', 'w').write('last')";
    let answer = labs.common()?.client.run(Job::new("python", &["python3", "-c", script]))?;
    ensure!(answer.head.outcome == EXITED, "{answer:?}");
    ensure!(client::file(&answer, r"b\xff")? == b"bytes", "{answer:?}");
    ensure!(client::file(&answer, "z")? == b"last", "{answer:?}");
    ensure!(!answer.head.notes.is_empty(), "{answer:?}");
    Ok(())
}

fn exit_codes_that_shells_and_runtimes_bend_come_back_as_they_were(
    labs: &Labs,
) -> anyhow::Result<()> {
    // The whole range is walked in `many`; these are the ones that shells and runtimes bend.
    let lab = labs.common()?;
    for code in [0, 1, 2, 125, 126, 127, 128, 130, 137, 143, 254, 255] {
        let answer = lab.client.run(Job::shell(&format!("exit {code}")))?;
        ensure!(answer.head.outcome == Outcome::Exited { code }, "{code}: {answer:?}");
    }
    Ok(())
}

fn signals_are_told_from_exit_codes(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    for signal in [1u8, 2, 6, 9, 11, 13, 15] {
        let script = format!("import os; os.kill(os.getpid(), {signal})");
        // Python turns SIGINT and SIGPIPE into something else unless told not to.
        let script = format!(
            "import signal; signal.signal({signal}, signal.SIG_DFL) if {signal} != 9 else 0\n{script}"
        );
        let answer = lab.client.run(Job::new("python", &["python3", "-c", &script]))?;
        ensure!(answer.head.outcome == Outcome::Signaled { signal }, "{signal}: {answer:?}");
    }
    Ok(())
}

fn user_entrypoint_and_workdir_of_an_image_hold(_: &Labs) -> anyhow::Result<()> {
    let mut lab = Lab::with_catalogue(|catalogue| {
        let platforms = catalogue.images.iter_mut().flat_map(|image| &mut image.platforms);
        for config in platforms.map(|platform| &mut platform.config) {
            config.user = "user".to_owned();
            config.entrypoint = vec!["sh".to_owned(), "-c".to_owned()];
            config.workdir = "/tmp".to_owned();
        }
    })?;
    lab.start_worker("users", 1)?;
    lab.worker()?.wait_ready(1)?;
    let script = "id -un; id -u; pwd; echo x > /output/mine; cat /input/given; \
                  echo more >> /input/given || echo no; touch /bin/x 2>/dev/null || echo kept";
    let job = Job::new("busybox", &[script]).file("given", b"given\n");
    let answer = lab.client.run(job).context(lab.logs())?;
    let expected = "user\n1000\n/tmp\ngiven\nkept\n";
    ensure!(client::stdout_text(&answer)? == expected, "{answer:?}");
    ensure!(client::file(&answer, "mine")? == b"x\n");

    // The job's entrypoint wins.
    let job =
        Job::new("busybox", &["hi"]).with(|job| job.entrypoint = Some(vec!["echo".to_owned()]));
    ensure!(client::stdout_text(&lab.client.run(job)?)? == "hi\n");
    Ok(())
}

fn sixteen_mebibytes_go_in_and_come_out(labs: &Labs) -> anyhow::Result<()> {
    let bytes: Vec<u8> =
        (0u32..4_180_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let job = Job::shell("cp big /output/big; sha256sum big")
        .file("big", &bytes)
        .with(|job| job.limits.output_bytes = Some(16 << 20));
    let answer = labs.common()?.client.run(job)?;
    ensure!(answer.head.truncated.is_empty(), "{:?}", answer.head);
    ensure!(client::file(&answer, "big")? == bytes, "16 MiB differ");
    let digest = pe_proto::Digest::of(&bytes).hex();
    ensure!(client::stdout_text(&answer)?.starts_with(&digest));
    Ok(())
}

fn the_result_says_where_it_ran_and_where_the_time_went(labs: &Labs) -> anyhow::Result<()> {
    let answer = labs
        .common()?
        .client
        .run(Job::shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"))?;
    let head = &answer.head;
    let ran_on = head.ran_on.clone().ok_or_else(|| anyhow::anyhow!("no ran_on"))?;
    ensure!(ran_on.worker == "worker-0" && ran_on.arch == pe_proto::Arch::X86_64, "{ran_on:?}");
    let vmm = ["qemu", "cloud-hypervisor"].iter().any(|name| ran_on.vmm.starts_with(name));
    ensure!(!ran_on.kernel.is_empty() && !ran_on.cpu.is_empty() && vmm, "{ran_on:?}");
    let phases = head.phases;
    let inside =
        phases.mount_us + phases.unpack_us + phases.start_us + phases.run_us + phases.collect_us;
    ensure!(phases.run_us > 0 && inside <= phases.total_us, "{phases:?}");
    ensure!(head.usage.user_us > 0 && head.usage.max_rss_bytes > 0, "{:?}", head.usage);
    ensure!(head.usage.wall_us >= head.usage.user_us / 2, "{:?}", head.usage);
    Ok(())
}
