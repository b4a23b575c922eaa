//! Control groups: which version, where this process is, what it may do there.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

/// What there is of control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupFacts {
    /// None are mounted.
    None,
    /// Only the old kind, or both with the controllers in the old one.
    Old,
    /// The unified hierarchy.
    Unified {
        /// Our own group.
        path: PathBuf,
        /// What can be bounded in it.
        controllers: Vec<String>,
        /// We may make groups below our own.
        delegated: bool,
    },
}

impl CgroupFacts {
    /// Reads `/proc/self/{mounts,cgroup}` below a root.
    pub(super) fn read(root: &Path) -> Self {
        let mounts = super::read(&root.join("proc/self/mounts")).unwrap_or_default();
        let groups = super::read(&root.join("proc/self/cgroup")).unwrap_or_default();
        let mounted = |kind: &str| {
            mounts.lines().find_map(|line| {
                let mut fields = line.split(' ');
                let (at, is) = (fields.nth(1)?, fields.next()?);
                (is == kind).then(|| at.to_owned())
            })
        };
        let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
        let unified = mounted("cgroup2").zip(own).map(|(at, own)| {
            let path = if own.is_empty() { PathBuf::from(at) } else { Path::new(&at).join(own) };
            let here = root.join(path.strip_prefix("/").unwrap_or(&path));
            let list = super::read(&here.join("cgroup.controllers")).unwrap_or_default();
            let controllers: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
            let delegated = access(&here, AccessFlags::W_OK).is_ok();
            Self::Unified { path, controllers, delegated }
        });
        let old = mounted("cgroup").map(|_| Self::Old);
        match (unified, old) {
            // Both kinds at once: memory is where the old kind is.
            (Some(Self::Unified { controllers, .. }), Some(old))
                if !controllers.iter().any(|name| name == "memory") =>
            {
                old
            }
            (Some(unified), _) => unified,
            (None, old) => old.unwrap_or(Self::None),
        }
    }
}
