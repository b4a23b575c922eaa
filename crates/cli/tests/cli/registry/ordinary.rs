//! Import by somebody who is not root.

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{import, put, skopeo_and_registry, unpacked};
use crate::image::has_fsck;
use crate::{output, texts};

/// Nobody, who has no files and no subordinate ids.
const NOBODY: u32 = 65534;

/// Runs programs as an ordinary user: as nobody if we are root, and else as who we are.
struct Ordinary {
    dir: tempfile::TempDir,
    is_root: bool,
}

impl Ordinary {
    /// `None`, said once, where nobody may have a namespace of their own.
    fn find() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let is_root = nix::unistd::geteuid().is_root();
        if is_root {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).expect("given away");
        }
        let user = Self { dir, is_root };
        let is_allowed = user.command(Path::new("unshare")).args(["-Ur", "true"]).status();
        if !is_allowed.is_ok_and(|status| status.success()) {
            let told = "SKIPPED: import by an ordinary user, who may have no namespaces here";
            let _ = writeln!(std::io::stderr(), "{told}");
            return None;
        }
        Some(user)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = if self.is_root {
            let (uid, gid) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
            let mut command = Command::new("setpriv");
            command.args([&uid, &gid, "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.env("HOME", self.dir.path()).current_dir(self.dir.path());
        command
    }

    /// `pe`, where nobody can reach it.
    fn pe(&self) -> PathBuf {
        let pe = self.dir.path().join("pe");
        std::fs::copy(env!("CARGO_BIN_EXE_pe"), &pe).expect("copied");
        std::fs::set_permissions(&pe, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        pe
    }
}

#[test]
fn an_ordinary_user_imports_an_image_whose_files_are_then_all_roots() {
    let (Some(user), Some((skopeo, registry)), true) =
        (Ordinary::find(), skopeo_and_registry(), has_fsck())
    else {
        return;
    };
    let host = registry.host();
    put(&skopeo, b"content", &format!("{host}/own:1"));
    let source = format!("docker://{host}/own:1");
    let store = user.dir.path().join("images");
    let mut pe = user.command(&user.pe());
    pe.args(["image", "import", &source, "--local-registry", &host, "--arch", "x86_64"]);
    pe.env_remove("PE_IMAGES").env_remove("PE_REGISTRIES").env_remove("REGISTRY_AUTH_FILE");
    let done = output(pe.arg("--into").arg(&store));
    let (status, out, err) = texts(&done);
    assert_eq!((status, err), (Some(0), ""), "{out}");
    assert!(out.starts_with("own:1: the pack "), "{out}");
    // Who has subordinate ids can give files to others, and says nothing.
    if user.is_root {
        assert!(out.contains("all files belong to root"), "{out}");
    }
    // What Landlock forbids is tried in `pe-image`; here, that it was there or is said not to be.
    if out.contains("without Landlock") {
        let told = "SKIPPED: Landlock for an ordinary user's import: this kernel has none";
        let _ = writeln!(std::io::stderr(), "{told}");
    }
    let entry = std::fs::read(store.join("own%3a1.json")).expect("an entry");
    let entry = serde_json::from_slice(&entry).expect("JSON");
    let theirs = unpacked(&store, &entry);
    assert_eq!((theirs["hello"].1, theirs["hello"].2.as_slice()), ((0, 0), &b"content"[..]));
    // The same image as root has it, but for owners, of which this one has none.
    let ours = tempfile::tempdir().expect("a directory");
    assert_eq!(unpacked(ours.path(), &import(&source, &host, ours.path())), theirs);
}
