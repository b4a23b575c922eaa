//! Two whole images, made of the files of Debian packages, a layer each.

use std::path::Path;
use std::process::Command;

use pe_image::flatten::Caps;

use crate::image::{Layer, Memory};
use crate::listing::{assert_same, list};
use crate::{Case, cases, packs, umoci};

/// The tars of packages as dpkg has them; `None`, said loudly, if they cannot be had.
fn layers(packages: &[&str]) -> Option<Vec<Vec<u8>>> {
    let dir = tempfile::tempdir().expect("tempdir");
    // apt gives its rights up for a download.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(dir.path(), open).expect("mode");
    let mut layers = vec![Layer::new().dir("./").end()];
    for package in packages {
        let got = Command::new("apt-get").args(["download", package]).current_dir(&dir).output();
        let mut found = std::fs::read_dir(&dir).expect("list").map(|it| it.expect("entry").path());
        let deb = found.find(|it| named(it).starts_with(&format!("{package}_")));
        let (true, Some(deb)) = (got.is_ok_and(|it| it.status.success()), deb) else {
            eprintln!("SKIPPED: whole images, as `apt-get download {package}` failed");
            return None;
        };
        let tar =
            Command::new("dpkg-deb").arg("--fsys-tarfile").arg(&deb).output().expect("dpkg-deb");
        assert!(tar.status.success());
        layers.push(tar.stdout);
    }
    Some(layers)
}

fn named(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("a name")
}

fn compare(packages: &[&str], removed: Layer, files_min: usize) {
    let Some(mut layers) = layers(packages) else {
        return;
    };
    layers.push(removed.end());
    let memory = Memory::new(&layers);
    let (dir, flattened) = memory.flatten(&Caps::default()).expect("flatten");
    let ours = list(dir.path());
    packs::assert_packed("the pack of it", &memory, &ours);
    assert!(ours.len() > files_min, "{}", ours.len());
    assert!(flattened.notes.memory_bytes < 64 << 20, "{:?}", flattened.notes);
    if let Some(theirs) = umoci::unpack(&layers) {
        assert_same("umoci", &ours, &cases::without_today(theirs.expect("umoci"), &ours));
    }
}

fn busybox_is_what_umoci_unpacks() {
    let removed = Layer::new().file("usr/share/doc/.wh.busybox-static", "");
    compare(&["base-files", "busybox-static"], removed, 80);
}

fn perl_is_what_umoci_unpacks() {
    let removed = Layer::new().file("usr/share/man/.wh..wh..opq", "");
    compare(
        &[
            "base-files",
            "libc6",
            "libcrypt1",
            "perl-base",
            "perl-modules-5.36",
            "passwd",
            "iputils-ping",
        ],
        removed,
        1000,
    );
}

pub(crate) fn all() -> Vec<Case> {
    vec![
        ("real::busybox_is_what_umoci_unpacks", busybox_is_what_umoci_unpacks),
        ("real::perl_is_what_umoci_unpacks", perl_is_what_umoci_unpacks),
    ]
}
