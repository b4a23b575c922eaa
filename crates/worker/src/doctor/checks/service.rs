//! What the worker serves, and whom.

use crate::doctor::Finding;
use crate::doctor::checks::count;
use crate::doctor::probes::images::ImageFacts;
use crate::doctor::probes::lb::LbFacts;
use crate::doctor::probes::metrics::MetricsFacts;

/// The catalogue and its packs.
pub fn images(facts: &ImageFacts) -> Finding {
    let build = "make images   # in a checkout; or copy build/images whole";
    match facts {
        ImageFacts::None { reason } => Finding::fail(reason.clone(), build),
        ImageFacts::ToCome => Finding::pass("none yet; they are fetched from the load balancer"),
        ImageFacts::Read { images, packs, mib, left_out, damaged, hashed_all } => {
            let good =
                format!("{} in {}, {mib} MiB", count(*images, "image"), count(*packs, "pack"));
            if !damaged.is_empty() {
                let all = damaged.join(", ");
                return Finding::fail(format!("{good}; not the bytes of its digest: {all}"), build);
            }
            if !left_out.is_empty() {
                let seen = format!("{good}; left out: {}", left_out.join("; "));
                let nothing = *images == 0;
                return if nothing {
                    Finding::fail(seen, build)
                } else {
                    Finding::warn(seen, build)
                };
            }
            if *images == 0 {
                return Finding::fail("the catalogue has no image for this architecture", build);
            }
            if !hashed_all {
                let seen = format!("{good}; not all digests were computed in the time there was");
                return Finding::warn(seen, "sha256sum packs/*.erofs   # each is its file's name");
            }
            Finding::pass(format!("{good}, all digests right"))
        }
    }
}

/// Whether an LB is there.
pub fn lb(facts: &LbFacts) -> Finding {
    match facts {
        LbFacts::NotSet => {
            Finding::warn("no LB is named, so none was called", "# name it: --lb http://HOST:PORT")
        }
        LbFacts::Unreachable { lb, reason } => Finding::fail(
            reason.clone(),
            format!("curl -v --http2-prior-knowledge {lb}   # from here; is pe-lb up, a firewall?"),
        ),
        LbFacts::NotAnLb { lb, reason } => Finding::fail(
            format!("{lb}: {reason}"),
            "# name the LB's address for workers (--listen-workers), not the one for clients",
        ),
        LbFacts::Answers { lb, took, .. } | LbFacts::Refuses { lb, took, .. } => {
            Finding::pass(format!("{lb} answers in {} ms", took.as_millis()))
        }
    }
}

/// Whether it lets us in.
pub fn token(facts: &LbFacts, token_is_set: bool, token_error: Option<&str>) -> Finding {
    if let Some(error) = token_error {
        return Finding::fail(
            error,
            "openssl rand -hex 32 > token   # the same file on worker and LB",
        );
    }
    match facts {
        LbFacts::Answers { .. } if token_is_set => Finding::pass("taken"),
        LbFacts::Answers { .. } => Finding::warn(
            "none is set, and the LB wants none: any host can be its worker",
            "openssl rand -hex 32 > token   # then --token-file and --worker-token-file",
        ),
        LbFacts::Refuses { said, .. } => {
            let which = if token_is_set { "the token is another" } else { "a token is wanted" };
            Finding::fail(
                format!("{which}: the LB answered {said}"),
                "# give worker (--token-file) and LB (--worker-token-file) the same file",
            )
        }
        LbFacts::NotSet | LbFacts::Unreachable { .. } | LbFacts::NotAnLb { .. } => {
            Finding::warn("not tried: no LB answered", "# mend `lb` first")
        }
    }
}

/// Whether metrics can be served.
pub fn metrics(facts: &MetricsFacts) -> Finding {
    match facts {
        MetricsFacts::NotSet => Finding::pass("none are served"),
        MetricsFacts::Free { at } => Finding::pass(format!("{at} is free")),
        MetricsFacts::Ours { at } => {
            Finding::pass(format!("{at} is served by a pe-worker that runs already"))
        }
        MetricsFacts::Taken { at, reason } => Finding::fail(
            format!("{at}: {reason}"),
            format!("ss -ltnp 'sport = :{}'   # who has it", at.port()),
        ),
    }
}

#[cfg(test)]
mod tests;
