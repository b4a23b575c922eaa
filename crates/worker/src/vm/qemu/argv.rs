//! QEMU's command line. Pure: descriptors come in as numbers, words go out.
//!
//! A restored VM must have the machine of its zygote to the last address, so both are made here,
//! from one value. No word is ever a path: files are `/proc/self/fd/N`.

use std::os::fd::RawFd;

use pe_proto::limits::IO_FILE_BYTES;

use crate::vm::KERNEL_WORDS;
use crate::vm::accel::Accel;
use crate::vm::launch::fd_path;

/// Where the guest's memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ram {
    /// QEMU's own.
    Anonymous,
    /// A memfd, written through: a zygote's.
    Shared(RawFd),
    /// A sealed memfd, copied on write: that of a VM restored from it.
    Private(RawFd),
}

/// How it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// With a kernel and its initramfs.
    Kernel { kernel: RawFd, initramfs: RawFd },
    /// With a saved state, to be named on the control socket.
    Incoming,
}

/// The machine of a VM, less what differs between a zygote and those restored from it.
#[derive(Debug, Clone)]
pub(super) struct MachineShape {
    pub(super) accel: Accel,
    pub(super) memory_mib: u64,
    /// Lengths of the packs that are plugged in from the start.
    pub(super) packs: Vec<u64>,
    /// Longest pack that may be plugged in later.
    pub(super) hotplug_bytes: u64,
}

/// The descriptors of one VM.
#[derive(Debug, Clone)]
pub(super) struct MachineFds {
    pub(super) control: RawFd,
    pub(super) serial: RawFd,
    pub(super) io: RawFd,
    /// As many as the shape has packs.
    pub(super) packs: Vec<RawFd>,
}

/// PCI address of the io file's device; the packs follow. Lower ones are the machine's own.
const FIRST_ADDRESS: usize = 4;

impl MachineShape {
    /// All words after the program's name.
    pub(super) fn argv(&self, fds: &MachineFds, ram: Ram, begin: Begin) -> Vec<String> {
        let mut argv = Words::default();
        argv.flags(&["-nodefaults", "-no-user-config", "-no-reboot"]);
        argv.flags(&["-display", "none", "-vga", "none"]);
        argv.flags(&accel_words(self.accel));
        argv.option("-sandbox", SANDBOX.to_owned());
        argv.option("-m", self.memory());
        argv.option("-chardev", format!("socket,id=mon,fd={}", fds.control));
        argv.option("-mon", "chardev=mon,mode=control".to_owned());
        argv.option("-chardev", format!("socket,id=con,fd={}", fds.serial));
        argv.option("-serial", "chardev:con".to_owned());
        self.ram(&mut argv, ram);
        argv.pmem("io", fds.io, IO_FILE_BYTES, "share=on", FIRST_ADDRESS);
        for (index, (bytes, fd)) in self.packs.iter().zip(&fds.packs).enumerate() {
            let address = FIRST_ADDRESS + 1 + index;
            argv.pmem(&format!("pack{index}"), *fd, *bytes, "share=on,readonly=on", address);
        }
        match begin {
            Begin::Kernel { kernel, initramfs } => {
                argv.option("-kernel", fd_path(kernel));
                argv.option("-initrd", fd_path(initramfs));
                argv.option("-append", format!("{KERNEL_WORDS}{}", kernel_words(self.accel)));
            }
            Begin::Incoming => argv.flags(&["-incoming", "defer"]),
        }
        argv.0
    }

    fn ram(&self, argv: &mut Words, ram: Ram) {
        let (fd, share) = match ram {
            Ram::Anonymous => {
                argv.flags(&["-M", "pc"]);
                return;
            }
            Ram::Shared(fd) => (fd, "on"),
            Ram::Private(fd) => (fd, "off"),
        };
        argv.flags(&["-M", "pc,memory-backend=ram"]);
        let (path, mib) = (fd_path(fd), self.memory_mib);
        argv.option(
            "-object",
            format!("memory-backend-file,id=ram,mem-path={path},size={mib}M,share={share}"),
        );
    }

    /// Memory, and the address space that pmem devices lie in.
    fn memory(&self) -> String {
        let devices = self.packs.iter().sum::<u64>() + self.hotplug_bytes + IO_FILE_BYTES;
        // QEMU may align each device to 1 GiB.
        let count = u64::try_from(self.packs.len()).unwrap_or(0) + 2;
        let most_mib = (self.memory_mib + devices / MIB + count * 1024).next_multiple_of(1024);
        format!("{}M,slots=4,maxmem={most_mib}M", self.memory_mib)
    }
}

const MIB: u64 = 1024 * 1024;

/// QEMU's own seccomp filter, with all it has to give.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// One host thread emulates: with one virtual processor a second one only adds locks. The
/// buffer for translated code bounds what a busy guest costs beyond its own memory.
fn accel_words(accel: Accel) -> [&'static str; 4] {
    match accel {
        Accel::Kvm => ["-accel", "kvm", "-cpu", "host"],
        Accel::Tcg => ["-accel", "tcg,thread=single,tb-size=64", "-cpu", "max"],
    }
}

/// Mitigations guard what shares the machine with an attacker; in the guest that is only the
/// guest. Emulated code does not speculate at all.
fn kernel_words(accel: Accel) -> &'static str {
    match accel {
        Accel::Kvm => "",
        Accel::Tcg => " no_timer_check tsc=reliable mitigations=off",
    }
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn flags(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }

    fn option(&mut self, name: &str, value: String) {
        self.0.extend([name.to_owned(), value]);
    }

    fn pmem(&mut self, id: &str, fd: RawFd, bytes: u64, how: &str, address: usize) {
        let path = fd_path(fd);
        self.option(
            "-object",
            format!("memory-backend-file,id=m-{id},mem-path={path},size={bytes},{how}"),
        );
        self.option(
            "-device",
            format!("virtio-pmem-pci,memdev=m-{id},id=d-{id},bus=pci.0,addr={address:#x}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> MachineShape {
        MachineShape {
            accel: Accel::Tcg,
            memory_mib: 512,
            packs: vec![2 * MIB, 174 * MIB],
            hotplug_bytes: 64 * MIB,
        }
    }

    fn fds() -> MachineFds {
        MachineFds { control: 10, serial: 11, io: 12, packs: vec![13, 14] }
    }

    #[test]
    fn a_restored_vm_has_the_machine_of_its_zygote() {
        let kernel = Begin::Kernel { kernel: 20, initramfs: 21 };
        let zygote = shape().argv(&fds(), Ram::Shared(15), kernel);
        let restored = shape().argv(&fds(), Ram::Private(15), Begin::Incoming);
        let (zygote, restored) = (zygote.join(" "), restored.join(" "));
        let (common, begin) = zygote.split_once(" -kernel ").expect("has a kernel");
        assert!(begin.contains("-append console=ttyS0"));
        let common = common.replace("size=512M,share=on", "size=512M,share=off");
        assert_eq!(restored, format!("{common} -incoming defer"));
    }

    #[test]
    fn packs_are_read_only_and_nothing_is_a_path_of_the_host() {
        let words = shape().argv(&fds(), Ram::Anonymous, Begin::Incoming);
        for word in words.iter().filter(|word| word.contains("pack") && word.contains("size")) {
            assert!(word.ends_with("share=on,readonly=on"), "{word}");
        }
        for word in &words {
            assert!(!word.replace("/proc/self/fd/", "").contains('/'), "{word}");
        }
        assert!(words.contains(&SANDBOX.to_owned()));
    }

    #[test]
    fn there_is_address_space_for_every_device() {
        assert_eq!(shape().memory(), "512M,slots=4,maxmem=5120M");
    }
}
