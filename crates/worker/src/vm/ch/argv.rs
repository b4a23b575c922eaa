//! cloud-hypervisor's command line. Pure: descriptors come in as numbers, words go out.
//!
//! A restored VM takes its machine from what was saved, which names every file as
//! `/proc/self/fd/N`: the numbers of a zygote's files and of a restored VM's are the same ones.

use std::os::fd::RawFd;
use std::path::Path;

use crate::vm::KERNEL_WORDS;
use crate::vm::launch::fd_path;

/// How the guest's memory gets into a restored VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restore {
    /// Mapped privately from one file for all: shared until it is written to.
    Private,
    /// Copied by a thread of the VMM where the guest touches it.
    OnDemand,
    /// Copied before the guest goes on.
    Copy,
}

impl Restore {
    /// Name, as in config and logs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::OnDemand => "ondemand",
            Self::Copy => "copy",
        }
    }
}

/// Where a booted guest's memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// The VMM's own.
    Anonymous,
    /// The VMM's own memfd: what the guest never touched is a hole in what is saved.
    Sparse,
    /// A file that is itself what is saved.
    File(RawFd),
}

/// How it begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin<'a> {
    /// With a kernel and its initramfs.
    Kernel { kernel: RawFd, initramfs: RawFd, memory: Memory },
    /// With a saved state in a directory.
    Saved { dir: &'a Path, restore: Restore, words: RestoreWords },
}

/// What this version can be told about a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RestoreWords {
    /// To let the guest go on by itself.
    pub(super) resume: bool,
    /// How to fill memory.
    pub(super) mode: bool,
}

/// The machine of a VM.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) memory_mib: u64,
    pub(super) api: RawFd,
    pub(super) io: RawFd,
    pub(super) packs: Vec<RawFd>,
}

impl Machine {
    /// All words after the program's name.
    pub(super) fn argv(&self, begin: Begin<'_>) -> Vec<String> {
        let mut words = vec![option("--api-socket", format!("fd={}", self.api))];
        words.push(option("--seccomp", "true".to_owned()));
        match begin {
            Begin::Kernel { kernel, initramfs, memory } => {
                words.push(option("--kernel", fd_path(kernel)));
                words.push(option("--initramfs", fd_path(initramfs)));
                words.push(option("--cmdline", KERNEL_WORDS.to_owned()));
                // A guest has no use for guests of its own.
                words.push(option("--cpus", "boot=1,nested=off".to_owned()));
                words.push(self.memory(memory));
                words.push(option("--serial", "tty".to_owned()));
                words.push(option("--console", "off".to_owned()));
                words.push(self.pmem());
            }
            Begin::Saved { dir, restore, words: known } => {
                let mut value = format!("source_url=file://{}", dir.display());
                if known.mode {
                    value.push_str(",memory_restore_mode=");
                    value.push_str(match restore {
                        // There is nothing to copy: no memory was saved beside the file.
                        Restore::Private | Restore::Copy => "copy",
                        Restore::OnDemand => "ondemand",
                    });
                }
                if known.resume {
                    value.push_str(",resume=true");
                }
                words.push(option("--restore", value));
            }
        }
        words.concat()
    }

    fn memory(&self, memory: Memory) -> Vec<String> {
        let mib = self.memory_mib;
        match memory {
            Memory::Anonymous => option("--memory", format!("size={mib}M")),
            Memory::Sparse => option("--memory", format!("size={mib}M,shared=on")),
            Memory::File(fd) => {
                let zone = format!("id=ram,size={mib}M,file={},shared=on", fd_path(fd));
                [option("--memory", "size=0".to_owned()), option("--memory-zone", zone)].concat()
            }
        }
    }

    /// The io file, shared with the worker, and the packs, which the guest changes for itself.
    fn pmem(&self) -> Vec<String> {
        let mut words = option("--pmem", format!("file={}", fd_path(self.io)));
        for pack in &self.packs {
            words.push(format!("file={},discard_writes=on", fd_path(*pack)));
        }
        words
    }
}

fn option(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine { memory_mib: 512, api: 200, io: 201, packs: vec![202, 203] }
    }

    const V52: RestoreWords = RestoreWords { resume: true, mode: true };

    fn restored(restore: Restore, words: RestoreWords) -> String {
        let dir = Path::new("/run/z");
        machine().argv(Begin::Saved { dir, restore, words }).join(" ")
    }

    #[test]
    fn a_zygote_is_booted_with_these_words() {
        let begin = Begin::Kernel { kernel: 206, initramfs: 205, memory: Memory::File(204) };
        let words = machine().argv(begin).join(" ");
        assert_eq!(
            words,
            format!(
                "--api-socket fd=200 --seccomp true --kernel /proc/self/fd/206 \
                 --initramfs /proc/self/fd/205 --cmdline {KERNEL_WORDS} \
                 --cpus boot=1,nested=off --memory size=0 \
                 --memory-zone id=ram,size=512M,file=/proc/self/fd/204,shared=on \
                 --serial tty --console off --pmem file=/proc/self/fd/201 \
                 file=/proc/self/fd/202,discard_writes=on \
                 file=/proc/self/fd/203,discard_writes=on"
            )
        );
    }

    #[test]
    fn memory_that_is_to_be_copied_is_saved_with_holes() {
        for (memory, word) in
            [(Memory::Anonymous, "size=512M"), (Memory::Sparse, "size=512M,shared=on")]
        {
            let words = machine().argv(Begin::Kernel { kernel: 9, initramfs: 8, memory });
            let at = words.iter().position(|word| word == "--memory").expect("memory");
            assert_eq!(words[at + 1], word);
            assert!(!words.contains(&"--memory-zone".to_owned()));
        }
    }

    #[test]
    fn an_older_version_is_not_told_what_it_does_not_know() {
        let start = "--api-socket fd=200 --seccomp true --restore source_url=file:///run/z";
        let mode = ",memory_restore_mode=";
        assert_eq!(restored(Restore::Copy, V52), format!("{start}{mode}copy,resume=true"));
        assert_eq!(restored(Restore::Private, V52), format!("{start}{mode}copy,resume=true"));
        assert_eq!(restored(Restore::OnDemand, V52), format!("{start}{mode}ondemand,resume=true"));
        let v50 = RestoreWords { resume: false, mode: false };
        assert_eq!(restored(Restore::Copy, v50), start);
    }

    #[test]
    fn packs_are_never_opened_for_writing() {
        let words =
            machine().argv(Begin::Kernel { kernel: 9, initramfs: 8, memory: Memory::Sparse });
        for pack in ["fd/202", "fd/203"] {
            let word = words.iter().find(|word| word.contains(pack)).expect("pack");
            assert!(word.ends_with(",discard_writes=on"), "{word}");
        }
        assert!(!words.iter().any(|word| word == "--disk" || word == "--net"));
    }
}
