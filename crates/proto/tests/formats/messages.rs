//! The codec frame: every message survives it, and nothing but that message is taken from it.

use std::fmt::Debug;

use pe_proto::codec::{self, BadMessage, HEAD_BYTES, Message};
use pe_proto::guest_config::GuestConfig;
use pe_proto::link::{Hello, Ready, Welcome};
use proptest::prelude::{prop_assert_eq, proptest};
use proptest::test_runner::TestCaseError;

use crate::{samples, strategies as any};

fn survives<M: Message + PartialEq + Debug>(message: &M) -> Result<(), TestCaseError> {
    let mut bytes = codec::to_vec(message).unwrap();
    prop_assert_eq!(codec::frame_len::<M>(&bytes), Ok(bytes.len()));
    let decoded = codec::decode::<M>(&bytes);
    prop_assert_eq!(decoded.as_ref(), Ok(message));
    bytes.extend_from_slice(b"archive");
    let (decoded, rest) = codec::decode_prefix::<M>(&bytes).unwrap();
    prop_assert_eq!(&decoded, message);
    prop_assert_eq!(rest, b"archive");
    prop_assert_eq!(codec::decode::<M>(&bytes), Err(BadMessage::Trailing));
    Ok(())
}

proptest! {
    #[test]
    fn every_guest_config_survives_its_frame(message in any::guest_config()) {
        survives(&message)?;
    }

    #[test]
    fn every_result_meta_survives_its_frame(message in any::meta()) {
        survives(&message)?;
    }

    #[test]
    fn every_hello_survives_its_frame(message in any::hello()) {
        survives(&message)?;
    }

    #[test]
    fn every_welcome_survives_its_frame(message in any::welcome()) {
        survives(&message)?;
    }

    #[test]
    fn every_ready_survives_its_frame(message in any::ready()) {
        survives(&message)?;
    }

    #[test]
    fn every_lease_head_survives_its_frame(message in any::lease_head()) {
        survives(&message)?;
    }

    #[test]
    fn every_done_head_survives_its_frame(message in any::done_head()) {
        survives(&message)?;
    }

    #[test]
    fn every_state_survives_its_frame(message in any::state()) {
        survives(&message)?;
    }

    #[test]
    fn every_report_of_fetches_survives_its_frame(message in any::fetches()) {
        survives(&message)?;
    }

    #[test]
    fn every_question_what_is_wanted_survives_its_frame(message in any::wants()) {
        survives(&message)?;
    }

    #[test]
    fn every_answer_what_is_wanted_survives_its_frame(message in any::wanted()) {
        survives(&message)?;
    }
}

fn welcome_with(at: usize, byte: u8) -> Result<Welcome, BadMessage> {
    let mut bytes = codec::to_vec(&samples::welcome()).unwrap();
    bytes[at] = byte;
    codec::decode(&bytes)
}

#[test]
fn another_message_or_version_is_refused() {
    let magic = BadMessage::Magic { expected: *b"PELW", found: *b"QELW" };
    assert_eq!(welcome_with(0, b'Q'), Err(magic));
    assert_eq!(welcome_with(4, 3), Err(BadMessage::Version { expected: 2, found: 3 }));
    assert_eq!(welcome_with(6, 1), Err(BadMessage::Malformed));
    let bytes = codec::to_vec(&samples::ready()).unwrap();
    assert!(matches!(codec::decode::<Hello>(&bytes), Err(BadMessage::Magic { .. })));
}

#[test]
fn a_stated_length_over_the_bound_is_refused_before_its_bytes_arrive() {
    let mut head = codec::to_vec(&samples::ready()).unwrap();
    head[8..12].copy_from_slice(&1025_u32.to_le_bytes());
    assert_eq!(codec::frame_len::<Ready>(&head), Err(BadMessage::TooLarge(1025)));
    head[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(codec::frame_len::<Ready>(&head), Err(BadMessage::TooLarge(u32::MAX)));
    assert_eq!(codec::decode::<Ready>(&head), Err(BadMessage::TooLarge(u32::MAX)));
}

#[test]
fn content_shorter_than_its_frame_is_refused() {
    let mut bytes = codec::to_vec(&samples::ready()).unwrap();
    let content = u32::try_from(bytes.len() - HEAD_BYTES).unwrap();
    bytes[8..12].copy_from_slice(&(content + 1).to_le_bytes());
    bytes.push(0);
    assert_eq!(codec::decode::<Ready>(&bytes), Err(BadMessage::Trailing));
}

#[test]
fn a_message_over_its_own_bound_is_not_written() {
    let mut config = samples::guest_config();
    config.spec.args = vec!["x".repeat(GuestConfig::BYTES_MAX)];
    let mut out = b"before".to_vec();
    assert!(matches!(codec::encode(&config, &mut out), Err(BadMessage::TooLarge(_))));
    assert_eq!(out, b"before");
}

#[test]
fn the_largest_spec_fits_into_its_messages() {
    let mut config = samples::guest_config();
    let mut head = samples::lease_head();
    // Many short items cost the most bytes of bincode per byte of the canonical encoding.
    config.spec.args = vec![String::from("0123456789"); 4096];
    config.spec.env = (0..4096).map(|index| format!("{index:040}=v")).collect();
    assert_eq!(config.spec.check(), Ok(()));
    head.spec = config.spec.clone();
    assert!(codec::to_vec(&config).is_ok());
    assert!(codec::to_vec(&head).is_ok());
    let bytes = codec::to_vec(&config).unwrap();
    assert_eq!(codec::decode::<GuestConfig>(&bytes), Ok(config));
}
