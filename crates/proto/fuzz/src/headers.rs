//! The headers of the io file.

use std::ops::Range;

use pe_proto::JobLimits;
use pe_proto::io_file::{InHeader, JournalHeader, Nonce, PAGE, Plan, ResultHeader};
use pe_proto::limits::{IO_FILE_BYTES, RESULT_BYTES_MAX};

/// The job that the outbound headers are read for.
pub fn nonce() -> Nonce {
    *b"nonce of one job"
}

/// Its layout.
pub fn plan() -> Plan {
    Plan::new(300, 5000, &JobLimits::default()).expect("a small job fits")
}

/// Reads `data` as an [`InHeader`].
pub fn in_header(data: &[u8]) -> bool {
    let Ok(header) = InHeader::decode(data) else {
        return false;
    };
    assert_eq!(data.get(..InHeader::BYTES), Some(header.encode().as_slice()));
    let plan = header.plan;
    let parts = [
        0..PAGE,
        plan.config(),
        plan.archive(),
        plan.result_header(),
        plan.journal_header(),
        plan.stdout_journal(),
        plan.stderr_journal(),
        plan.result_area(),
    ];
    in_order(&parts, IO_FILE_BYTES);
    assert!(parts.iter().all(|part| part.start % PAGE == 0), "{parts:?}");
    true
}

/// Reads `data` as a [`ResultHeader`] of the job of [`plan`].
pub fn result_header(data: &[u8]) -> bool {
    let plan = plan();
    let Ok(Some(header)) = ResultHeader::decode(data, &nonce(), &plan) else {
        return false;
    };
    assert_eq!(data.get(..ResultHeader::BYTES), Some(header.encode(&nonce()).as_slice()));
    let area = plan.result_area();
    assert!(header.archive.end - header.archive.start <= RESULT_BYTES_MAX);
    in_order(&[0..area.start, header.meta, header.archive], area.end);
    true
}

/// Reads `data` as a [`JournalHeader`] of the job of [`plan`].
pub fn journal_header(data: &[u8]) -> bool {
    let plan = plan();
    let Ok(Some(header)) = JournalHeader::decode(data, &nonce(), &plan) else {
        return false;
    };
    assert_eq!(data.get(..JournalHeader::BYTES), Some(header.encode(&nonce()).as_slice()));
    let holds = |journal: Range<u64>, len: u64| len <= journal.end - journal.start;
    assert!(holds(plan.stdout_journal(), header.stdout_len));
    assert!(holds(plan.stderr_journal(), header.stderr_len));
    true
}

fn in_order(parts: &[Range<u64>], end: u64) {
    let mut at = 0;
    for part in parts {
        assert!(at <= part.start && part.start <= part.end, "{parts:?}");
        at = part.end;
    }
    assert!(at <= end, "{parts:?}");
}
