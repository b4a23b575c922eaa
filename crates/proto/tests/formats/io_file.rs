//! The io file's layout and headers (threat cases 3 and 7).

use std::ops::Range;

use pe_proto::JobLimits;
use pe_proto::io_file::{BadIoFile, InHeader, JournalHeader, PAGE, Plan, ResultHeader};
use pe_proto::limits::{
    CONFIG_BYTES_MAX, INPUT_BYTES_MAX, IO_FILE_BYTES, OUTPUT_BYTES_MAX, RESULT_BYTES_MAX,
    STREAM_BYTES_MAX,
};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

use crate::strategies::limits;
use crate::targets::headers::{in_header, journal_header, nonce, plan, result_header};

const OTHER: [u8; 16] = *b"another job's no";

/// Numbers around every edge: small, near the file's length, near 2^64.
fn number() -> impl Strategy<Value = u64> {
    let edges = [0, 1, PAGE - 1, PAGE, IO_FILE_BYTES - 1, IO_FILE_BYTES, IO_FILE_BYTES + 1];
    proptest::prop_oneof![
        0..2 * IO_FILE_BYTES,
        0..10_000_u64,
        any::<u64>(),
        u64::MAX - 10_000..u64::MAX,
        proptest::sample::select(edges.to_vec()),
    ]
}

fn job_limits() -> impl Strategy<Value = JobLimits> {
    let small = (0..STREAM_BYTES_MAX, 0..STREAM_BYTES_MAX, 0..OUTPUT_BYTES_MAX).prop_map(
        |(stdout_bytes, stderr_bytes, output_bytes)| JobLimits {
            stdout_bytes,
            stderr_bytes,
            output_bytes,
            wall_ms: 1,
        },
    );
    proptest::prop_oneof![small, limits()]
}

proptest! {
    #[test]
    fn every_layout_survives_its_header(
        config in number(), archive in number(), limits in job_limits(), nonce in any::<[u8; 16]>(),
    ) {
        if let Ok(plan) = Plan::new(config, archive, &limits) {
            let header = InHeader { nonce, plan };
            prop_assert_eq!(InHeader::decode(&header.encode()), Ok(header));
            prop_assert!(in_header(&header.encode()));
            prop_assert!(plan.config().end - plan.config().start == config);
            prop_assert!(plan.archive().end - plan.archive().start == archive);
        } else {
            let sum = u128::from(config) + u128::from(archive) + u128::from(limits.output_bytes)
                + 2 * u128::from(limits.stdout_bytes) + 2 * u128::from(limits.stderr_bytes);
            prop_assert!(sum + 5 * 1024 * 1024 > u128::from(IO_FILE_BYTES), "there was room");
        }
    }

    #[test]
    fn no_in_header_of_any_numbers_leaves_the_file(fields in any::<[bool; 7]>(), numbers in
        proptest::collection::vec(number(), 7))
    {
        let mut bytes = InHeader { nonce: nonce(), plan: plan() }.encode();
        for (index, number) in numbers.into_iter().enumerate().filter(|(index, _)| fields[*index]) {
            bytes[24 + 8 * index..32 + 8 * index].copy_from_slice(&number.to_le_bytes());
        }
        in_header(&bytes);
    }

    #[test]
    fn no_result_header_of_any_numbers_leaves_the_result_area(
        numbers in proptest::collection::vec(number(), 4),
    ) {
        result_header(&forged(b"PEIOOUT\x01", &numbers));
    }

    #[test]
    fn every_answer_survives_its_header(a in 0..RESULT_BYTES_MAX, b in 0..60_000_u64, gap in 0..PAGE) {
        let start = plan().result_area().start;
        let meta = start..start + b;
        let archive = meta.end + gap..meta.end + gap + a;
        let header = ResultHeader { meta, archive };
        let bytes = header.encode(&nonce());
        prop_assert!(result_header(&bytes));
        prop_assert_eq!(ResultHeader::decode(&bytes, &nonce(), &plan()), Ok(Some(header)));
        prop_assert_eq!(
            ResultHeader::decode(&bytes, &OTHER, &plan()), Err(BadIoFile::Nonce)
        );
    }

    #[test]
    fn every_journal_survives_its_header(out in 0..=1_048_576_u64, err in 0..=1_048_576_u64, started: bool) {
        let header = JournalHeader { stdout_len: out, stderr_len: err, started };
        let bytes = header.encode(&nonce());
        prop_assert!(journal_header(&bytes));
        prop_assert_eq!(JournalHeader::decode(&bytes, &nonce(), &plan()), Ok(Some(header)));
        prop_assert_eq!(
            JournalHeader::decode(&bytes, &OTHER, &plan()), Err(BadIoFile::Nonce)
        );
    }
}

fn forged(magic: &[u8; 8], numbers: &[u64]) -> Vec<u8> {
    let mut bytes = [&magic[..], &nonce()].concat();
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn answer(numbers: [u64; 4]) -> Result<Option<ResultHeader>, BadIoFile> {
    ResultHeader::decode(&forged(b"PEIOOUT\x01", &numbers), &nonce(), &plan())
}

#[test]
fn the_largest_job_fits_and_a_larger_one_does_not() {
    let limits = JobLimits {
        wall_ms: 1,
        output_bytes: OUTPUT_BYTES_MAX,
        stdout_bytes: STREAM_BYTES_MAX,
        stderr_bytes: STREAM_BYTES_MAX,
    };
    let config = 2 * CONFIG_BYTES_MAX as u64 + 12;
    assert!(Plan::new(config, INPUT_BYTES_MAX, &limits).is_ok());
    assert_eq!(Plan::new(config, IO_FILE_BYTES, &limits), Err(BadIoFile::TooLarge));
}

#[test]
fn limits_that_overflow_are_refused_not_wrapped() {
    let huge = [u64::MAX, u64::MAX - PAGE, u64::MAX / 2, IO_FILE_BYTES + 1];
    for huge in huge {
        let default = JobLimits::default();
        assert_eq!(Plan::new(huge, 0, &default), Err(BadIoFile::TooLarge));
        assert_eq!(Plan::new(0, huge, &default), Err(BadIoFile::TooLarge));
        for limits in [
            JobLimits { stdout_bytes: huge, ..default },
            JobLimits { stderr_bytes: huge, ..default },
            JobLimits { output_bytes: huge, ..default },
        ] {
            assert_eq!(Plan::new(0, 0, &limits), Err(BadIoFile::TooLarge));
        }
    }
}

#[test]
fn a_vm_that_never_answered_is_not_read_as_an_answer() {
    let zero = [0; 4096];
    assert_eq!(ResultHeader::decode(&zero, &nonce(), &plan()), Ok(None));
    assert_eq!(JournalHeader::decode(&zero, &nonce(), &plan()), Ok(None));
    // Neither is what the worker or the guest itself wrote elsewhere in the file.
    let inbound = InHeader { nonce: nonce(), plan: plan() }.encode();
    let journal = JournalHeader::default().encode(&nonce());
    for bytes in [inbound, journal] {
        assert_eq!(ResultHeader::decode(&bytes, &nonce(), &plan()), Err(BadIoFile::Magic));
    }
}

#[test]
fn lengths_that_overflow_u32_or_u64_are_refused() {
    let Range { start, end } = plan().result_area();
    let meta = Err(BadIoFile::Range("metadata"));
    let archive = Err(BadIoFile::Range("archive"));
    assert_eq!(answer([start, u64::from(u32::MAX), start, 0]), meta);
    assert_eq!(answer([start, u64::MAX, start, 0]), meta);
    assert_eq!(answer([u64::MAX, 2, start, 0]), meta);
    assert_eq!(answer([u64::MAX - start, start + 1, start, 0]), meta);
    assert_eq!(answer([start, 100, u64::MAX - 1, 100]), archive);
    assert_eq!(answer([start, 100, start + 100, end - start - 99]), archive);
    // PE of old: two u32 lengths, each fine, whose sum wraps.
    assert_eq!(answer([start, 16, start + 16, 0xffff_fff0]), archive);
}

#[test]
fn parts_that_leave_their_region_or_overlap_are_refused() {
    let Range { start, end } = plan().result_area();
    assert_eq!(answer([start - 1, 100, start + 100, 0]), Err(BadIoFile::Range("metadata")));
    assert_eq!(answer([0, 100, start + 100, 0]), Err(BadIoFile::Range("metadata")));
    assert_eq!(answer([start, 100, start + 99, 5]), Err(BadIoFile::Range("archive")));
    assert_eq!(answer([end - 100, 100, start, 5]), Err(BadIoFile::Range("archive")));
    assert_eq!(answer([start, 100, 4096, 5]), Err(BadIoFile::Range("archive")));
    assert_eq!(answer([start, 70_000, start + 70_000, 5]), Err(BadIoFile::TooLarge));
    let too_long = RESULT_BYTES_MAX + 1;
    assert_eq!(answer([start, 100, start + 100, too_long]), Err(BadIoFile::TooLarge));
}

#[test]
fn a_journal_that_states_more_than_it_holds_is_refused() {
    let cap = JobLimits::default().stdout_bytes;
    let read = |numbers: [u64; 3]| {
        JournalHeader::decode(&forged(b"PEIOJRN\x01", &numbers), &nonce(), &plan())
    };
    assert!(read([cap, cap, 1]).is_ok());
    assert_eq!(read([cap + 1, 0, 1]), Err(BadIoFile::Range("stdout journal")));
    assert_eq!(read([0, u64::MAX, 1]), Err(BadIoFile::Range("stderr journal")));
    assert_eq!(read([0, 0, 2]), Err(BadIoFile::Range("started flag")));
}

#[test]
fn an_in_header_for_another_file_is_refused() {
    let mut bytes = InHeader { nonce: nonce(), plan: plan() }.encode();
    bytes[24..32].copy_from_slice(&(IO_FILE_BYTES / 2).to_le_bytes());
    assert_eq!(InHeader::decode(&bytes), Err(BadIoFile::Range("io file")));
}
