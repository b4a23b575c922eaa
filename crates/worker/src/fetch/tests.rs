//! The fetcher against a scripted LB and web server over real sockets, with real files.

mod basis;
mod web;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use pe_proto::catalogue::{Basis, Image, ImageConfig, Platform};
use pe_proto::limits::PMEM_ALIGN;

use super::*;
use crate::core::pool::PoolTerms;
use crate::driver;
use crate::vm::fake::FakeHost;
use web::Web;

const MIB2: u64 = PMEM_ALIGN;

/// A pack of so many times 2 MiB, by name.
fn pack(name: &str, count: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(count * MIB2).expect("small")];
    bytes[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
    bytes[1072..1088].copy_from_slice(&Digest::of(name.as_bytes()).0[..16]);
    for (index, byte) in bytes[4096..].iter_mut().enumerate() {
        *byte = u8::try_from(index * 13 % 251).expect("small");
    }
    bytes
}

fn image(name: &str) -> Digest {
    Digest::of(format!("image {name}").as_bytes())
}

fn catalogue(packs: &[(&str, &[u8])]) -> Vec<u8> {
    let packs: Vec<_> = packs.iter().map(|(name, bytes)| (*name, *bytes, None)).collect();
    catalogue_of(&packs)
}

fn catalogue_of(packs: &[(&str, &[u8], Option<Basis>)]) -> Vec<u8> {
    let images = packs.iter().map(|(name, bytes, basis)| {
        let digest = Digest::of(bytes);
        let (bytes, prefix) = (bytes.len() as u64, String::new());
        let pack = catalogue::Pack { digest, bytes, prefix, based_on: *basis };
        let platform = Platform {
            arch: Arch::X86_64,
            digest: image(name),
            pack,
            config: ImageConfig::default(),
        };
        let text = |text: &str| text.to_owned();
        Image {
            name: text(name),
            tags: vec![],
            title: text(""),
            description: text(""),
            platforms: vec![platform],
            playground: None,
        }
    });
    let catalogue = Catalogue { version: catalogue::VERSION, images: images.collect() };
    serde_json::to_vec(&catalogue).expect("JSON")
}

struct Rig {
    web: Web,
    dir: tempfile::TempDir,
    library: Library,
    desk: Desk,
    metrics: Metrics,
    stop: CancellationToken,
    tasks: tokio::task::JoinSet<()>,
}

impl Rig {
    /// A fetcher with a catalogue that it knows, in a directory.
    fn start(web: Web, dir: tempfile::TempDir, json: &[u8], budget_bytes: u64) -> Self {
        let cellar = Cellar::open(dir.path()).expect("a cellar");
        cellar.keep_catalogue(json).expect("a file");
        let images = crate::images::Images::open(dir.path(), Arch::X86_64, true).expect("images");
        let library = Library::new(images);
        let metrics = Metrics::new().expect("metrics");
        let (pool, handle) =
            driver::pool(PoolTerms::of(1, 0), Arc::new(FakeHost::polite()), metrics.clone());
        let config = FetchConfig { budget_bytes, packs_url: Some(web.url()) };
        let terms = FetchTerms { config, arch: Arch::X86_64, for_all: true, pinned: Vec::new() };
        let desk = Desk::default();
        let (l, d, m) = (library.clone(), desk.clone(), metrics.clone());
        let fetcher = Fetcher::new(terms, Arc::new(cellar), l, handle, d, m).expect("a fetcher");
        let stop = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        let stopped = stop.clone();
        tasks.spawn(async move {
            let _ = pool.run(stopped).await;
        });
        tasks.spawn(fetcher.run(stop.clone()));
        Self { web, dir, library, desk, metrics, stop, tasks }
    }

    async fn until_offered(&self, names: &[&str]) {
        let mut expected: Vec<Digest> = names.iter().map(|name| image(name)).collect();
        expected.sort_unstable();
        let mut shelves = self.library.watch();
        let is_so = shelves.wait_for(|shelves| shelves.offered() == expected);
        let limit = tokio::time::timeout(Duration::from_secs(30), is_so).await;
        let _ = limit.unwrap_or_else(|_| panic!("{names:?}: {}", self.metrics.text()));
    }

    /// Waits until a series has this value.
    async fn until(&self, series: &str) {
        let wait = async {
            while !self.metrics.text().contains(&format!("pe_worker_{series}\n")) {
                tokio::task::yield_now().await;
            }
        };
        let limit = tokio::time::timeout(Duration::from_secs(30), wait).await;
        limit.unwrap_or_else(|_| panic!("{series}: {}", self.metrics.text()));
    }

    fn want(&self, names: &[&str]) {
        let images = names.iter().map(|name| image(name)).collect();
        self.desk.wants(Wanted { catalogue: desk::NONE, images });
    }

    /// The worker is killed, and what is on the disk stays.
    async fn kill(mut self) -> (Web, tempfile::TempDir) {
        self.tasks.shutdown().await;
        (self.web, self.dir)
    }

    fn file(&self, bytes: &[u8]) -> std::path::PathBuf {
        self.dir.path().join("packs").join(format!("{}.erofs", Digest::of(bytes).hex()))
    }
}

#[tokio::test]
async fn a_worker_with_an_empty_disk_fetches_what_the_catalogue_has() {
    let (a, b) = (pack("a", 1), pack("b", 2));
    let web = Web::start(&[&a, &b]).await;
    let json = catalogue(&[("a", &a), ("b", &b)]);
    let rig = Rig::start(web, tempfile::tempdir().expect("tempdir"), &json, 100 * MIB2);
    rig.until_offered(&["a", "b"]).await;
    assert_eq!(rig.web.ranges(), [(Digest::of(&a), None), (Digest::of(&b), None)]);
    let mode = std::fs::metadata(rig.file(&a)).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o444, "VMs read it, nobody writes it");
    assert!(rig.metrics.text().contains("pe_worker_pack_fetches_total{end=\"good\"} 2\n"));
    rig.until(&format!("pack_disk_used_bytes {}", 3 * MIB2)).await;
    // It is there after a start without anybody to ask.
    let (web, dir) = rig.kill().await;
    drop(web);
    let rig = Rig::start(Web::start(&[]).await, dir, &json, 100 * MIB2);
    rig.until_offered(&["a", "b"]).await;
    rig.stop.cancel();
}

#[tokio::test]
async fn a_transfer_that_broke_off_or_was_killed_goes_on_from_where_it_was() {
    let a = pack("a", 4);
    let json = catalogue(&[("a", &a)]);
    let web = Web::start(&[&a]).await;
    web.cut_after(3 * 1024 * 1024);
    let rig = Rig::start(web, tempfile::tempdir().expect("tempdir"), &json, 100 * MIB2);
    rig.until("pack_fetches_total{end=\"cut\"} 1").await;
    let (web, dir) = rig.kill().await;
    let had = std::fs::metadata(dir.path().join(format!("packs/{}.part", Digest::of(&a).hex())));
    let had = had.expect("a file").len();
    assert_eq!(had, 3 * 1024 * 1024);
    let rig = Rig::start(web, dir, &json, 100 * MIB2);
    rig.until_offered(&["a"]).await;
    assert_eq!(rig.web.ranges().last(), Some(&(Digest::of(&a), Some(had))));
    assert!(rig.metrics.text().contains(&format!("pe_worker_pack_resumed_bytes_total {had}\n")));
    assert_eq!(std::fs::read(rig.file(&a)).expect("a file"), a);
    rig.stop.cancel();
}

#[tokio::test]
async fn what_was_not_fetched_again_counts_once_however_often_a_transfer_goes_on() {
    let a = pack("a", 4);
    let json = catalogue(&[("a", &a)]);
    let web = Web::start(&[&a]).await;
    web.cut_after(3 * 1024 * 1024);
    web.cut_after(2 * 1024 * 1024);
    web.cut_after(1024 * 1024);
    let rig = Rig::start(web, tempfile::tempdir().expect("tempdir"), &json, 100 * MIB2);
    rig.until_offered(&["a"]).await;
    let behind: Vec<_> = rig.web.ranges().into_iter().filter_map(|(_, from)| from).collect();
    assert_eq!(behind, [3 * 1024 * 1024, 5 * 1024 * 1024, 6 * 1024 * 1024]);
    let once = format!("pe_worker_pack_resumed_bytes_total {}\n", 6 * 1024 * 1024);
    assert!(rig.metrics.text().contains(&once), "{}", rig.metrics.text());
    rig.stop.cancel();
}

#[tokio::test]
async fn wrong_bytes_are_found_out_thrown_away_and_counted() {
    let a = pack("a", 1);
    let json = catalogue(&[("a", &a)]);
    let web = Web::start(&[&a]).await;
    web.lie(true);
    let rig = Rig::start(web, tempfile::tempdir().expect("tempdir"), &json, 100 * MIB2);
    rig.until("pack_fetches_total{end=\"wrong\"} 1").await;
    assert!(!rig.file(&a).exists());
    assert_eq!(rig.library.now().digests(), []);
    // The begin of it is not trusted either.
    rig.web.lie(false);
    rig.until_offered(&["a"]).await;
    assert!(rig.web.ranges().iter().all(|(_, range)| range.is_none()));
    rig.stop.cancel();
}

#[tokio::test]
async fn a_file_that_became_another_on_the_disk_is_fetched_anew() {
    let a = pack("a", 1);
    let json = catalogue(&[("a", &a)]);
    let web = Web::start(&[&a]).await;
    let rig = Rig::start(web, tempfile::tempdir().expect("tempdir"), &json, 100 * MIB2);
    rig.until_offered(&["a"]).await;
    rig.library.found_bad(Digest::of(&a));
    rig.until("pack_fetches_total{end=\"good\"} 2").await;
    rig.until_offered(&["a"]).await;
    rig.stop.cancel();
}

#[tokio::test]
async fn what_is_wanted_pushes_out_what_is_not_used_and_not_before_it_is_withdrawn() {
    let packs = [pack("a", 2), pack("b", 2), pack("c", 3)];
    let [a, b, c] = &packs;
    let json = catalogue(&[("a", a), ("b", b), ("c", c)]);
    let web = Web::start(&[a, b, c]).await;
    let rig = Rig::start(web, tempfile::tempdir().expect("tempdir"), &json, 5 * MIB2);
    rig.until_offered(&["a", "b"]).await;
    // The LB knows of both, and a VM runs a job in one.
    rig.library.told([image("a"), image("b")]);
    let lent = rig.library.lend(image("b")).expect("here");
    let in_use = lent.pack.hold();
    rig.want(&["c"]);
    rig.until_offered(&["b"]).await;
    assert!(rig.file(a).exists(), "the LB may still send a job of it");
    rig.library.told([image("b")]);
    rig.until_offered(&["b", "c"]).await;
    assert!(!rig.file(a).exists() && rig.file(b).exists());
    rig.until("pack_evictions_total 1").await;
    // Nothing can be promised that would need the pack in use to go.
    rig.want(&["a"]);
    let mut reports = rig.desk.reports();
    let able = reports.wait_for(|report| report.able == [image("a")]).await;
    assert!(able.is_ok());
    drop(in_use);
    rig.stop.cancel();
}

#[tokio::test]
async fn a_pack_makes_way_for_one_that_is_waited_for_and_goes_on_later() {
    let (a, b) = (pack("a", 8), pack("b", 1));
    let json = catalogue(&[("a", &a), ("b", &b)]);
    let web = Web::start(&[&a, &b]).await;
    web.hold_after(5 * 1024 * 1024);
    let rig = Rig::start(web, tempfile::tempdir().expect("tempdir"), &json, 100 * MIB2);
    rig.web.until_held().await;
    rig.want(&["b"]);
    rig.until("pack_fetches_total{end=\"yielded\"} 1").await;
    rig.until_offered(&["b"]).await;
    rig.want(&[]);
    rig.until_offered(&["a", "b"]).await;
    let ranges = rig.web.ranges();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert!(ranges[2].0 == Digest::of(&a) && ranges[2].1.is_some_and(|from| from > 0));
    rig.stop.cancel();
}

#[tokio::test]
async fn a_directory_is_one_workers() {
    let dir = tempfile::tempdir().expect("tempdir");
    let first = Cellar::open(dir.path()).expect("free");
    let taken = Cellar::open(dir.path()).expect_err("taken");
    assert!(taken.to_string().contains("another worker"), "{taken}");
    drop(first);
    assert!(Cellar::open(dir.path()).is_ok());
}
