//! Who VMMs are on this host: users of their own, one that they share, or the worker's.

use std::fs::{self, File};
use std::io;
use std::sync::Mutex;

use nix::fcntl::Flock;
use nix::unistd::geteuid;

use crate::config::Config;
use crate::host::{self, VmUser};

use super::lock;
use super::report::Hold;
use super::runtime::{self, try_lock};
use super::uids::{Rota, UidRange};

/// Who VMMs are.
#[derive(Debug)]
pub(super) enum Users {
    /// Each its own, of a range that no other worker has.
    Own { rota: Mutex<Rota>, _block: Option<Flock<File>> },
    /// One for all.
    Shared(VmUser),
    /// The worker's.
    Same,
}

impl Users {
    /// As good as this host allows, with what is not, and why.
    ///
    /// # Errors
    /// Root's VMMs have nobody to be.
    pub(super) fn find(config: &Config) -> io::Result<(Self, Hold)> {
        if !geteuid().is_root() {
            let why = "the worker is not root, so vmms are its own user".to_owned();
            return Ok((Self::Same, Hold::Missing(why)));
        }
        match own(config) {
            Ok(own) => Ok((own, Hold::Held)),
            Err(error) => {
                let user = host::vm_user(&config.vm_user)?;
                let why = format!("{error}; all vmms are `{}`", config.vm_user);
                Ok((user.map_or(Self::Same, Self::Shared), Hold::Missing(why)))
            }
        }
    }

    pub(super) fn are_others(&self) -> bool {
        !matches!(self, Self::Same)
    }

    /// A user for one VM; `None` if VMs have none of their own.
    ///
    /// # Errors
    /// All are taken.
    pub(super) fn take(&self) -> io::Result<Option<u32>> {
        match self {
            Self::Own { rota, .. } => match lock(rota).take() {
                Some(uid) => Ok(Some(uid)),
                None => Err(io::Error::other("every user of vm_uids is taken")),
            },
            Self::Shared(_) | Self::Same => Ok(None),
        }
    }

    pub(super) fn give_back(&self, uid: u32) {
        match self {
            Self::Own { rota, .. } => lock(rota).give_back(uid),
            Self::Shared(_) | Self::Same => {}
        }
    }

    /// The user that all VMs share.
    pub(super) fn shared(&self) -> Option<VmUser> {
        match self {
            Self::Shared(user) => Some(*user),
            Self::Own { .. } | Self::Same => None,
        }
    }
}

fn own(config: &Config) -> io::Result<Users> {
    let (range, block) = match config.vm_uids {
        Some(range) => (range, None),
        None => free_block().map(|(range, lock)| (range, Some(lock)))?,
    };
    for map in ["/proc/self/uid_map", "/proc/self/gid_map"] {
        let text = fs::read_to_string(map).unwrap_or_default();
        if !is_mapped(&text, range) {
            let (first, last) = range.bounds();
            let what = format!("users {first}-{last} are not mapped in this container");
            return Err(io::Error::other(what));
        }
    }
    let rota = Mutex::new(Rota::new(range, runtime::random()?));
    Ok(Users::Own { rota, _block: block })
}

/// The first of the default blocks that no worker of this host has.
fn free_block() -> io::Result<(UidRange, Flock<File>)> {
    let dir = runtime::default_base().join("uids");
    fs::create_dir_all(&dir)?;
    for block in 0..BLOCKS {
        let first = FIRST_UID + block * BLOCK_UIDS;
        let range = UidRange::new(first, first + BLOCK_UIDS - 1).map_err(io::Error::other)?;
        if let Some(lock) = try_lock(&dir.join(first.to_string()))? {
            return Ok((range, lock));
        }
    }
    Err(io::Error::other("other workers have all blocks of users (see vm_uids)"))
}

/// Above what people, services, containers and systemd's own ranges use (systemd's "Users,
/// Groups, UIDs and GIDs": unused from 1879048192 to 2147483647).
const FIRST_UID: u32 = 2_000_000_000;
/// Four times the most slots of a worker.
const BLOCK_UIDS: u32 = 16_384;
/// Workers on one host.
const BLOCKS: u32 = 64;

const _: () = assert!(BLOCK_UIDS >= 4 * crate::limits::SLOTS_MAX);

/// Whether one line of a user namespace's map covers the range (user_namespaces(7)).
fn is_mapped(map: &str, range: UidRange) -> bool {
    let (first, last) = range.bounds();
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<u64>().unwrap_or(0));
        let (inside, _, count) = (numbers.next(), numbers.next(), numbers.next());
        let (inside, count) = (inside.unwrap_or(0), count.unwrap_or(0));
        inside <= u64::from(first) && u64::from(last) < inside + count
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_without_high_users_is_found_out() {
        let range = UidRange::new(FIRST_UID, FIRST_UID + BLOCK_UIDS - 1).expect("range");
        assert!(is_mapped("         0          0 4294967295\n", range));
        assert!(!is_mapped("         0     100000      65536\n", range));
        assert!(!is_mapped("0 0 1000\n1000 1000 2000000100\n", range));
        assert!(!is_mapped("", range));
    }

    #[test]
    fn the_last_block_is_a_range() {
        let first = FIRST_UID + (BLOCKS - 1) * BLOCK_UIDS;
        UidRange::new(first, first + BLOCK_UIDS - 1).expect("range");
    }
}
