//! When a tag is looked at again, and what follows. Pure.
//!
//! A tag of a registry may name another image tomorrow. The catalogue keeps the digests that it
//! was taken to be; when it was last asked is in its entry. A registry that cannot be asked takes
//! nothing away: what is there stays, and after [`STALE_MAX`] its owner is told so loudly.

use std::time::Duration;

use pe_proto::Digest;

use crate::source::SourceName;
use crate::store::Entry;

/// How old an answer may be before the registry is asked again, unless somebody says else.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// After so long without an answer something is wrong that will not pass by itself.
pub const STALE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whether a registry is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It is not from a tag of a registry, so it is what it is.
    Never,
    /// Not yet.
    In(Duration),
    /// Yes.
    Now,
}

/// What an answer means, or that there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The tag names what is here.
    Same,
    /// It names another image, which is to be imported.
    Moved,
    /// Nobody knows; what is here stays.
    Stale {
        /// Since the last answer.
        age: Duration,
        /// Longer than can be put down to a passing fault.
        is_too_old: bool,
    },
}

/// Whether the registry of an entry is to be asked. `now` is in seconds since 1970, as entries are.
pub fn due(entry: &Entry, now: u64, max_age: Duration) -> Due {
    let Some(Ok(source)) = entry.origin.as_ref().map(|origin| origin.parse()) else {
        return Due::Never;
    };
    match source {
        SourceName::Registry(reference) if reference.digest.is_none() => {}
        SourceName::Registry(_)
        | SourceName::Layout { .. }
        | SourceName::OciArchive { .. }
        | SourceName::DockerArchive { .. }
        | SourceName::Path(_) => return Due::Never,
    }
    // An entry from the future was written by a clock that was wrong: better to ask.
    let age = entry.checked_unix_s.and_then(|at| now.checked_sub(at)).map(Duration::from_secs);
    match age.and_then(|age| max_age.checked_sub(age)) {
        Some(left) if !left.is_zero() => Due::In(left),
        Some(_) | None => Due::Now,
    }
}

/// What follows from an answer for one architecture: the digest of the manifest, or nothing.
pub fn judge(entry: &Entry, found: Option<Digest>, now: u64) -> Verdict {
    match found {
        Some(digest) if entry.image.platforms.iter().any(|it| it.digest == digest) => Verdict::Same,
        Some(_) => Verdict::Moved,
        None => {
            let at = entry.checked_unix_s.unwrap_or(0);
            let age = Duration::from_secs(now.saturating_sub(at));
            Verdict::Stale { age, is_too_old: age > STALE_MAX }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn entry(origin: Option<&str>, checked_unix_s: Option<u64>) -> Entry {
        let digest = Digest([7; 32]);
        let text = format!(
            r#"{{"image":{{"name":"gcc","tags":["14"],"title":"","description":"","platforms":[
            {{"arch":"x86_64","digest":"{digest}",
            "pack":{{"digest":"{digest}","bytes":2097152,"prefix":""}},
            "config":{{"entrypoint":[],"cmd":[],"env":[],"workdir":"","user":""}}}}]}}}}"#
        );
        let entry: Entry = serde_json::from_str(&text).expect("an entry");
        Entry { origin: origin.map(str::to_owned), checked_unix_s, ..entry }
    }

    #[test]
    fn a_tag_is_asked_for_when_its_answer_is_old() {
        let of = |origin: &str, at| due(&entry(Some(origin), at), NOW, MAX_AGE);
        let tag = "docker://gcc:14";
        assert_eq!(of(tag, None), Due::Now);
        assert_eq!(of(tag, Some(NOW)), Due::In(MAX_AGE));
        assert_eq!(of(tag, Some(NOW - 3600)), Due::In(MAX_AGE - Duration::from_secs(3600)));
        assert_eq!(of(tag, Some(NOW - MAX_AGE.as_secs())), Due::Now);
        assert_eq!(of(tag, Some(NOW + 1)), Due::Now, "a clock went back");
        assert_eq!(due(&entry(Some(tag), Some(NOW)), NOW, Duration::ZERO), Due::Now);
    }

    #[test]
    fn what_has_no_tag_is_never_asked_for() {
        let pinned = format!("docker://gcc@sha256:{}", "ab".repeat(32));
        for origin in [&pinned, "oci:layout:14", "docker-archive:gcc.tar", "./gcc.tar", ""] {
            assert_eq!(due(&entry(Some(origin), None), NOW, MAX_AGE), Due::Never, "{origin}");
        }
        assert_eq!(due(&entry(None, None), NOW, MAX_AGE), Due::Never);
    }

    #[test]
    fn an_answer_keeps_moves_or_leaves_what_is_there() {
        let day = 24 * 3600;
        let of = |found, at| judge(&entry(Some("docker://gcc:14"), at), found, NOW);
        assert_eq!(of(Some(Digest([7; 32])), None), Verdict::Same);
        assert_eq!(of(Some(Digest([8; 32])), Some(NOW)), Verdict::Moved);
        let stale = |days: u64, is_too_old| Verdict::Stale {
            age: Duration::from_secs(days * day),
            is_too_old,
        };
        assert_eq!(of(None, Some(NOW - 2 * day)), stale(2, false));
        assert_eq!(of(None, Some(NOW - 7 * day)), stale(7, false));
        assert_eq!(of(None, Some(NOW - 8 * day)), stale(8, true));
    }
}
