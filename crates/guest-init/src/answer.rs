//! The answer: metadata in front of the archive, then the header that makes both count.
//!
//! The header is the very last thing written to the device. A host that finds it finds all.

use pe_proto::ResultMeta;
use pe_proto::codec;
use pe_proto::io_file::{InHeader, ResultHeader};
use pe_proto::outcome::Outcome;

use crate::collect::Collected;
use crate::pages::{Device, DeviceError};

/// Writes metadata and header; `collected` lies in the device already.
pub fn write(
    device: &Device,
    header: &InHeader,
    meta: ResultMeta,
    collected: &Collected,
) -> Result<(), DeviceError> {
    let outcome = meta.outcome.clone();
    let meta = codec::to_vec(&meta.bounded())
        // Bounded metadata fits by construction; should it ever not, the outcome still counts.
        .or_else(|_| codec::to_vec(&ResultMeta::without_run(outcome).bounded()))
        .map_err(|_| DeviceError::Full)?;
    let area = header.plan.result_area();
    let room = area.start..collected.archive.start;
    device.write_padded(&room, &meta)?;
    let range = area.start..area.start + meta.len() as u64;
    let answer = ResultHeader { meta: range, archive: collected.archive.clone() };
    device.write_padded(&header.plan.result_header(), &answer.encode(&header.nonce))
}

/// The kernel's release, as `uname -r` prints it.
pub fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Metadata of a job that ran or did not.
pub fn metadata(outcome: Outcome) -> ResultMeta {
    ResultMeta { kernel: kernel_release(), ..ResultMeta::without_run(outcome) }
}
