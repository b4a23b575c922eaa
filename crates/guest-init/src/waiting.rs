//! Everything that was made ready before there is a job, and waiting for one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use pe_proto::io_file::InHeader;

use crate::bell::Bell;
use crate::blame::Refusal;
use crate::boot::JOB_CGROUP;
use crate::cgroup::Cgroup;
use crate::devices::{self, Look, Pmem};
use crate::layers;
use crate::limits::{PACK_WAIT_MAX, Shares};
use crate::namespaces::{KINDS, Keeper};
use crate::oci::Filter;
use crate::packs::{Pack, Packs};
use crate::pages::Device;
use crate::port::Port;
use crate::rehearsal::rehearse;
use crate::runtime::Runtime;

/// What a job finds ready.
#[derive(Debug)]
pub struct Ready {
    /// How the memory is divided.
    pub shares: Shares,
    /// The job's cgroup, with its limits.
    pub cgroup: Cgroup,
    /// The runtime.
    pub runtime: Runtime,
    /// The container's namespaces: kind and path.
    pub namespaces: Vec<(&'static str, String)>,
    /// What it may call.
    pub filter: Filter,
    packs: Packs,
    /// Devices of the io device's size that were there at boot, open: a restored VM has them too.
    io_devices: Vec<(PathBuf, Device)>,
    bell: Bell,
    port: Port,
}

/// A job, found.
#[derive(Debug)]
pub struct Rung {
    /// The io device it is in.
    pub device: Device,
    /// That device's node.
    pub node: PathBuf,
    /// Its header.
    pub header: InHeader,
    /// When it was seen.
    pub seen: Instant,
}

impl Ready {
    /// Prepares all that depends on no job. To be called after the boot plan.
    pub fn prepare(port: Port) -> io::Result<Self> {
        // First of all, so that no device that comes from here on is missed.
        let bell = Bell::new()?;
        let shares = Shares::of(memory_total()?);
        let cgroup = Cgroup::prepare(Path::new(JOB_CGROUP), shares)?;
        layers::prepare(shares)?;
        let keeper = Keeper::start()?;
        let mut packs = Packs::new(keeper.user_namespace()?);
        // A pack that cannot be mounted now is tried again when a job asks for it.
        let devices = devices::list()?;
        let _trouble = packs.mount_new(&devices);
        let io_devices = open_all(&devices)?;
        let namespaces = KINDS.map(|(kind, file)| (kind, keeper.namespace(file))).to_vec();
        let runtime = Runtime::prepare()?;
        let filter = rehearse(&runtime, shares, &namespaces)?;
        Ok(Self { shares, cgroup, runtime, namespaces, filter, packs, io_devices, bell, port })
    }

    /// Says that a job may come and sleeps until one is there.
    pub fn wait(&mut self) -> io::Result<Rung> {
        self.port.say_ready();
        loop {
            self.bell.wait(&self.port, None)?;
            let seen = Instant::now();
            // Those that are open first: listing devices costs more than looking at one.
            if let Some(rung) = first_job(&mut self.io_devices, seen)? {
                return Ok(rung);
            }
            self.io_devices = open_all(&devices::list()?)?;
            if let Some(rung) = first_job(&mut self.io_devices, seen)? {
                return Ok(rung);
            }
            // A bell without a job is the worker looking whether this guest lives.
            self.port.say_ready();
        }
    }

    /// The pack of this uuid. Waits for its device for a while: it may have been
    /// plugged in just before the bell.
    pub fn pack(&mut self, uuid: &[u8; 16]) -> Result<Pack, Refusal> {
        let deadline = Instant::now() + PACK_WAIT_MAX;
        loop {
            if let Some(pack) = self.packs.find(uuid) {
                return Ok(pack.clone());
            }
            let trouble = devices::list().map(|devices| self.packs.mount_new(&devices));
            if self.packs.find(uuid).is_some() {
                continue;
            }
            let heard = self.bell.wait(&self.port, Some(deadline));
            if !matches!(heard, Ok(true)) {
                let reason = match trouble {
                    Ok(Some(error)) => format!("a pack cannot be mounted: {error}"),
                    Err(error) => format!("devices cannot be listed: {error}"),
                    Ok(None) => "the image's pack was not attached to the VM".to_owned(),
                };
                return Err(Refusal::ours(reason));
            }
        }
    }

    /// The serial port.
    pub fn port(&self) -> &Port {
        &self.port
    }
}

fn open_all(devices: &[Pmem]) -> io::Result<Vec<(PathBuf, Device)>> {
    devices::may_hold_jobs(devices)
        .map(|device| Ok((device.node(), Device::open(&device.node())?)))
        .collect()
}

/// The first of these devices that holds a job; it is taken from them.
fn first_job(devices: &mut Vec<(PathBuf, Device)>, seen: Instant) -> io::Result<Option<Rung>> {
    for at in 0..devices.len() {
        let Some((_, device)) = devices.get(at) else {
            break;
        };
        match devices::look(device).map_err(io::Error::other)? {
            Look::Job(header) => {
                let (node, device) = devices.swap_remove(at);
                return Ok(Some(Rung { device, node, header, seen }));
            }
            Look::Bad(reason) => return Err(io::Error::other(reason)),
            Look::Blank => {}
        }
    }
    Ok(None)
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn memory_total() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    total_in(&text).ok_or_else(|| io::Error::other("/proc/meminfo has no MemTotal"))
}

fn total_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_meminfo() {
        let text = "MemTotal:        1007584 kB\nMemFree:          10 kB\n";
        assert_eq!(total_in(text), Some(1_007_584 * 1024));
        assert_eq!(total_in("MemTotal: x kB"), None);
        assert_eq!(total_in(""), None);
    }
}
