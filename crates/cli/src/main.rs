//! `pe`: the command line client. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(pe_cli::main(std::env::args_os()))
}
