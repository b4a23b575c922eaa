//! What a guest that owns its kernel can reach. Each answers with what it found, a line each.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use pe_proto::Digest;

use crate::Job;
use crate::answer;
use crate::device::{self, Device};

/// Written to packs: nothing that a file system has.
const MARK: &[u8; 16] = b"PE-WAS-HERE-MARK";

/// Tries to write to every pack: through its device, and through physical memory. Tells what was
/// there before, and what is there for this guest now.
pub(crate) fn write_packs(job: &mut Job) -> anyhow::Result<()> {
    let mut report = String::new();
    for (name, bytes) in device::packs()? {
        let pack = Device::open(&name)?;
        for at in [0, bytes / 2 / 4096 * 4096, bytes - 4096] {
            let before = pack.read(at, 4096)?;
            // In the journal, too: the write may be the last thing that this VM does.
            report.push_str(&format!("{name} {at} {}", Digest::of(&before).hex()));
            answer::journal_text(job, report.as_bytes())?;
            let wrote = pack.write(at, &MARK.repeat(256));
            let after = pack.read(at, 4096).unwrap_or_default();
            let says = match wrote {
                Ok(()) if after.starts_with(MARK) => "written".to_owned(),
                Ok(()) => "dropped".to_owned(),
                Err(error) => format!("refused ({error})"),
            };
            let marked = if before.starts_with(MARK) { " MARKED" } else { "" };
            report.push_str(&format!(" {says}{marked}\n"));
        }
    }
    for range in persistent_memory()? {
        answer::journal_text(job, format!("{report}memory {range:#x}").as_bytes())?;
        let says = match write_memory(range) {
            Ok(()) => "written".to_owned(),
            Err(error) => format!("refused ({error})"),
        };
        report.push_str(&format!("memory {range:#x} {says}\n"));
    }
    answer::honest(job, report.as_bytes())
}

/// Where persistent memory is in the physical address space.
fn persistent_memory() -> anyhow::Result<Vec<u64>> {
    let map = fs::read_to_string("/proc/iomem").unwrap_or_default();
    let starts = map
        .lines()
        .filter(|line| line.contains("Persistent"))
        .filter_map(|line| u64::from_str_radix(line.trim().split('-').next()?, 16).ok());
    Ok(starts.collect())
}

fn write_memory(at: u64) -> std::io::Result<()> {
    let memory = File::options().read(true).write(true).open("/dev/mem")?;
    memory.write_all_at(MARK, at)
}

/// Tells which devices there are: of the network, of the PCI bus, of virtio.
pub(crate) fn look_around(job: &mut Job) -> anyhow::Result<()> {
    let mut report = String::new();
    let mut list = |kind: &str, dir: &str, file: &str| {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let value = fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            let name = entry.file_name();
            report.push_str(&format!("{kind} {} {}\n", name.to_string_lossy(), value.trim()));
        }
    };
    list("net", "/sys/class/net", "type");
    list("pci", "/sys/bus/pci/devices", "class");
    list("virtio", "/sys/bus/virtio/devices", "device");
    list("block", "/sys/block", "size");
    let cmdline = fs::read_to_string("/proc/cmdline")?;
    report.push_str(&format!("cmdline {cmdline}"));
    answer::honest(job, report.as_bytes())
}

/// Searches everything that outlives a process for a flag: the io device, and what the kernel
/// shows of memory. The flag is given in two halves, so that the search does not find itself.
pub(crate) fn search(job: &mut Job) -> anyhow::Result<()> {
    let flag = [job.argument(1), job.argument(2)].concat().into_bytes();
    let mut found = 0;
    let mut read = 0u64;
    let len = 1 << 20;
    for at in (0..device::IO_BYTES).step_by(len) {
        let piece = job.device.read(at, len)?;
        read += piece.len() as u64;
        found += usize::from(piece.windows(flag.len()).any(|window| window == flag));
    }
    // The first part of memory: where a kernel puts what it is given at boot.
    if let Ok(mut memory) = File::open("/dev/mem") {
        let mut piece = vec![0; 4096];
        for at in (0..64u64 << 20).step_by(4096) {
            let there =
                memory.seek(SeekFrom::Start(at)).and_then(|_| memory.read_exact(&mut piece));
            if there.is_ok() {
                read += 4096;
                found += usize::from(piece.windows(flag.len()).any(|window| window == flag));
            }
        }
    }
    answer::honest(job, format!("found {found} in {read} bytes\n").as_bytes())
}
