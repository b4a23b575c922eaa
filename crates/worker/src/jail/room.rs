//! What VMMs of one spawner see of the host: a list, made once, from which both the root file
//! system and the Landlock rules are made, so that the two cannot differ.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Needs;
use super::closure::Closure;

/// What may be done below a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Files can be executed and read.
    Execute,
    /// Files can be read and mapped as code: libraries.
    Load,
    /// Files can be read, directories listed.
    Read,
    /// Saved guests: files can be made and written, as far as their modes allow.
    Save,
    /// A device node.
    Device,
}

/// What is shown.
#[derive(Debug, Clone)]
pub(super) struct Room {
    /// At the same path as on the host.
    pub(super) shown: Vec<(PathBuf, Access)>,
    /// Names under which shown files are known, too.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// Names of device nodes in `/dev`.
    pub(super) devices: Vec<&'static str>,
}

const DEVICES: [&str; 4] = ["null", "zero", "random", "urandom"];

impl Room {
    /// What `needs` come to, and a directory for saved guests.
    ///
    /// # Errors
    /// Something that is needed is not there.
    pub(super) fn of(needs: &Needs, zygotes: &Path) -> io::Result<Self> {
        let named = |path: &Path| {
            let say = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            };
            fs::canonicalize(path).map_err(say)
        };
        let program = named(&needs.program)?;
        let closure = Closure::of(&program)?;
        let mut shown = Vec::new();
        let mut show = |paths: Vec<PathBuf>, access| {
            shown.extend(paths.into_iter().map(|path| (path, access)));
        };
        show(closure.program_dirs, Access::Execute);
        show(closure.programs, Access::Execute);
        show(closure.files, Access::Load);
        show(closure.dirs, Access::Load);
        show(needs.dirs.iter().map(|dir| named(dir)).collect::<io::Result<_>>()?, Access::Read);
        show(vec![zygotes.to_owned()], Access::Save);
        // A file within a directory that is shown anyway needs no place of its own.
        let dirs: Vec<PathBuf> =
            shown.iter().filter(|(path, _)| path.is_dir()).map(|(path, _)| path.clone()).collect();
        shown.retain(|(path, _)| !dirs.iter().any(|dir| path != dir && path.starts_with(dir)));
        let mut seen = std::collections::HashSet::new();
        shown.retain(|(path, _)| seen.insert(path.clone()));
        let links =
            if needs.program == program { vec![] } else { vec![(needs.program.clone(), program)] };
        let mut devices = DEVICES.to_vec();
        devices.extend(needs.kvm.then_some("kvm"));
        devices.extend(needs.userfaultfd.then_some("userfaultfd"));
        devices.retain(|name| Path::new("/dev").join(name).exists());
        Ok(Self { shown, links, devices })
    }
}
