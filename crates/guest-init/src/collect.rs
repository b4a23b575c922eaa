//! Reading back what the job left: everything in `/output`, what matches `outputs` in the working
//! directory, and both streams, packed into the result's archive.
//!
//! Nothing of the job runs any more. Still, every name, link, size and depth is its choice, so the
//! walk happens in a confined child that sees only the writable layer, which holds what the job
//! wrote and nothing of the image. File data goes from the layer to the io device through one
//! buffer. The child is bounded in entries, bytes, depth and time; if it fails, the answer still
//! comes, with the streams alone.

mod files;
mod pack;
mod patterns;
mod select;
mod tally;
mod unchanged;
mod walk;

use std::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use nix::unistd::{Gid, Uid};

use pe_proto::ResultMeta;
use pe_proto::codec;
use pe_proto::guest_config::GuestConfig;
use pe_proto::io_file::InHeader;
use pe_proto::limits::{NOTES_MAX, RESULT_BYTES_MAX};
use pe_proto::outcome::{Outcome, Truncated};

use crate::child::{self, Confinement};
use crate::limits::{COLLECT_GRACE, COLLECT_TIME_MAX};
use crate::pages::{Device, DeviceError, PAGE_BYTES};

pub use patterns::Patterns;

/// What a collection is made from.
#[derive(Debug)]
pub struct Sources<'job> {
    /// The job.
    pub config: &'job GuestConfig,
    /// Where things are in the io device.
    pub header: InHeader,
    /// Patterns of files in the working directory.
    pub patterns: &'job Patterns,
    /// The writable layer.
    pub layer: &'job Path,
    /// The working directory as it was when the job began, relative to the root, links resolved.
    pub cwd: &'job Path,
    /// What was captured.
    pub captured: Captured,
}

/// Where the captured streams lie in the device.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    /// Standard output.
    pub stdout: Range<u64>,
    /// Standard error.
    pub stderr: Range<u64>,
}

/// What a collection came to.
#[derive(Debug, Default)]
pub struct Collected {
    /// Where the archive lies in the device.
    pub archive: Range<u64>,
    /// Whether files are missing.
    pub truncated: bool,
    /// What was left out or changed, and why.
    pub notes: Vec<String>,
}

/// Where the archive goes: behind the room that the metadata may take.
pub fn archive_area(header: &InHeader) -> Range<u64> {
    let area = header.plan.result_area();
    let metadata = codec::HEAD_BYTES + pe_proto::limits::RESULT_META_BYTES_MAX;
    let start = area.start + metadata.next_multiple_of(PAGE_BYTES) as u64;
    start..area.end.min(start.saturating_add(RESULT_BYTES_MAX))
}

/// Collects in a confined child.
pub fn collect(device: &Device, sources: &Sources<'_>) -> Result<Collected, DeviceError> {
    const NOBODY: u32 = 65_534;
    let confinement = Confinement {
        root: sources.layer,
        uid: Uid::from_raw(NOBODY),
        gid: Gid::from_raw(NOBODY),
        reads_all: true,
        keep: &[device.fd().as_fd()],
        cgroup: None,
    };
    let deadline = Instant::now() + COLLECT_TIME_MAX;
    let report = child::run(&confinement, deadline + COLLECT_GRACE, || {
        let everything = pack::everything(device, sources, Path::new("/"), deadline);
        everything.map_or_else(|_| Vec::new(), report)
    });
    let reason = match report {
        Ok(report) => match read_report(&report, &archive_area(&sources.header)) {
            Some(collected) => return Ok(collected),
            None => "the collector failed".to_owned(),
        },
        Err(failed) => failed.to_string(),
    };
    let archive = pack::streams_only(device, &sources.header, &sources.captured)?;
    let notes = vec![format!("no files are returned: {reason}")];
    Ok(Collected { archive, truncated: true, notes })
}

/// The archive of a job that was not run: both streams, empty.
pub fn nothing(device: &Device, header: &InHeader) -> Result<Collected, DeviceError> {
    let archive = pack::streams_only(device, header, &Captured::default())?;
    Ok(Collected { archive, ..Collected::default() })
}

/// The child's report: where the archive ends, then a metadata frame with what is to be said.
fn report(collected: Collected) -> Vec<u8> {
    let mut meta = ResultMeta::without_run(Outcome::OutOfMemory);
    meta.notes = collected.notes;
    if collected.truncated {
        meta.truncated.push(Truncated::Files);
    }
    let mut report = collected.archive.end.to_le_bytes().to_vec();
    match codec::encode(&meta.bounded(), &mut report) {
        Ok(()) => report,
        Err(_) => Vec::new(),
    }
}

fn read_report(report: &[u8], area: &Range<u64>) -> Option<Collected> {
    let (end, frame) = report.split_first_chunk::<8>()?;
    let end = u64::from_le_bytes(*end);
    let meta: ResultMeta = codec::decode(frame).ok()?;
    let truncated = meta.truncated.contains(&Truncated::Files);
    (end > area.start && end <= area.end).then(|| Collected {
        archive: area.start..end,
        truncated,
        notes: meta.notes.into_iter().take(NOTES_MAX).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_made_and_only_within_its_area() {
        let archive = 4096..5000;
        let notes = vec!["one".to_owned()];
        let bytes = report(Collected { archive: archive.clone(), truncated: true, notes });
        let back = read_report(&bytes, &(4096..9000)).unwrap();
        assert_eq!((back.archive, back.truncated), (archive, true));
        assert_eq!(back.notes, ["one"]);
        assert!(read_report(&bytes, &(4096..4999)).is_none());
        assert!(read_report(&bytes, &(5000..9000)).is_none());
        assert!(read_report(&bytes[..20], &(4096..9000)).is_none());
        assert!(read_report(&[], &(4096..9000)).is_none());
    }
}
