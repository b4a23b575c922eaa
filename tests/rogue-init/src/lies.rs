//! Answers that are none.

use std::ops::Range;

use pe_proto::io_file::ResultHeader;

use crate::Job;
use crate::answer::{self, Parts};

pub(crate) const MODES: [&str; 12] = [
    "done-without-answer",
    "input-as-answer",
    "another-nonce",
    "huge-lengths",
    "overlapping-parts",
    "shorter-than-its-frame",
    "longer-than-its-frame",
    "entry-beyond-archive",
    "another-count",
    "names",
    "cut-archive",
    "garbage-metadata",
];

const BELIEVABLE: &[(&[u8], &[u8])] = &[(b"stdout", b"believable")];

/// Leaves the lie of the job's first argument where the answer belongs, and rings.
pub(crate) fn tell(job: &mut Job) -> anyhow::Result<()> {
    let mut nonce = job.header.nonce;
    let mut parts = Parts::with(job, answer::meta()?, answer::archive(BELIEVABLE)?);
    let places = parts.places.clone();
    let cut = |range: &Range<u64>, bytes: u64| range.start..range.end - bytes;
    match job.argument(0) {
        "done-without-answer" => return job.ring(),
        "input-as-answer" => {
            // The worker's own header, copied to where the answer belongs.
            job.device.write(job.header.plan.result_header().start, &job.header.encode())?;
            return job.ring();
        }
        "another-nonce" => nonce = [0x5a; 16],
        "huge-lengths" => {
            parts.places = ResultHeader { meta: 0..u64::MAX, archive: u64::MAX - 8..u64::MAX };
        }
        "overlapping-parts" => {
            parts.places = ResultHeader { meta: places.archive.clone(), archive: places.archive };
        }
        // Two copies of one length that differ: the header's, and the frame's own.
        "shorter-than-its-frame" => parts.places.meta = cut(&places.meta, 5),
        "longer-than-its-frame" => {
            parts.places.meta = places.meta.start..places.meta.end + 5;
        }
        // The same in the archive: an entry that says it is longer than all of the archive.
        "entry-beyond-archive" => {
            let at = answer::archive(&[])?.len() - 5 + 3;
            parts.archive.splice(at..at + 4, 4_000_000_000u32.to_le_bytes());
        }
        "another-count" => {
            let at = parts.archive.len() - 4;
            parts.archive.splice(at.., 77u32.to_le_bytes());
        }
        "names" => {
            let names = job.args.iter().skip(1).map(|name| unhex(name));
            let names = names.collect::<anyhow::Result<Vec<_>>>()?;
            let files: Vec<(&[u8], &[u8])> =
                names.iter().map(|name| (name.as_slice(), &b"x"[..])).collect();
            parts = Parts::with(job, answer::meta()?, answer::archive(&files)?);
        }
        "cut-archive" => parts.places.archive = cut(&places.archive, 3),
        "garbage-metadata" => parts = Parts::with(job, vec![0xff; 600], parts.archive),
        other => anyhow::bail!("no lie called {other}"),
    }
    parts.write(job)?;
    job.device.write(job.header.plan.result_header().start, &parts.places.encode(&nonce))?;
    job.ring()
}

/// Names come in hex: arguments are text without NUL, names need not be.
fn unhex(text: &str) -> anyhow::Result<Vec<u8>> {
    let digits: Vec<char> = text.chars().collect();
    let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
    Ok(pairs.map(|pair| u8::from_str_radix(&pair, 16)).collect::<Result<_, _>>()?)
}
