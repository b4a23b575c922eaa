//! The machine as far as figures depend on it; never its name.

use std::fs;
use std::process::Command;

/// Which core is whose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    /// The server under test.
    pub(crate) server: usize,
    /// Load, workers and backend.
    pub(crate) load: usize,
}

/// Cores, processor, kernel, in a sentence.
pub(crate) fn told() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model).trim();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: Vec<&str> = kernel.trim().split(['.', '-']).take(2).collect();
    format!("{cores} cores ({model}), Linux {}", kernel.join("."))
}

/// Today, as the system's `date` writes it.
pub(crate) fn today() -> String {
    said("date", &["+%Y-%m-%d"])
}

/// What a program says about its version: the first thing like `1.2.3` in it.
pub(crate) fn version(program: &str, flag: &str) -> String {
    let text = said(program, &[flag]);
    let is_version =
        |word: &&str| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.');
    let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'));
    words.find(is_version).unwrap_or("?").to_owned()
}

fn said(program: &str, args: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(args).output() else {
        return String::new();
    };
    // nginx and varnishd tell their version on standard error.
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}
