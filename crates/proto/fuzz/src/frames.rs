//! The messages behind a codec frame.

use std::fmt::Debug;

use pe_proto::codec::{self, Message};
use pe_proto::digest::JobDigester;
use pe_proto::guest_config::GuestConfig;
use pe_proto::limits::{
    CONFIG_BYTES_MAX, NOTE_BYTES_MAX, NOTES_MAX, OFFERED_IMAGES_MAX, WANTED_IMAGES_MAX,
};
use pe_proto::link::{DoneHead, Fetches, Hello, LeaseHead, Ready, State, Wanted, Wants, Welcome};
use pe_proto::{JobSpec, ResultMeta};

/// Reads `data` as a [`GuestConfig`].
pub fn guest_config(data: &[u8]) -> bool {
    frame(data, |config: GuestConfig| check_spec(&config.spec))
}

/// Reads `data` as a [`ResultMeta`].
pub fn result_meta(data: &[u8]) -> bool {
    frame(data, check_meta)
}

/// Reads `data` as a [`Hello`].
pub fn hello(data: &[u8]) -> bool {
    frame(data, |hello: Hello| {
        assert!(!hello.is_bounded() || hello.images.len() <= OFFERED_IMAGES_MAX);
    })
}

/// Reads `data` as a [`Welcome`].
pub fn welcome(data: &[u8]) -> bool {
    frame(data, |_: Welcome| {})
}

/// Reads `data` as a [`Ready`].
pub fn ready(data: &[u8]) -> bool {
    frame(data, |_: Ready| {})
}

/// Reads `data` as a [`LeaseHead`].
pub fn lease_head(data: &[u8]) -> bool {
    frame(data, |head: LeaseHead| check_spec(&head.spec))
}

/// Reads `data` as a [`DoneHead`].
pub fn done_head(data: &[u8]) -> bool {
    frame(data, |head: DoneHead| check_meta(head.meta))
}

/// Reads `data` as a [`State`].
pub fn state(data: &[u8]) -> bool {
    frame(data, |state: State| {
        assert!(!state.is_bounded() || state.images.len() <= OFFERED_IMAGES_MAX);
    })
}

/// Reads `data` as a [`Fetches`].
pub fn fetches(data: &[u8]) -> bool {
    frame(data, |fetches: Fetches| {
        assert!(!fetches.is_bounded() || fetches.able.len() <= OFFERED_IMAGES_MAX);
        assert!(!fetches.is_bounded() || fetches.under_way.len() <= WANTED_IMAGES_MAX);
    })
}

/// Reads `data` as a [`Wants`].
pub fn wants(data: &[u8]) -> bool {
    frame(data, |wants: Wants| {
        assert!(!wants.is_bounded() || wants.known.len() <= WANTED_IMAGES_MAX);
    })
}

/// Reads `data` as a [`Wanted`].
pub fn wanted(data: &[u8]) -> bool {
    frame(data, |wanted: Wanted| {
        assert!(!wanted.is_bounded() || wanted.images.len() <= WANTED_IMAGES_MAX);
    })
}

/// Decodes a frame; what is accepted has exactly the bytes it came from, and passes `check`.
fn frame<M: Message + PartialEq + Debug>(data: &[u8], check: impl FnOnce(M)) -> bool {
    let prefix = codec::decode_prefix::<M>(data);
    let Ok(message) = codec::decode::<M>(data) else {
        return false;
    };
    assert!(prefix.is_ok_and(|(same, rest)| same == message && rest.is_empty()));
    assert_eq!(codec::frame_len::<M>(data), Ok(data.len()));
    assert_eq!(codec::to_vec(&message).as_deref(), Ok(data), "one message has one encoding");
    check(message);
    true
}

/// Every spec can be judged and named; a good one is not over its bound.
fn check_spec(spec: &JobSpec) {
    let canonical = spec.canonical();
    if spec.check().is_ok() {
        assert!(canonical.len() <= CONFIG_BYTES_MAX);
        assert!(!spec.args.is_empty());
    }
    let _ = JobDigester::new(spec).finish();
}

/// A guest's words can always be cut to their bounds, once, and then fit their message.
fn check_meta(meta: ResultMeta) {
    let bounded = meta.bounded();
    assert!(bounded.notes.len() <= NOTES_MAX);
    assert!(bounded.notes.iter().all(|note| note.len() <= NOTE_BYTES_MAX));
    assert!(bounded.truncated.len() <= 3);
    assert!(codec::to_vec(&bounded).is_ok());
    assert_eq!(bounded.clone().bounded(), bounded);
}
