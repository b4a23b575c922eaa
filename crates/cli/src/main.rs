//! `pe`: the command line client. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // `pe` starts itself for what it does not trust itself with: unpacking the layers of images.
    if let Some(ended) = pe_image::confined::run_if_asked() {
        return ended;
    }
    ExitCode::from(pe_cli::main(std::env::args_os()))
}
