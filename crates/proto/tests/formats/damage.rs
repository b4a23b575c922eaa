//! What a bad link, a killed VM or a hostile peer makes of good bytes.
//!
//! The targets themselves panic if something damaged is accepted but does not say again what its
//! bytes say; here they get every damage of a kind that one byte or one cut can do.

use crate::{targets, vectors};

fn target_of(message: &str) -> Option<targets::Target> {
    targets::TARGETS.into_iter().find(|(name, _)| *name == message).map(|(_, target)| target)
}

/// Serial output has no end and no damage: any bytes are lines. The long vectors of forms expand
/// dozens of cases each time they are read; a small one gets all damage for them.
fn damageable() -> Vec<(String, targets::Target, Vec<u8>)> {
    let all = vectors::all().into_iter().filter(|(message, name, _)| {
        let is_slow = message == "playground_expansion" && !name.contains("-small");
        message != "serial" && !is_slow
    });
    all.filter_map(|(message, name, bytes)| Some((name, target_of(&message)?, bytes))).collect()
}

#[test]
fn every_vector_cut_at_any_byte_is_refused() {
    for (name, accepts, bytes) in damageable() {
        for cut in 0..bytes.len() {
            assert!(!accepts(&bytes[..cut]), "{name} cut to {cut} bytes is accepted");
        }
    }
}

fn with_one_byte_changed(is_wanted: fn(&str) -> bool, values: impl Fn(u8) -> Vec<u8>) {
    for (_, accepts, bytes) in damageable().into_iter().filter(|(name, ..)| is_wanted(name)) {
        let mut damaged = bytes.clone();
        for at in 0..bytes.len() {
            for byte in values(bytes[at]) {
                damaged[at] = byte;
                accepts(&damaged);
            }
            damaged[at] = bytes[at];
        }
    }
}

/// The long vectors, for which every value of every byte would take a minute.
fn is_long(name: &str) -> bool {
    name.starts_with("archive-") || name.ends_with(".json")
}

#[test]
fn a_message_with_one_byte_changed_is_refused_or_says_what_its_bytes_say() {
    with_one_byte_changed(|name| !is_long(name), |_| (0..=255).collect());
}

#[test]
fn archives_and_json_with_one_byte_changed_are_refused_or_say_what_their_bytes_say() {
    with_one_byte_changed(is_long, |byte| {
        let flipped = (0..8).map(|bit| byte ^ (1 << bit));
        let telling = *b"\x00\x7f\x80\xff\"\\{}-9 e";
        flipped.chain(telling).collect()
    });
}

#[test]
fn every_vector_with_a_byte_missing_or_doubled_is_refused_or_says_what_its_bytes_say() {
    for (_, accepts, bytes) in damageable() {
        for at in 0..bytes.len() {
            let missing = [&bytes[..at], &bytes[at + 1..]].concat();
            let doubled = [&bytes[..at], &bytes[at..=at], &bytes[at..]].concat();
            accepts(&missing);
            accepts(&doubled);
        }
    }
}

#[test]
fn no_vector_is_taken_for_another_message() {
    for (message, name, bytes) in vectors::all() {
        for (other, accepts) in targets::TARGETS {
            // A config is a request without files; and any bytes are serial noise.
            let related =
                other == message || (other == "run_request_json" && message == "run_config_json");
            assert!(related || !accepts(&bytes), "{name} is accepted as {other}");
        }
    }
}
