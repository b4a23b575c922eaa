use super::*;
use std::os::unix::fs::PermissionsExt as _;

/// Images that hold just one, whose pack nobody will look into.
pub(crate) fn only(image: Digest) -> Images {
    let file = tempfile::tempfile().expect("file");
    let pack = Arc::new(Pack {
        digest: image,
        bytes: PMEM_ALIGN,
        uuid: [7; 16],
        path: PathBuf::new(),
        file,
        users: Arc::default(),
    });
    let mut images = Images::default();
    let place = Place { pack: Arc::clone(&pack), prefix: String::new() };
    images.by_digest.insert(image, place);
    images.packs.push(pack);
    images
}

/// A directory of images.
pub(crate) struct Shelf {
    dir: tempfile::TempDir,
    images: Vec<String>,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::create_dir(dir.path().join("packs")).expect("mkdir");
        Self { dir, images: Vec::new() }
    }

    /// A pack whose digest is only its name's.
    pub(crate) fn pack(&mut self, name: &str, bytes: u64, uuid: [u8; 16], mode: u32) -> Digest {
        let digest = Digest::of(name.as_bytes());
        let path = self.path(digest);
        let file = File::create(&path).expect("create");
        file.set_len(bytes).expect("length");
        file.write_all_at(&EROFS_MAGIC, SUPERBLOCK).expect("write");
        file.write_all_at(&uuid, UUID).expect("write");
        file.set_permissions(std::fs::Permissions::from_mode(mode)).expect("mode");
        self.list(name, digest, bytes);
        digest
    }

    fn list(&mut self, name: &str, digest: Digest, bytes: u64) {
        let config = r#"{"entrypoint":[],"cmd":[],"env":[],"workdir":"","user":""}"#;
        self.images.push(format!(
            r#"{{"name":"{name}","tags":["1"],"title":"","description":"","platforms":[{{
            "arch":"x86_64","digest":"{digest}","pack":{{"digest":"{digest}","bytes":{bytes},"prefix":""}},
            "config":{config}}}],"playground":null}}"#
        ));
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.path().join("packs").join(format!("{}.erofs", digest.hex()))
    }

    /// A pack that is what it is called.
    pub(crate) fn true_pack(&mut self, name: &str, uuid: [u8; 16]) -> Digest {
        let made = self.pack(name, TWO_MIB, uuid, 0o444);
        let digest = Digest::of(&std::fs::read(self.path(made)).expect("read"));
        std::fs::rename(self.path(made), self.path(digest)).expect("rename");
        self.images.pop();
        self.list(name, digest, TWO_MIB);
        digest
    }

    pub(crate) fn open(&self) -> Images {
        let catalogue = format!(r#"{{"version":2,"images":[{}]}}"#, self.images.join(","));
        std::fs::write(self.dir.path().join("catalogue.json"), catalogue).expect("write");
        Images::open(self.dir.path(), Arch::X86_64, true).expect("catalogue")
    }
}

/// A folder with two packs, neither of which has the bytes of its digest.
pub(crate) fn two() -> tempfile::TempDir {
    let mut shelf = Shelf::new();
    shelf.pack("a", TWO_MIB, [1; 16], 0o644);
    shelf.pack("b", TWO_MIB, [2; 16], 0o644);
    assert_eq!(shelf.open().packs().len(), 2);
    shelf.dir
}

const TWO_MIB: u64 = PMEM_ALIGN;

#[test]
fn good_packs_are_opened_and_known_by_digest_and_name() {
    let mut shelf = Shelf::new();
    let a = shelf.pack("a", TWO_MIB, [1; 16], 0o444);
    let b = shelf.pack("b", 2 * TWO_MIB, [2; 16], 0o644);
    let images = shelf.open();
    assert_eq!(images.packs().len(), 2);
    assert_eq!(images.named("b"), Some(b));
    let pack = images.pack(a).expect("there");
    assert_eq!((pack.bytes(), pack.uuid()), (TWO_MIB, [1; 16]));
}

#[test]
fn bad_packs_are_left_out_and_the_rest_is_not() {
    let mut shelf = Shelf::new();
    shelf.pack("good", TWO_MIB, [1; 16], 0o444);
    shelf.pack("same-uuid", TWO_MIB, [1; 16], 0o444);
    shelf.pack("odd", TWO_MIB + 4096, [3; 16], 0o444);
    shelf.pack("like-an-io-file", IO_FILE_BYTES, [4; 16], 0o444);
    shelf.pack("private", TWO_MIB, [5; 16], 0o400);
    let link = Digest::of(b"link");
    let outside = shelf.dir.path().join("outside");
    std::fs::write(&outside, vec![0; 2 << 20]).expect("write");
    std::os::unix::fs::symlink(outside, shelf.path(link)).expect("link");
    shelf.list("link", link, TWO_MIB);
    shelf.list("missing", Digest::of(b"missing"), TWO_MIB);
    let empty = shelf.pack("no-erofs", TWO_MIB, [6; 16], 0o444);
    File::create(shelf.path(empty)).expect("create").set_len(TWO_MIB).expect("length");
    let images = shelf.open();
    assert_eq!(images.digests(), [Digest::of(b"good")]);
}

#[test]
fn a_catalogue_that_is_none_says_where() {
    let dir = tempfile::tempdir().expect("tempdir");
    let open = || crate::chain(&Images::open(dir.path(), Arch::X86_64, false).expect_err("bad"));
    assert!(open().contains("catalogue.json"));
    std::fs::write(dir.path().join("catalogue.json"), "{}").expect("write");
    assert!(open().contains("is not a catalogue"));
    std::fs::write(dir.path().join("catalogue.json"), r#"{"version":9,"images":[]}"#)
        .expect("write");
    assert!(open().contains("version 2, got 9"));
}
