//! The command line client of Program Explorer, binary `pe`.
//!
//! It turns arguments into one request to the load balancer and the answer into bytes on its own
//! streams, files below `--out`, and an exit status. It trusts no server: an answer is parsed
//! within the bounds of `proto`, and nothing in it can write outside `--out`. It ends when the
//! answer is delivered, or at once on Ctrl-C; dropping the connection cancels the job.
//!
//! Suggested reading order: [`arguments`], [`request`], [`inputs`], [`client`], [`answer`],
//! [`out_dir`], [`exit_status`], [`replay`], [`words`], [`admin`], [`commands`].

#![forbid(unsafe_code)]

pub mod limits;

pub mod arguments;
mod help;
pub mod units;

pub mod inputs;
pub mod request;

pub mod admin;
pub mod answer;
pub mod client;
pub mod key;
pub mod server;

pub mod exit_status;
pub mod json;
pub mod out_dir;
pub mod progress;
pub mod replay;
pub mod table;
pub mod timings;
pub mod words;

pub mod commands;

use std::ffi::OsString;
use std::io::Write as _;

use clap::Parser as _;

/// Parses the arguments, does what they say, and returns the exit status.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match arguments::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(stop) => {
            // Also `--help` and `--version`, which go to stdout with status 0. A closed pipe
            // behind them is nobody's error.
            let _ = stop.print();
            if let Some(hint) = arguments::hint(&stop) {
                let _ = writeln!(std::io::stderr().lock(), "\n{hint}");
            }
            return u8::try_from(stop.exit_code()).unwrap_or(exit_status::USAGE);
        }
    };
    commands::execute(cli.command)
}
