//! Packs that have bytes in common with others.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// Everything that a transfer of one pack needs, and the pack that it is based on.
struct Pair {
    a: Vec<u8>,
    b: Vec<u8>,
    basis: Basis,
}

impl Pair {
    /// Of these lengths; what they share is from `from` to before `to`, and nothing else is alike.
    fn new(a: usize, b: usize, from: usize, to: usize) -> Self {
        let a: Vec<u8> = (0..a).map(|at| u8::try_from(at * 13 % 251).expect("small")).collect();
        let b: Vec<u8> = (0..b)
            .map(|at| {
                let other = 255 - u8::try_from(at * 7 % 97).expect("small");
                if (from..to).contains(&at) { a[at] } else { other }
            })
            .collect();
        let basis = Basis { pack: Digest::of(&a), from: from as u64, to: to as u64 };
        Self { a, b, basis }
    }

    fn order(&self) -> Order {
        let pack = catalogue::Pack {
            digest: Digest::of(&self.b),
            bytes: self.b.len() as u64,
            prefix: String::new(),
            based_on: Some(self.basis),
        };
        Order { pack: pack.digest, bytes: pack.bytes, basis: pack.basis() }
    }

    /// Fetches B into a directory; the value of each counter after it.
    async fn fetch(&self, web: &Web, dir: &Path) -> Counted {
        let cellar = Cellar::open(dir).expect("a cellar");
        let source = Source::Web(web.url(), LinkTls::default());
        let (progress, metrics) = (Progress::default(), Metrics::new().expect("metrics"));
        let order = self.order();
        fetch(&cellar, &source, order, &progress, &metrics).await.expect("it comes");
        assert_eq!(progress.here(), order.bytes);
        assert!(std::fs::read(file(dir, &self.b, "erofs")).expect("a file") == self.b);
        assert!(!file(dir, &self.b, "part").exists());
        let text = metrics.text();
        let value = |name: &str| {
            let series = format!("pe_worker_pack_{name} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&series));
            line.expect("a series").parse().expect("a number")
        };
        Counted {
            fetched: value("fetched_bytes_total"),
            copied: value("copied_bytes_total"),
            resumed: value("resumed_bytes_total"),
            wrong: value("fetches_total{end=\"wrong\"}"),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Counted {
    fetched: u64,
    copied: u64,
    resumed: u64,
    wrong: u64,
}

fn file(dir: &Path, bytes: &[u8], kind: &str) -> std::path::PathBuf {
    dir.join(format!("packs/{}.{kind}", Digest::of(bytes).hex()))
}

/// A directory with a whole pack in it, or something by its name.
fn with(pack: &[u8], holds: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::create_dir(dir.path().join("packs")).expect("a directory");
    std::fs::write(file(dir.path(), pack, "erofs"), holds).expect("a file");
    dir
}

#[tokio::test]
async fn a_worker_fetches_of_a_pack_what_the_one_it_has_does_not_have() {
    let a = pack("a", 3);
    let (from, to) = (4096, 3 * MIB2 - 5000);
    let mut b = pack("b", 4);
    b[usize::try_from(to).expect("small")..].fill(7);
    let basis = Basis { pack: Digest::of(&a), from, to };
    let web = Web::start(&[&a, &b]).await;
    let dir = tempfile::tempdir().expect("tempdir");
    let rig = Rig::start(web, dir, &catalogue(&[("a", &a)]), 100 * MIB2);
    rig.until_offered(&["a"]).await;
    let (web, dir) = rig.kill().await;
    let json = catalogue_of(&[("a", &a, None), ("b", &b, Some(basis))]);
    let rig = Rig::start(web, dir, &json, 100 * MIB2);
    rig.until_offered(&["a", "b"]).await;
    assert_eq!(rig.web.given(), [0..3 * MIB2, 0..from, to..4 * MIB2]);
    rig.until(&format!("pack_fetched_bytes_total {}", 4 * MIB2 - (to - from))).await;
    rig.until(&format!("pack_copied_bytes_total {}", to - from)).await;
    rig.until(&format!("pack_disk_used_bytes {}", 7 * MIB2)).await;
    assert!(std::fs::read(rig.file(&b)).expect("a file") == b);
    rig.stop.cancel();
}

#[tokio::test]
async fn a_pack_that_goes_for_another_is_not_copied_from() {
    let (a, b) = (pack("a", 2), pack("b", 2));
    let basis = Basis { pack: Digest::of(&a), from: 4096, to: 2 * MIB2 };
    let json = catalogue_of(&[("a", &a, None), ("b", &b, Some(basis))]);
    let web = Web::start(&[&a, &b]).await;
    // There is room for one of them.
    let rig = Rig::start(web, tempfile::tempdir().expect("tempdir"), &json, 3 * MIB2);
    rig.until_offered(&["a"]).await;
    rig.want(&["b"]);
    rig.until_offered(&["b"]).await;
    assert_eq!(rig.web.given(), [0..2 * MIB2, 0..2 * MIB2]);
    rig.stop.cancel();
}

#[tokio::test]
async fn a_pack_that_is_not_there_or_is_too_short_is_done_without() {
    let pair = Pair::new(9000, 10_000, 100, 8000);
    let all = Counted { fetched: 10_000, copied: 0, resumed: 0, wrong: 0 };
    for holds in [&[][..], &pair.a[..7999]] {
        let web = Web::start(&[&pair.b]).await;
        let dir = with(&pair.a, holds);
        assert_eq!(pair.fetch(&web, dir.path()).await, all);
        assert!(web.ranges().iter().all(|(_, from)| from.is_none()));
    }
    // Nor is a link followed.
    let (web, dir) = (Web::start(&[&pair.b]).await, with(b"elsewhere", &pair.a));
    let elsewhere = file(dir.path(), b"elsewhere", "erofs");
    std::os::unix::fs::symlink(elsewhere, file(dir.path(), &pair.a, "erofs")).expect("a link");
    assert_eq!(pair.fetch(&web, dir.path()).await, all);
}

#[tokio::test]
async fn a_server_that_knows_no_parts_is_taken_at_its_whole() {
    let pair = Pair::new(9000, 10_000, 100, 8000);
    let (web, dir) = (Web::start(&[&pair.b]).await, with(&pair.a, &pair.a));
    web.know_no_parts();
    let counted = pair.fetch(&web, dir.path()).await;
    assert_eq!(counted, Counted { fetched: 10_000, copied: 0, resumed: 0, wrong: 0 });
    // When the first part is here, it is found out behind the copy.
    let (web, dir) = (Web::start(&[&pair.b]).await, with(&pair.a, &pair.a));
    web.know_no_parts();
    std::fs::write(file(dir.path(), &pair.b, "part"), &pair.b[..100]).expect("a file");
    let counted = pair.fetch(&web, dir.path()).await;
    assert_eq!(counted, Counted { fetched: 10_000, copied: 7900, resumed: 100, wrong: 0 });
}

#[tokio::test]
async fn a_catalogue_that_lies_and_a_damaged_file_cost_time_and_not_the_pack() {
    let pair = Pair::new(9000, 10_000, 100, 8000);
    let mut damaged = pair.a.clone();
    damaged[4000] ^= 1;
    let (web, dir) = (Web::start(&[&pair.b]).await, with(&pair.a, &damaged));
    let counted = pair.fetch(&web, dir.path()).await;
    assert_eq!(counted, Counted { fetched: 12_100, copied: 7900, resumed: 0, wrong: 1 });
    assert_eq!(web.given(), [0..100, 8000..10_000, 0..10_000]);
    // Killed behind the copy, and the other is gone since.
    let (web, dir) = (Web::start(&[&pair.b]).await, with(&pair.a, &[]));
    let mixed = [&pair.b[..100], &damaged[100..8000]].concat();
    std::fs::write(file(dir.path(), &pair.b, "part"), mixed).expect("a file");
    let counted = pair.fetch(&web, dir.path()).await;
    assert_eq!(counted, Counted { fetched: 12_000, copied: 0, resumed: 8000, wrong: 1 });
}

#[tokio::test]
async fn a_server_that_lies_is_asked_for_all_once_more_and_then_left() {
    let pair = Pair::new(9000, 10_000, 100, 8000);
    let (web, dir) = (Web::start(&[&pair.b]).await, with(&pair.a, &pair.a));
    web.lie(true);
    let cellar = Cellar::open(dir.path()).expect("a cellar");
    let source = Source::Web(web.url(), LinkTls::default());
    let (progress, metrics) = (Progress::default(), Metrics::new().expect("metrics"));
    let ended = fetch(&cellar, &source, pair.order(), &progress, &metrics).await;
    assert!(matches!(ended, Err(NotFetched::Wrong)), "{ended:?}");
    assert_eq!(web.given(), [0..100, 8000..10_000, 0..10_000]);
    assert!(!file(dir.path(), &pair.b, "part").exists());
    assert_eq!(progress.here(), 0);
}

/// Two lengths, what is shared, and where the worker was killed.
fn pairs() -> impl Strategy<Value = (usize, usize, usize, usize, usize)> {
    (1..20_000_usize, 1..20_000_usize).prop_flat_map(|(a, b)| {
        let end = a.min(b);
        (0..=end, 0..=end, 0..=b)
            .prop_map(move |(one, other, cut)| (a, b, one.min(other), one.max(other), cut))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_here_is_not_asked_for_and_what_comes_of_it_is_the_pack(
        (a, b, from, to, cut) in pairs(),
    ) {
        let pair = Pair::new(a, b, from, to);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        let (counted, given) = runtime.block_on(async {
            let (web, dir) = (Web::start(&[&pair.b]).await, with(&pair.a, &pair.a));
            std::fs::write(file(dir.path(), &pair.b, "part"), &pair.b[..cut]).expect("a file");
            (pair.fetch(&web, dir.path()).await, web.given())
        });
        let (cut, bytes) = (cut as u64, pair.b.len() as u64);
        let copied = pair.basis.to.saturating_sub(pair.basis.from.max(cut));
        let fetched = bytes - cut - copied;
        // Nothing goes on where all was here.
        let resumed = if cut == bytes { 0 } else { cut };
        prop_assert_eq!(&counted, &Counted { fetched, copied, resumed, wrong: 0 });
        prop_assert_eq!(given.iter().map(|part| part.end - part.start).sum::<u64>(), counted.fetched);
        prop_assert!(given.len() <= 2);
    }
}
