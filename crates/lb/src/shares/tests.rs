use std::path::PathBuf;

use proptest::prelude::*;
use tokio::task::JoinSet;

use super::*;
use crate::limits::SHARE_BYTES_MAX;
use crate::metrics::Metrics;

fn open(memory_bytes: usize, disk: Option<(PathBuf, u64)>) -> (Shares, JoinSet<()>) {
    let sizes = ShareSizes { memory_bytes, disk };
    let (shares, writer) = Shares::open(&sizes, Metrics::new().unwrap().shares).unwrap();
    let mut tasks = JoinSet::new();
    if let Some(writer) = writer {
        tasks.spawn(writer.run());
    }
    (shares, tasks)
}

fn state(number: usize) -> Vec<u8> {
    format!(r#"{{"v":1,"image":"busybox","stdin":"{number}"}}"#).into_bytes()
}

#[tokio::test]
async fn a_state_is_found_under_its_name_and_the_same_state_has_the_same_name() {
    let (shares, _tasks) = open(1 << 20, None);
    let id = shares.keep(state(1)).unwrap();
    assert_eq!(shares.keep(state(1)).unwrap(), id);
    assert!(shares.has(id));
    assert_eq!(shares.find(id, Encoding::Identity).await.unwrap().body, state(1));
    assert!(shares.find(ShareId::of(&state(2)), Encoding::Identity).await.is_none());
}

#[tokio::test]
async fn what_was_not_looked_at_for_longest_goes_first() {
    let (shares, _tasks) = open(20 * 3000, None);
    let first = shares.keep(state(0)).unwrap();
    for number in 1..100 {
        shares.keep(state(number)).unwrap();
        shares.memory.settle();
        assert!(shares.find(first, Encoding::Identity).await.is_some(), "{number}");
    }
    shares.memory.settle();
    let mut known = 0;
    for number in 0..100 {
        let found = shares.find(ShareId::of(&state(number)), Encoding::Identity).await;
        known += usize::from(found.is_some());
    }
    assert!((10..=30).contains(&known), "{known}: bounded by bytes, overhead included");
}

#[tokio::test]
async fn the_disk_keeps_what_memory_forgot_and_a_restart_finds_it() {
    let place = tempfile::tempdir().unwrap();
    let disk = Some((place.path().join("shares"), 100 << 20));
    let (shares, mut tasks) = open(3000, disk.clone());
    let ids: Vec<ShareId> = (0..50).map(|number| shares.keep(state(number)).unwrap()).collect();
    shares.flush().await;
    for (number, id) in ids.iter().enumerate() {
        let found = shares.find(*id, Encoding::Identity).await.expect("a share");
        assert_eq!(found.body, state(number));
    }
    drop(shares);
    tasks.shutdown().await;
    let (shares, _tasks) = open(1 << 20, disk);
    let again = shares.find(ids[7], Encoding::Identity).await.expect("a share");
    assert_eq!(again.body, state(7));
    assert_eq!(again.headers.get("content-type").unwrap(), "application/json");
    assert!(again.headers.get("pe-job").is_none());
}

#[tokio::test]
async fn the_disk_is_bounded_in_number_as_small_files_take_whole_blocks() {
    let place = tempfile::tempdir().unwrap();
    let (shares, _tasks) = open(3000, Some((place.path().to_owned(), 10 * 4096)));
    for number in 0..40 {
        shares.keep(state(number)).unwrap();
        shares.flush().await;
    }
    let folders = place.path().read_dir().unwrap();
    let files = folders.flat_map(|folder| folder.unwrap().path().read_dir().unwrap()).count();
    assert!((1..=10).contains(&files), "{files}");
}

#[test]
fn only_objects_are_states() {
    let check = |text: &[u8]| check(text);
    for good in ["{}", " {\"v\":1} \n", r#"{"a":{"b":[1,2.5e3,null,true,"\u00e4"]}}"#] {
        assert!(check(good.as_bytes()).is_ok(), "{good}");
    }
    for bad in
        ["", "[]", "1", "null", "\"{}\"", "{", "{}{}", "{} x", "{'a':1}", "{\"a\":}", "{\"a\"}"]
    {
        assert!(check(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(check(b"{\"a\":\"\xff\"}").is_err(), "no text");
    // Depth costs no stack here; what reads it has bounds of its own.
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(check(deep.as_bytes()).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_break_the_check(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let is_object = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok_and(|v| v.is_object());
        prop_assert!(!is_object || check(&bytes).is_ok());
    }

    #[test]
    fn what_is_taken_for_an_object_is_one(text in r#"[ \{\}\[\]":,a1\\]{0,40}"#) {
        let is_object = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|v| v.is_object());
        prop_assert_eq!(check(text.as_bytes()).is_ok(), is_object, "{}", text);
    }
}

#[test]
fn the_largest_state_fits_in_what_may_be_set() {
    let (shares, _tasks) = open(1 << 20, None);
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(SHARE_BYTES_MAX - 8));
    assert!(shares.keep(large.into_bytes()).is_ok());
}
