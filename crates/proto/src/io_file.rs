//! The io file: one memfd per VM, seen by the guest as a pmem device (`protocol.md 4`).
//!
//! ```text
//! 0            in header, one page, written by the worker
//! 4096         guest config (a codec frame), then the job's archive
//! out_offset   result header, one page, written by the guest as its very last act
//!   + 4096     journal header, one page, rewritten as output comes
//!   + 8192     journal of stdout, journal of stderr, each rounded up to pages
//!   then       result area: metadata (a codec frame) and the result's archive
//! ```
//! All numbers are u64le. The worker writes before the VM sees the file and reads after the VM is
//! dead, each field once; nothing in the out region is believed, only checked.

mod inbound;
mod outbound;

pub use inbound::{InHeader, Plan};
pub use outbound::{JournalHeader, ResultHeader};

/// Granularity of every offset; also what O_DIRECT writes in the guest are aligned to.
pub const PAGE: u64 = 4096;

/// Random per job; a header without it is not an answer to this job.
pub type Nonce = [u8; 16];

/// Why a header cannot be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadIoFile {
    /// Fewer bytes than a header has.
    #[error("header is cut off")]
    Truncated,
    /// Not the header expected, or of another version.
    #[error("header has another magic or version")]
    Magic,
    /// A header for another job.
    #[error("header has another job's nonce")]
    Nonce,
    /// A range that leaves its region, or overlaps.
    #[error("{0} lies outside its region")]
    Range(&'static str),
    /// The job does not fit into an io file.
    #[error("job does not fit into the io file")]
    TooLarge,
}

/// Rounds up to whole pages.
pub(crate) const fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE) * PAGE
}

/// Reads u64le fields one after the other.
pub(crate) fn fields<const N: usize>(bytes: &[u8]) -> Result<[u64; N], BadIoFile> {
    let mut out = [0; N];
    let mut chunks = bytes.chunks_exact(8);
    for field in &mut out {
        let chunk = chunks.next().and_then(|chunk| chunk.try_into().ok());
        *field = u64::from_le_bytes(chunk.ok_or(BadIoFile::Truncated)?);
    }
    Ok(out)
}

pub(crate) fn split_head<'a>(
    bytes: &'a [u8],
    magic: &[u8; 8],
) -> Result<(Nonce, &'a [u8]), BadIoFile> {
    let (found, rest) = bytes.split_at_checked(8).ok_or(BadIoFile::Truncated)?;
    if found != magic {
        return Err(BadIoFile::Magic);
    }
    let (nonce, rest) = rest.split_at_checked(16).ok_or(BadIoFile::Truncated)?;
    let nonce = nonce.try_into().map_err(|_| BadIoFile::Truncated)?;
    Ok((nonce, rest))
}

pub(crate) fn put_header(magic: &[u8; 8], nonce: &Nonce, fields: &[u64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(24 + 8 * fields.len());
    out.extend_from_slice(magic);
    out.extend_from_slice(nonce);
    for field in fields {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out
}
