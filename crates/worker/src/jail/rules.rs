//! Landlock: the kernel itself refuses every path that is not in the [`Room`], TCP, and sockets
//! and signals that lead out, whatever else a VMM may come by.
//!
//! Beside the root file system it covers what a root cannot: descriptors that lead into the host
//! (`/proc/self/fd/N`), executing anything but the VMM, and an ordinary user's worker, which can
//! make no root. Memory files are exempt by the kernel's design. Rules are tied to the files, not
//! to their mounts, so a pack that the worker opened can be opened anew by its descriptor.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use super::room::{Access, Room};

/// The newest interface that is asked for; what an older kernel lacks of it is left out.
const NEWEST: ABI = ABI::V6;

/// Why there is no Landlock.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLandlock {
    #[error("the kernel has none (it is 5.13 or newer, with landlock among its `lsm=`)")]
    Kernel,
    #[error("{0}")]
    Rules(#[from] RulesetError),
}

/// Restricts the calling thread and all it starts, for ever.
///
/// # Errors
/// The kernel does not have it, or refuses the rules.
pub(super) fn restrict(room: &Room) -> Result<(), NoLandlock> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let dev = Path::new("/dev");
    let devices = room.devices.iter().map(|name| (dev.join(name), Access::Device));
    let proc = (Path::new("/proc").to_owned(), Access::Read);
    let mut ruleset = ruleset;
    for (path, access) in room.shown.iter().cloned().chain(devices).chain([proc]) {
        // What is not there cannot be opened either.
        if let Ok(fd) = PathFd::new(&path) {
            ruleset = ruleset.add_rule(PathBeneath::new(fd, rights(access, path.is_dir())))?;
        }
    }
    match ruleset.restrict_self()?.ruleset {
        RulesetStatus::NotEnforced => Err(NoLandlock::Kernel),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

fn rights(access: Access, dir: bool) -> BitFlags<AccessFs> {
    let rights = match access {
        Access::Execute => make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir}),
        Access::Load | Access::Read => make_bitflags!(AccessFs::{ReadFile | ReadDir}),
        Access::Save => make_bitflags!(AccessFs::{
            ReadFile | ReadDir | WriteFile | Truncate | MakeReg | RemoveFile
        }),
        Access::Device => make_bitflags!(AccessFs::{ReadFile | WriteFile | IoctlDev}),
    };
    if dir { rights } else { rights & AccessFs::from_file(NEWEST) }
}
