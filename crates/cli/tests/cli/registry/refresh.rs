//! `pe image refresh`: a tag of a real registry that stays, moves, and cannot be asked.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pe_proto::Digest;
use serde_json::Value;

use super::{import, put, skopeo_and_registry, unpacked};
use crate::image::{has_fsck, image};
use crate::{output, texts};

const DAY: u64 = 24 * 3600;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

/// Status and words.
fn refresh(store: &Path, registry: &str) -> (Option<i32>, String) {
    let store = store.display().to_string();
    let args = ["refresh", "--into", &store, "--local-registry", registry];
    let done = output(&mut image(&args));
    let (status, out, err) = texts(&done);
    assert_eq!(err, "", "{out}");
    (status, out.to_owned())
}

/// The entry of this name with the tag 1, as it is kept.
fn kept(store: &Path, name: &str) -> Value {
    let text = std::fs::read(store.join(format!("{name}%3a1.json"))).expect("an entry");
    serde_json::from_slice(&text).expect("JSON")
}

fn keep(store: &Path, name: &str, entry: &Value) {
    std::fs::write(store.join(format!("{name}%3a1.json")), entry.to_string()).expect("written");
}

/// As if it had been looked at so long ago.
fn age(store: &Path, name: &str, seconds: u64) {
    let mut entry = kept(store, name);
    entry["checked_unix_s"] = (now() - seconds).into();
    keep(store, name, &entry);
}

fn digest(entry: &Value) -> &Value {
    &entry["image"]["platforms"][0]["digest"]
}

#[test]
fn a_tag_that_moved_is_imported_again_and_stays_when_nobody_answers() {
    let (Some((skopeo, registry)), true) = (skopeo_and_registry(), has_fsck()) else { return };
    let host = registry.host();
    let dir = tempfile::tempdir().expect("a directory");
    let store = dir.path();
    let moving = format!("{host}/team/moving:1");
    put(&skopeo, b"first", &moving);
    put(&skopeo, b"still", &format!("{host}/still:1"));
    let first = import(&format!("docker://{moving}"), &host, store);
    import(&format!("docker://{host}/still:1"), &host, store);

    // Asked a moment ago: nobody is asked, which a registry that nobody may ask shows.
    let (status, said) = refresh(store, "127.0.0.1:1");
    assert_eq!((status, said.as_str()), (Some(0), "Nothing is due.\n"));

    age(store, "moving", 2 * DAY);
    age(store, "still", 2 * DAY);
    put(&skopeo, b"second", &moving);
    let (status, said) = refresh(store, &host);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("moving:1: was imported again\n"), "{said}");
    assert!(said.contains("still:1: is current\n"), "{said}");
    let second = kept(store, "moving");
    assert_ne!(digest(&first), digest(&second));
    assert_eq!(unpacked(store, &first)["hello"].2, b"first");
    assert_eq!(unpacked(store, &second)["hello"].2, b"second");
    let catalogue = std::fs::read_to_string(store.join("catalogue.json")).expect("a catalogue");
    assert!(catalogue.contains(digest(&second).as_str().expect("text")), "{catalogue}");
    assert!(!catalogue.contains(digest(&first).as_str().expect("text")), "{catalogue}");
    for name in ["moving", "still"] {
        let checked = kept(store, name)["checked_unix_s"].as_u64().expect("a time");
        assert!(now() - checked < DAY, "{name}: {checked}");
    }

    // Somebody who may not be asked is no reason to leave the others as they are.
    age(store, "moving", 2 * DAY);
    age(store, "still", 2 * DAY);
    let mut entry = kept(store, "moving");
    entry["origin"] = "docker://registry.example/team/moving:1".into();
    keep(store, "moving", &entry);
    let (status, said) = refresh(store, &host);
    assert_eq!(status, Some(125), "{said}");
    assert!(
        said.contains("moving:1: stays as it is: ") && said.contains("not on the list"),
        "{said}"
    );
    assert!(said.contains("still:1: is current\n"), "{said}");
    entry["origin"] = format!("docker://{moving}").into();
    keep(store, "moving", &entry);

    // Nobody answers: what is there stays, and is said; after a week it is a failure.
    drop(registry);
    for (days, expected) in [(3, Some(0)), (8, Some(125))] {
        age(store, "moving", days * DAY);
        let before = kept(store, "moving");
        let (status, said) = refresh(store, &host);
        assert_eq!(status, expected, "{said}");
        let words =
            format!("moving:1: stays as it is, last checked {days} days ago: {host} cannot");
        assert!(said.contains(&words), "{said}");
        assert_eq!(kept(store, "moving"), before);
    }
    assert_eq!(unpacked(store, &kept(store, "moving"))["hello"].2, b"second");
}

#[test]
fn an_image_that_is_gone_or_cannot_be_read_stays_as_it_was() {
    let (Some((skopeo, registry)), true) = (skopeo_and_registry(), has_fsck()) else { return };
    let host = registry.host();
    let dir = tempfile::tempdir().expect("a directory");
    let store = dir.path();
    put(&skopeo, b"first", &format!("{host}/own:1"));
    import(&format!("docker://{host}/own:1"), &host, store);
    let before = kept(store, "own");
    // It has another manifest by now, whose layer the registry lost.
    put(&skopeo, b"second", &format!("{host}/own:1"));
    let source = format!("docker://{host}/own:1");
    let args = ["inspect", &source, "--arch", "x86_64", "--local-registry", &host, "--json"];
    let told: Value = serde_json::from_slice(&output(&mut image(&args)).stdout).expect("JSON");
    let layer: Digest =
        told["layers"][0]["digest"].as_str().expect("text").parse().expect("a digest");
    let blobs = registry.dir.path().join("store/docker/registry/v2/blobs/sha256");
    let blob = blobs.join(&layer.hex()[..2]).join(layer.hex());
    std::fs::remove_dir_all(blob).expect("removed");
    age(store, "own", 2 * DAY);
    let (status, said) = refresh(store, &host);
    assert_eq!(status, Some(125), "{said}");
    assert!(said.starts_with("own:1: stays as it is"), "{said}");
    assert_eq!(digest(&kept(store, "own")), digest(&before));
    assert_eq!(unpacked(store, &kept(store, "own"))["hello"].2, b"first");
}
