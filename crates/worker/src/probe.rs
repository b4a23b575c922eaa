//! Which accelerator to use: found out by booting the real guest, because a `/dev/kvm` that opens
//! proves nothing.
//!
//! The verdict is remembered for as long as nothing it depends on has changed: this boot of the
//! host, QEMU, and the guests' kernel. A guest that booted is not wasted: it is saved as the
//! zygote.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pe_proto::Arch;

use crate::config::AccelChoice;
use crate::host;
use crate::vm::StartError;
use crate::vm::qemu::{Accel, Launcher, Zygote};

/// What a verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// Architecture of host and guests.
    pub arch: Arch,
    /// What QEMU says to `--version`.
    pub qemu: String,
    /// Release of the guests' kernel.
    pub kernel: String,
    /// This boot of the host.
    pub boot: String,
}

/// Decides by what is known without booting. `None`: KVM has to be tried.
pub fn hint(choice: AccelChoice, circumstances: &Circumstances) -> Option<Accel> {
    match choice {
        AccelChoice::Kvm => Some(Accel::Kvm),
        AccelChoice::Tcg => Some(Accel::Tcg),
        AccelChoice::Auto => {
            let kvm = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
            let why = match (kvm, host::cpu_has_virtualisation(circumstances.arch)) {
                (true, true) => return None,
                (true, false) => "/dev/kvm opens, but the processor has neither vmx nor svm",
                (false, _) => "/dev/kvm cannot be opened",
            };
            tracing::info!(why, "guests are emulated");
            Some(Accel::Tcg)
        }
    }
}

/// Tries KVM with a deadline. A zygote is the proof.
pub async fn try_kvm(launcher: &Launcher) -> Result<Zygote, StartError> {
    let tried = Zygote::build(launcher, Accel::Kvm).await;
    if let Err(error) = &tried {
        let error = crate::chain(error);
        tracing::warn!(error, "kvm is there and does not run a guest; guests are emulated");
    }
    tried
}

/// A verdict on disk.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
}

/// Bytes of a verdict that are looked at.
const VERDICT_BYTES_MAX: u64 = 4096;

impl Memory {
    /// A verdict in a directory.
    pub fn in_dir(dir: &Path) -> Self {
        Self { path: dir.join("accel-verdict") }
    }

    /// The verdict under these very circumstances, if there is one.
    pub fn recall(&self, circumstances: &Circumstances) -> Option<Accel> {
        let mut text = String::new();
        let file = fs::File::open(&self.path).ok()?;
        file.take(VERDICT_BYTES_MAX).read_to_string(&mut text).ok()?;
        [Accel::Kvm, Accel::Tcg].into_iter().find(|accel| text == verdict(*accel, circumstances))
    }

    /// Keeps a verdict. Failing to is only slower the next time.
    pub fn keep(&self, accel: Accel, circumstances: &Circumstances) {
        let new = self.path.with_extension("new");
        let kept = fs::write(&new, verdict(accel, circumstances))
            .and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = kept {
            tracing::warn!(path = %self.path.display(), %error, "verdict about kvm not kept");
        }
    }
}

fn verdict(accel: Accel, circumstances: &Circumstances) -> String {
    let Circumstances { arch, qemu, kernel, boot } = circumstances;
    format!("{}\n{arch}\n{qemu}\n{kernel}\n{boot}\n", accel.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_holds_until_something_it_depends_on_changes() {
        let dir = tempfile::tempdir().expect("tempdir");
        let memory = Memory::in_dir(dir.path());
        let here = Circumstances {
            arch: Arch::X86_64,
            qemu: "QEMU emulator version 7.2".to_owned(),
            kernel: "6.1".to_owned(),
            boot: "a".to_owned(),
        };
        assert_eq!(memory.recall(&here), None);
        memory.keep(Accel::Tcg, &here);
        assert_eq!(memory.recall(&here), Some(Accel::Tcg));
        for other in [
            Circumstances { boot: "b".to_owned(), ..here.clone() },
            Circumstances { kernel: "6.2".to_owned(), ..here.clone() },
            Circumstances { qemu: "10".to_owned(), ..here.clone() },
        ] {
            assert_eq!(memory.recall(&other), None);
        }
        memory.keep(Accel::Kvm, &here);
        assert_eq!(memory.recall(&here), Some(Accel::Kvm));
        std::fs::write(dir.path().join("accel-verdict"), "kvm\n").expect("write");
        assert_eq!(memory.recall(&here), None);
    }

    #[test]
    fn an_explicit_choice_is_not_questioned() {
        let here = Circumstances {
            arch: Arch::X86_64,
            qemu: String::new(),
            kernel: String::new(),
            boot: String::new(),
        };
        assert_eq!(hint(AccelChoice::Tcg, &here), Some(Accel::Tcg));
        assert_eq!(hint(AccelChoice::Kvm, &here), Some(Accel::Kvm));
    }
}
