//! Which VMM and which accelerator to use: found out by booting the real guest, because a
//! `/dev/kvm` that opens proves nothing.
//!
//! What is known without booting makes a list, best first; the first of it that boots a guest is
//! taken. The verdict is remembered for as long as nothing it depends on has changed: this boot of
//! the host, the VMMs, and the guests' kernel. It only shortens the list, from its beginning: what
//! worked once and fails now does not keep the rest from being tried. A guest that booted is not
//! wasted: it is saved as the zygote.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pe_proto::Arch;

use crate::config::{AccelChoice, VmmChoice};
use crate::host;
use crate::vm::accel::Accel;

/// A way to run guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate {
    /// cloud-hypervisor, which needs KVM.
    CloudHypervisor,
    /// QEMU.
    Qemu(Accel),
}

impl Candidate {
    /// All, best first.
    pub const ALL: [Self; 3] =
        [Self::CloudHypervisor, Self::Qemu(Accel::Kvm), Self::Qemu(Accel::Tcg)];

    /// Name, as told to the LB.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CloudHypervisor => "cloud-hypervisor-kvm",
            Self::Qemu(Accel::Kvm) => "qemu-kvm",
            Self::Qemu(Accel::Tcg) => "qemu-tcg",
        }
    }

    /// What executes its guests.
    pub fn accel(self) -> Accel {
        match self {
            Self::CloudHypervisor => Accel::Kvm,
            Self::Qemu(accel) => accel,
        }
    }

    fn fits(self, vmm: VmmChoice, accel: AccelChoice) -> bool {
        let vmm = match vmm {
            VmmChoice::Auto => true,
            VmmChoice::CloudHypervisor => self == Self::CloudHypervisor,
            VmmChoice::Qemu => self != Self::CloudHypervisor,
        };
        vmm && match accel {
            AccelChoice::Auto => true,
            AccelChoice::Kvm => self.accel() == Accel::Kvm,
            AccelChoice::Tcg => self.accel() == Accel::Tcg,
        }
    }
}

/// What a verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// Architecture of host and guests.
    pub arch: Arch,
    /// What the VMMs say to `--version`.
    pub vmms: String,
    /// Release of the guests' kernel.
    pub kernel: String,
    /// This boot of the host.
    pub boot: String,
}

/// What is worth a try, best first. `no_kvm` is why KVM cannot work: a hint, which an explicit
/// choice does not ask for. Never empty.
pub fn candidates(
    vmm: VmmChoice,
    accel: AccelChoice,
    no_kvm: Option<&str>,
    remembered: Option<Candidate>,
) -> Vec<Candidate> {
    let hinted = accel == AccelChoice::Auto && vmm != VmmChoice::CloudHypervisor;
    let mut list: Vec<Candidate> =
        Candidate::ALL.into_iter().filter(|it| it.fits(vmm, accel)).collect();
    if let Some(why) = no_kvm.filter(|_| hinted) {
        tracing::info!(why, "guests are emulated");
        list.retain(|it| it.accel() == Accel::Tcg);
    }
    if let Some(begin) = list.iter().position(|it| Some(*it) == remembered) {
        list.drain(..begin);
    }
    list
}

/// Why KVM cannot work here, as far as can be seen without booting.
pub fn no_kvm(arch: Arch) -> Option<&'static str> {
    let kvm = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
    match (kvm, host::cpu_has_virtualisation(arch)) {
        (true, true) => None,
        (true, false) => Some("/dev/kvm opens, but the processor has neither vmx nor svm"),
        (false, _) => Some("/dev/kvm cannot be opened"),
    }
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
        Self { path: dir.join("vmm-verdict") }
    }

    /// The verdict under these very circumstances, if there is one.
    pub fn recall(&self, circumstances: &Circumstances) -> Option<Candidate> {
        let mut text = String::new();
        let file = fs::File::open(&self.path).ok()?;
        file.take(VERDICT_BYTES_MAX).read_to_string(&mut text).ok()?;
        Candidate::ALL.into_iter().find(|candidate| text == verdict(*candidate, circumstances))
    }

    /// Keeps a verdict. Failing to is only slower the next time.
    pub fn keep(&self, candidate: Candidate, circumstances: &Circumstances) {
        let new = self.path.with_extension("new");
        let kept = fs::write(&new, verdict(candidate, circumstances))
            .and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = kept {
            tracing::warn!(path = %self.path.display(), %error, "verdict about vmms not kept");
        }
    }
}

fn verdict(candidate: Candidate, circumstances: &Circumstances) -> String {
    let Circumstances { arch, vmms, kernel, boot } = circumstances;
    format!("{}\n{arch}\n{vmms}\n{kernel}\n{boot}\n", candidate.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CH: Candidate = Candidate::CloudHypervisor;
    const KVM: Candidate = Candidate::Qemu(Accel::Kvm);
    const TCG: Candidate = Candidate::Qemu(Accel::Tcg);

    #[test]
    fn a_verdict_holds_until_something_it_depends_on_changes() {
        let dir = tempfile::tempdir().expect("tempdir");
        let memory = Memory::in_dir(dir.path());
        let here = Circumstances {
            arch: Arch::X86_64,
            vmms: "QEMU emulator version 7.2".to_owned(),
            kernel: "6.1".to_owned(),
            boot: "a".to_owned(),
        };
        assert_eq!(memory.recall(&here), None);
        memory.keep(TCG, &here);
        assert_eq!(memory.recall(&here), Some(TCG));
        for other in [
            Circumstances { boot: "b".to_owned(), ..here.clone() },
            Circumstances { kernel: "6.2".to_owned(), ..here.clone() },
            Circumstances { vmms: "10".to_owned(), ..here.clone() },
        ] {
            assert_eq!(memory.recall(&other), None);
        }
        memory.keep(CH, &here);
        assert_eq!(memory.recall(&here), Some(CH));
        std::fs::write(dir.path().join("vmm-verdict"), "qemu-kvm\n").expect("write");
        assert_eq!(memory.recall(&here), None);
    }

    #[test]
    fn an_explicit_choice_is_not_questioned() {
        let hint = Some("no svm");
        let auto = AccelChoice::Auto;
        let check = |vmm, accel| candidates(vmm, accel, hint, None);
        assert_eq!(check(VmmChoice::CloudHypervisor, auto), [CH]);
        assert_eq!(check(VmmChoice::Auto, AccelChoice::Kvm), [CH, KVM]);
        assert_eq!(check(VmmChoice::Qemu, AccelChoice::Kvm), [KVM]);
        assert_eq!(check(VmmChoice::Auto, AccelChoice::Tcg), [TCG]);
    }

    #[test]
    fn where_kvm_may_work_the_best_is_tried_first_and_emulation_last() {
        let check = |vmm, hint| candidates(vmm, AccelChoice::Auto, hint, None);
        assert_eq!(check(VmmChoice::Auto, None), [CH, KVM, TCG]);
        assert_eq!(check(VmmChoice::Qemu, None), [KVM, TCG]);
        assert_eq!(check(VmmChoice::Auto, Some("no svm")), [TCG]);
    }

    #[test]
    fn a_verdict_spares_what_failed_and_not_what_comes_after_it() {
        let check =
            |remembered| candidates(VmmChoice::Auto, AccelChoice::Auto, None, Some(remembered));
        assert_eq!(check(TCG), [TCG]);
        assert_eq!(check(KVM), [KVM, TCG]);
        assert_eq!(check(CH), [CH, KVM, TCG]);
        // A verdict of another choice says nothing about this one.
        assert_eq!(candidates(VmmChoice::Qemu, AccelChoice::Auto, None, Some(CH)), [KVM, TCG]);
    }
}
