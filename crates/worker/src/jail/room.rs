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

/// What links in a directory lead to: a pack may be a link to where it is kept.
fn linked(dir: &Path, deep: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_symlink() => found.extend(fs::canonicalize(entry.path())),
            Ok(kind) if kind.is_dir() && deep > 0 => found.extend(linked(&entry.path(), deep - 1)),
            Ok(_) | Err(_) => {}
        }
    }
    found
}

/// Packs are in a directory below the one that is named.
const LINKS_DEEP: u32 = 1;

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
        for dir in &needs.dirs {
            let dir = named(dir)?;
            show(linked(&dir, LINKS_DEEP), Access::Read);
            show(vec![dir], Access::Read);
        }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_pack_that_is_a_link_is_shown_where_it_is() {
        let dir = tempfile::tempdir().expect("tempdir");
        let dir = fs::canonicalize(dir.path()).expect("path");
        let (images, store) = (dir.join("images"), dir.join("store"));
        fs::create_dir_all(images.join("packs")).expect("dir");
        fs::create_dir(&store).expect("dir");
        fs::write(store.join("a"), "pack").expect("write");
        fs::write(images.join("packs/b"), "pack").expect("write");
        symlink(store.join("a"), images.join("packs/a")).expect("link");
        symlink("b", images.join("packs/c")).expect("link");
        let program = std::env::current_exe().expect("me");
        let needs = Needs { program, dirs: vec![images.clone()], kvm: false, userfaultfd: false };
        let room = Room::of(&needs, &dir.join("zygotes")).expect("room");
        let here = |path: &&Path| path.starts_with(&dir);
        let mut shown: Vec<&Path> =
            room.shown.iter().map(|(path, _)| path.as_path()).filter(here).collect();
        shown.sort();
        let expected = [images, store.join("a"), dir.join("zygotes")];
        assert_eq!(shown, expected.each_ref().map(PathBuf::as_path));
    }
}
