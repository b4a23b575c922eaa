//! Guests that answer, do not, or lie.

use super::*;
use crate::iofile::job::JobWriter;
use crate::testing::{archive as make, spec};
use crate::vm::fake::FakeGuest;
use pe_proto::Outcome;
use pe_proto::outcome::{Clock, Fault};
use proptest::prelude::*;

fn job(limits: JobLimits) -> (IoFile, Written, FakeGuest) {
    let io = IoFile::create().expect("io file");
    let archive = make(&[("input/a", b"data"), ("stdin", b"words")]);
    let spec = pe_proto::JobSpec { limits, ..spec() };
    let len = archive.len() as u64;
    let mut writer = JobWriter::new("r1".to_owned(), spec, [7; 16], "", len).expect("fits");
    for piece in archive.chunks(3) {
        writer.write(&io, piece).expect("archive");
    }
    let written = writer.finish(&io).expect("whole");
    let file = File::from(io.as_fd().try_clone_to_owned().expect("clone"));
    let guest = FakeGuest::look(file);
    assert_eq!(guest.archive(), archive);
    (io, written, guest)
}

use std::fs::File;

fn streams(collected: &Collected) -> (Vec<u8>, Vec<u8>) {
    let bytes = bytes(&collected.archive);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    archive::for_each_entry(&bytes, Bounds::of(Role::Result), |_, path, data| match path {
        archive::STDOUT => stdout = data.to_vec(),
        archive::STDERR => stderr = data.to_vec(),
        other => panic!("unexpected {other}"),
    })
    .expect("archive");
    (stdout, stderr)
}

fn bytes(archive: &ResultArchive) -> Vec<u8> {
    match archive {
        ResultArchive::InMemory(bytes) => bytes.clone(),
        ResultArchive::InIoFile(io, range) => {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).expect("fits")];
            io.read_at(&mut bytes, range.start).expect("read");
            bytes
        }
    }
}

#[test]
fn the_guest_finds_its_job_with_fresh_entropy_and_time() {
    let (_, _, one) = job(JobLimits::default());
    let (_, _, two) = job(JobLimits::default());
    assert_eq!(one.config.request_id, "r1");
    assert_eq!(one.config.pack_uuid, [7; 16]);
    assert_ne!(one.config.entropy, two.config.entropy);
    assert_ne!(one.header.nonce, two.header.nonce);
    assert!(one.config.time_unix_us > 1_600_000_000_000_000);
}

#[test]
fn an_answer_is_returned_as_it_is() {
    let (io, written, guest) = job(JobLimits::default());
    guest.answer(Outcome::Exited { code: 3 }, &[("stderr", b"no"), ("stdout", b"yes")]);
    let collected = collect(io, &written, &Ending::Done);
    assert!(collected.answered);
    assert_eq!(collected.meta.outcome, Outcome::Exited { code: 3 });
    assert_eq!(streams(&collected), (b"yes".to_vec(), b"no".to_vec()));
}

#[test]
fn a_whole_answer_counts_even_if_the_vm_died_before_it_rang() {
    let (io, written, guest) = job(JobLimits::default());
    guest.answer(Outcome::Exited { code: 0 }, &[]);
    assert!(collect(io, &written, &Ending::Exited).answered);
}

#[test]
fn a_guest_that_powers_off_early_did_not_answer() {
    let (io, written, guest) = job(JobLimits::default());
    guest.journal(b"so far", b"");
    let collected = collect(io, &written, &Ending::Exited);
    assert!(!collected.answered);
    assert!(matches!(collected.meta.outcome, Outcome::Lost { fault: Fault::Us, .. }));
    assert_eq!(streams(&collected), (b"so far".to_vec(), Vec::new()));
}

#[test]
fn a_guest_that_hangs_timed_out_and_keeps_its_streams() {
    let (io, written, guest) = job(JobLimits::default());
    guest.journal(b"out", b"err");
    let collected = collect(io, &written, &Ending::Clock);
    assert_eq!(collected.meta.outcome, Outcome::TimedOut { clock: Clock::Worker });
    assert_eq!(streams(&collected), (b"out".to_vec(), b"err".to_vec()));
}

#[test]
fn the_in_header_is_never_taken_for_an_answer() {
    let (io, written, guest) = job(JobLimits::default());
    guest.write_result_header(&guest.header.encode());
    let collected = collect(io, &written, &Ending::Done);
    assert!(!collected.answered);
    assert!(matches!(collected.meta.outcome, Outcome::Lost { .. }));
}

#[test]
fn an_answer_to_another_job_is_none() {
    let (io, written, guest) = job(JobLimits::default());
    let (_, _, other) = job(JobLimits::default());
    let area = guest.header.plan.result_area().start;
    let header = ResultHeader { meta: area..area + 20, archive: area + 20..area + 40 };
    guest.write_result_header(&header.encode(&other.header.nonce));
    assert!(!collect(io, &written, &Ending::Done).answered);
}

#[test]
fn archives_that_no_client_may_see_are_refused() {
    for bad in [
        &b"not an archive"[..],
        &make(&[("input/x", b"")]),
        &make(&[("stdout", b"x")])[..20],
        &[&make(&[])[..], b"more"].concat(),
    ] {
        let (io, written, guest) = job(JobLimits::default());
        let meta = ResultMeta::without_run(Outcome::Exited { code: 0 });
        guest.journal(b"kept", b"");
        guest.answer_with(&codec::to_vec(&meta).expect("fits"), bad);
        let collected = collect(io, &written, &Ending::Done);
        assert!(!collected.answered);
        assert_eq!(streams(&collected).0, b"kept");
    }
}

#[test]
fn a_result_larger_than_the_job_may_return_is_refused() {
    let limits =
        JobLimits { output_bytes: 0, stdout_bytes: 0, stderr_bytes: 0, ..JobLimits::default() };
    let (io, written, guest) = job(limits);
    let large = vec![b'x'; usize::try_from(RESULT_OVERHEAD_BYTES).expect("fits") + 1];
    guest.answer(Outcome::Exited { code: 0 }, &[("stdout", &large)]);
    assert!(!collect(io, &written, &Ending::Done).answered);
}

#[test]
fn a_journal_that_claims_more_than_it_holds_is_ignored() {
    let (io, written, guest) = job(JobLimits::default());
    let header = JournalHeader { stdout_len: u64::MAX, stderr_len: 1, started: true };
    guest.write_journal_header(&header.encode(&guest.header.nonce));
    let collected = collect(io, &written, &Ending::Clock);
    assert_eq!(streams(&collected), (Vec::new(), Vec::new()));
}

#[test]
fn a_job_that_is_not_whole_is_never_written() {
    let io = IoFile::create().expect("io file");
    let archive = make(&[("stdin", b"words")]);
    let len = archive.len() as u64;
    let writer = || JobWriter::new(String::new(), spec(), [0; 16], "", len).expect("fits");
    assert!(writer().finish(&io).is_err());
    let mut long = writer();
    assert!(long.write(&io, &[archive.clone(), vec![0]].concat()).is_err());
    let mut cut = writer();
    cut.write(&io, &archive[..archive.len() - 1]).expect("archive");
    assert!(cut.finish(&io).is_err());
    let mut page = [1; 4096];
    io.read_at(&mut page, 0).expect("read");
    assert_eq!(page, [0; 4096]);
}

#[test]
fn an_io_file_cannot_be_resized() {
    let io = IoFile::create().expect("io file");
    let file = File::from(io.as_fd().try_clone_to_owned().expect("clone"));
    assert!(file.set_len(0).is_err());
    assert!(file.set_len(u64::from(u32::MAX)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_of_a_guest_make_the_worker_panic(
        header in prop::collection::vec(any::<u8>(), 0..128),
        journal in prop::collection::vec(any::<u8>(), 0..64),
        fields in prop::array::uniform4(prop_oneof![any::<u64>(), 0u64..200_000_000]),
        keep_magic in any::<bool>(),
        meta in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (io, written, guest) = job(JobLimits::default());
        guest.answer_with(&meta, &meta);
        let mut bytes = header;
        if keep_magic {
            // Right magic and nonce, any numbers.
            let [a, b, c, d] = fields;
            let ranges = ResultHeader { meta: a..a.wrapping_add(b), archive: c..c.wrapping_add(d) };
            bytes = ranges.encode(&guest.header.nonce);
            bytes.truncate(24);
            fields.iter().for_each(|field| bytes.extend_from_slice(&field.to_le_bytes()));
        }
        guest.write_result_header(&bytes);
        guest.write_journal_header(&journal);
        let collected = collect(io, &written, &Ending::Done);
        prop_assert!(collected.archive.len() < 64 * 1024 * 1024);
    }
}
