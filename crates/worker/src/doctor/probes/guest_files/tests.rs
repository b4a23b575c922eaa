use super::*;
use std::os::unix::fs::PermissionsExt as _;

/// A folder like build/vm/ARCH, with a kernel that carries a version.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut kernel = vec![0; 4096];
    kernel[0x20e..0x210].copy_from_slice(&0x400_u16.to_le_bytes());
    kernel[0x600..0x60b].copy_from_slice(b"6.1.0-test ");
    std::fs::write(dir.path().join("vmlinuz"), &kernel).expect("write");
    std::fs::write(dir.path().join("initramfs.cpio"), b"070701").expect("write");
    dir
}

fn manifest(dir: &Path, kernel_sha256: &str) {
    let text = format!(
        r#"{{"crun": [], "kernel": {{"release": "6.1.0-test", "vmlinuz_sha256": "{kernel_sha256}"}}}}"#
    );
    std::fs::write(dir.join("manifest.json"), text).expect("write");
}

fn found(dir: &Path) -> (Vec<String>, Vec<String>, bool) {
    match look(dir, true).expect("found") {
        GuestFilesFacts::Found { changed, unreadable, without_manifest, .. } => {
            (changed, unreadable, without_manifest)
        }
        GuestFilesFacts::Missing { reason } => panic!("{reason}"),
    }
}

#[test]
fn files_are_compared_with_the_manifest_of_their_build() {
    let dir = folder();
    assert_eq!(found(dir.path()), (Vec::new(), Vec::new(), true));
    let kernel = File::open(dir.path().join("vmlinuz")).expect("open");
    let sum = sha256(kernel).expect("sum");
    manifest(dir.path(), &sum);
    assert_eq!(found(dir.path()), (Vec::new(), Vec::new(), false));
    manifest(dir.path(), "00");
    assert_eq!(found(dir.path()).0, ["vmlinuz"]);
    std::fs::write(dir.path().join("manifest.json"), "{}").expect("write");
    assert!(look(dir.path(), true).expect_err("no manifest").contains("manifest.json"));
}

#[test]
fn a_file_that_vms_cannot_read_is_named() {
    let dir = folder();
    let private = dir.path().join("initramfs.cpio");
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    assert_eq!(found(dir.path()).1, [private.display().to_string()]);
    std::fs::remove_file(&private).expect("remove");
    assert!(look(dir.path(), true).expect_err("missing").contains("initramfs.cpio"));
}
