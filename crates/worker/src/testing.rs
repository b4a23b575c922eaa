//! What several tests need.

use pe_proto::archive::{Encoder, Kind};
use pe_proto::{Arch, Digest, JobLimits, JobSpec};

/// A job that is right in every way.
pub(crate) fn spec() -> JobSpec {
    JobSpec {
        image: Digest::of(b"image"),
        arch: Arch::X86_64,
        args: vec!["true".to_owned()],
        env: Vec::new(),
        cwd: "/input".to_owned(),
        user: String::new(),
        outputs: Vec::new(),
        limits: JobLimits::default(),
    }
}

/// A job's archive.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for (path, bytes) in files {
        encoder.push(Kind::File, path, bytes).expect("fits");
    }
    encoder.finish()
}
