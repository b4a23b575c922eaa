//! What `/proc` says of a process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;

pub(crate) fn proc(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

/// A field of `/proc/PID/status`.
pub(crate) fn field<'a>(status: &'a str, name: &str) -> Vec<&'a str> {
    let line = status.lines().find(|line| line.starts_with(name)).expect("field");
    line.split_whitespace().skip(1).collect()
}

/// What a process has open, without numbers that differ from run to run.
pub(crate) fn open_kinds(pid: u32) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for link in fs::read_dir(format!("/proc/{pid}/fd")).expect("proc").flatten() {
        let target = fs::read_link(link.path()).expect("link").to_string_lossy().into_owned();
        let kind = match target.split_once(":[") {
            Some(("pipe" | "socket", _)) => target.split(':').next().unwrap_or_default().to_owned(),
            None if target.ends_with(".erofs") => "a pack".to_owned(),
            None if target.starts_with("/dev/pts/") => "a terminal".to_owned(),
            Some(_) | None => target,
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// Memory files by inode, open or mapped.
pub(crate) fn memory_files(pid: u32) -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    for link in fs::read_dir(format!("/proc/{pid}/fd")).expect("proc").flatten() {
        let name = fs::read_link(link.path()).expect("link").to_string_lossy().into_owned();
        if name.starts_with("/memfd:") {
            found.insert((name, fs::metadata(link.path()).expect("open").ino()));
        }
    }
    for line in proc(pid, "maps").lines() {
        let mut words = line.split_whitespace().skip(4);
        if let (Some(inode), Some(name)) = (words.next(), words.next()) {
            if name.starts_with("/memfd:") {
                found.insert((format!("{name} (deleted)"), inode.parse().expect("inode")));
            }
        }
    }
    found
}
