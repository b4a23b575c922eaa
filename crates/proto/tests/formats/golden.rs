//! Every message is what its golden vector says, byte by byte, both ways.

use std::fmt::Debug;

use pe_proto::archive::{Encoder, Role};
use pe_proto::catalogue::Catalogue;
use pe_proto::codec::{self, BadMessage, Message};
use pe_proto::digest::JobDigester;
use pe_proto::io_file::{InHeader, JournalHeader, ResultHeader};
use pe_proto::link::{Hello, Welcome};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::strategies::entries;
use crate::targets::headers::{nonce, plan};
use crate::{samples, targets, vectors};

fn frame<M: Message + PartialEq + Debug>(name: &str, message: &M) {
    vectors::expect(name, &codec::to_vec(message).unwrap());
    let golden = vectors::load(name).unwrap();
    assert_eq!(codec::decode::<M>(&golden).as_ref(), Ok(message), "{name}");
}

fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    vectors::expect(name, serde_json::to_string_pretty(value).unwrap().as_bytes());
    let golden = vectors::load(name).unwrap();
    assert_eq!(&serde_json::from_slice::<T>(&golden).unwrap(), value, "{name}");
}

#[test]
fn archives_match_their_vectors() {
    let empty = Encoder::new().finish();
    vectors::expect("archive-v1-empty.hex", &empty);
    vectors::expect("archive-v1-job.hex", &samples::job_archive());
    vectors::expect("archive-v1-result.hex", &samples::result_archive());
    assert_eq!(entries(Role::Job, &empty).unwrap(), []);
    assert_eq!(entries(Role::Job, &samples::job_archive()).unwrap().len(), 8);
    assert_eq!(entries(Role::Result, &samples::result_archive()).unwrap().len(), 5);
}

#[test]
fn the_job_digest_matches_its_vectors() {
    let (spec, archive) = (samples::example_spec(), samples::example_archive());
    assert_eq!(spec.check(), Ok(()));
    let canonical = spec.canonical();
    let mut hashed = b"PEJOB\0\0\x01".to_vec();
    hashed.extend_from_slice(&u32::try_from(canonical.len()).unwrap().to_le_bytes());
    hashed.extend_from_slice(&canonical);
    hashed.extend_from_slice(&archive);
    vectors::expect("job_digest-v1-example_input.hex", &hashed);

    let mut digester = JobDigester::new(&spec);
    for piece in archive.chunks(5) {
        digester.update(piece);
    }
    let digest = digester.finish();
    assert_eq!(digest, pe_proto::Digest::of(&hashed));
    vectors::expect("job_digest-v1-example.hex", &digest.0);
}

#[test]
fn headers_of_the_io_file_match_their_vectors() {
    let header = InHeader { nonce: nonce(), plan: plan() };
    vectors::expect("in_header-v1-small.hex", &header.encode());
    assert_eq!(InHeader::decode(&header.encode()), Ok(header));
    assert_eq!(header.encode().len(), InHeader::BYTES);

    let start = plan().result_area().start;
    let header = ResultHeader { meta: start..start + 200, archive: start + 4096..start + 5000 };
    vectors::expect("result_header-v1-answered.hex", &header.encode(&nonce()));
    let decoded = ResultHeader::decode(&header.encode(&nonce()), &nonce(), &plan());
    assert_eq!(decoded, Ok(Some(header.clone())));
    assert_eq!(header.encode(&nonce()).len(), ResultHeader::BYTES);

    let header = JournalHeader { stdout_len: 1_000_000, stderr_len: 77, started: true };
    vectors::expect("journal_header-v1-started.hex", &header.encode(&nonce()));
    let decoded = JournalHeader::decode(&header.encode(&nonce()), &nonce(), &plan());
    assert_eq!(decoded, Ok(Some(header)));
    assert_eq!(header.encode(&nonce()).len(), JournalHeader::BYTES);
}

#[test]
fn messages_of_the_io_file_match_their_vectors() {
    frame("guest_config-v1-full.hex", &samples::guest_config());
    for (outcome, meta) in samples::result_metas() {
        frame(&format!("result_meta-v1-{outcome}.hex"), &meta);
    }
}

#[test]
fn messages_of_the_link_match_their_vectors() {
    frame("hello-v2-full.hex", &samples::hello());
    frame("welcome-v2-full.hex", &samples::welcome());
    frame("ready-v1-full.hex", &samples::ready());
    frame("lease_head-v1-full.hex", &samples::lease_head());
    frame("done_head-v1-full.hex", &samples::done_head());
    frame("state-v1-full.hex", &samples::state());
    frame("fetches-v1-full.hex", &samples::fetches());
    frame("wants-v1-full.hex", &samples::wants());
    frame("wanted-v1-full.hex", &samples::wanted());
}

#[test]
fn json_matches_its_vectors() {
    json::<Catalogue>("catalogue_json-v2-two.json", &samples::catalogue());
    json("run_request_json-v1-full.json", &samples::run_request());
    let (config, _, _) = samples::run_request().split();
    json("run_config_json-v1-full.json", &config);
    json("page_state_json-v1-full.json", &samples::page_state());
    json("answer_json-v1-full.json", &samples::answer());
    json("problem_json-v1-full.json", &samples::problem());
}

#[test]
fn the_words_on_the_serial_port_match_their_vector() {
    let said = b"\npe:ready\n\r\npe:done\r\n\npe:fault no pack\n[    1.0] pe:done\n";
    vectors::expect("serial-v1-words.hex", said);
}

/// Of layouts that changed: their vectors stay, to be refused.
const RETIRED: [&str; 3] = ["catalogue_json-v1-", "hello-v1-", "welcome-v1-"];

#[test]
fn messages_of_a_retired_version_are_refused_by_their_version() {
    let refused = Some(BadMessage::Version { expected: 2, found: 1 });
    let hello = vectors::load("hello-v1-full.hex").unwrap();
    assert_eq!(codec::decode::<Hello>(&hello).err(), refused);
    let welcome = vectors::load("welcome-v1-full.hex").unwrap();
    assert_eq!(codec::decode::<Welcome>(&welcome).err(), refused);
    let catalogue = vectors::load("catalogue_json-v1-two.json").unwrap();
    let refused = serde_json::from_slice::<Catalogue>(&catalogue).expect_err("version 1");
    assert!(refused.to_string().contains("version 2, got 1"), "{refused}");
}

#[test]
fn every_target_has_a_vector_and_accepts_it() {
    let all = vectors::all();
    let is_spoken = |name: &str| !RETIRED.iter().any(|retired| name.starts_with(retired));
    for (target, accepts) in targets::TARGETS {
        let mut of_target =
            all.iter().filter(|(message, name, _)| message == target && is_spoken(name)).peekable();
        assert!(of_target.peek().is_some(), "no vector of {target}");
        for (_, name, bytes) in of_target {
            assert!(accepts(bytes), "{name} is refused");
        }
    }
}
