//! What `deploy/` promises: the files there are read by the programs that they are for. A program
//! that is not installed is looked for below `build/tools` (`vm-assets/tools.sh`); if it is not there
//! either, its test is skipped, and says so.

mod front;
mod judges;
mod samples;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn deployed(name: &str) -> String {
    std::fs::read_to_string(repository("deploy").join(name)).expect("a file of deploy/")
}

/// Where a program is, if it is.
fn tool(name: &str, version: &str) -> Option<PathBuf> {
    let below = |folder: &str| repository("build/tools/usr").join(folder).join(name);
    let places = [PathBuf::from(name), below("bin"), below("sbin")];
    let is_there = |program: &PathBuf| {
        let mut ask = Command::new(program);
        let asked = ask.arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    let found = places.into_iter().find(is_there);
    if found.is_none() {
        let told = format!("SKIPPED: {name} is not installed (vm-assets/tools.sh)");
        let _ = writeln!(std::io::stderr(), "{told}");
    }
    found
}

/// Runs a judge; its complaints.
fn judged(judge: &mut Command) -> Result<(), String> {
    let output = judge.output().expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into()) }
}
