//! The same walls for an ordinary user, who makes them in a namespace of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::Case;

/// Nobody, who has no files and no subordinate ids.
const NOBODY: &str = "65534";

/// All hostile layers, and a look at the process that unpacks, by this program as an ordinary user.
/// Whoever runs the tests as one has done all that by then.
fn hostile_layers_are_held_for_an_ordinary_user_as_for_root() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("tempdir");
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o1777)).expect("mode");
    // Where this program is, nobody may not be.
    let program = dir.path().join("trees");
    fs::copy(std::env::current_exe().expect("path"), &program).expect("copy");
    let as_nobody = |program: &std::ffi::OsStr| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]).arg(program);
        command.current_dir(&dir).env("TMPDIR", dir.path());
        command
    };
    let allowed = as_nobody("unshare".as_ref()).args(["-Ur", "true"]).output();
    if !allowed.is_ok_and(|it| it.status.success()) {
        eprintln!("SKIPPED: unpacking by an ordinary user, who may have no namespaces here");
        return;
    }
    for filter in ["attacks::case_28", "packs::", "growing::"] {
        let done = as_nobody(program.as_ref()).arg(filter).output().expect("it starts");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
        assert!(said.contains("test result: ok") && !said.contains(" 0 passed"), "{said}");
    }
}

pub(crate) fn all() -> Vec<Case> {
    vec![(
        "ordinary::hostile_layers_are_held_for_an_ordinary_user_as_for_root",
        hostile_layers_are_held_for_an_ordinary_user_as_for_root,
    )]
}
