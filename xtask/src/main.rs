//! The repository's own checks and chores, run as `cargo xtask <what>`.
//!
//! It reads the checkout it was built from and writes nothing but what a chore is for.

mod check;
mod markdown;
mod packages;
mod repo;
mod rust_text;
mod seeds;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

const USAGE: &str = "usage: cargo xtask check|seeds

  check   architecture rules: dependency arrows, protocol citations, links, layout, dependencies, threats
  seeds   write every golden vector of pe-proto into the corpus of its fuzz target
";

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let repo = repo::Repo::this()?;
    match arguments.as_slice() {
        ["check"] => report(&check::all(&repo)?),
        ["seeds"] => {
            let written = seeds::write(&repo)?;
            say(&format!("{written} seeds written\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            say(USAGE)?;
            Ok(ExitCode::from(64))
        }
    }
}

fn report(problems: &[check::Problem]) -> anyhow::Result<ExitCode> {
    for problem in problems {
        say(&format!("{problem}\n"))?;
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("writing to standard output")
}
