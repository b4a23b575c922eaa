//! The binary `pe` against a scripted server on a real socket.
//!
//! The server is a thread that reads one request per connection and writes scripted bytes, so
//! that it can say what no good server says.

mod admin;
mod forms;
mod hostile;
mod image;
mod problems;
mod questions;
mod registry;
mod replay;
mod running;
mod server;
mod waiting;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use server::Scripted;

/// `pe` with the command's name, the server, and nothing from the environment of the tests.
fn pe(command: &str, server: &Scripted) -> Command {
    let mut pe = bare_pe();
    pe.args([command, "--server", &server.url()]);
    pe
}

fn bare_pe() -> Command {
    let mut pe = Command::new(env!("CARGO_BIN_EXE_pe"));
    pe.env_remove("PE_SERVER").env_remove("PE_ADMIN").env_remove("PE_ADMIN_TOKEN_FILE");
    pe.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    pe
}

/// Runs it to its end.
fn output(pe: &mut Command) -> Output {
    pe.output().expect("pe starts")
}

/// Status, stdout and stderr, where both are text.
fn texts(output: &Output) -> (Option<i32>, &str, &str) {
    (
        output.status.code(),
        std::str::from_utf8(&output.stdout).expect("text"),
        std::str::from_utf8(&output.stderr).expect("text"),
    )
}

/// All files and links below a directory, as sorted relative paths.
fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).expect("readable") {
            let entry = entry.expect("entry");
            if entry.file_type().expect("type").is_dir() {
                left.push(entry.path());
            } else {
                let path = entry.path();
                let path = path.strip_prefix(root).expect("below the root");
                found.push(path.to_str().expect("text").to_owned());
            }
        }
    }
    found.sort();
    found
}
