//! Any value of each type, for properties.

use std::collections::BTreeMap;

use pe_proto::archive::{BadArchive, Bounds, Encoder, Kind, Role, for_each_entry};
use pe_proto::guest_config::GuestConfig;
use pe_proto::link::{
    DoneHead, Fetches, Fetching, Hello, LeaseHead, LeaseId, Ready, SessionId, State, Wanted, Wants,
    Welcome,
};
use pe_proto::outcome::{Clock, GuestPhases, RanOn, Truncated, Usage, WorkerPhases};
use pe_proto::{Arch, Digest, Fault, JobLimits, JobSpec, Outcome, ResultMeta, path};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

/// An entry of an archive with its data.
pub(crate) type Entry = (Kind, String, Vec<u8>);

/// Reads an archive into memory.
pub(crate) fn entries(role: Role, bytes: &[u8]) -> Result<Vec<Entry>, BadArchive> {
    let mut found = Vec::new();
    for_each_entry(bytes, Bounds::of(role), |kind, path, data| {
        found.push((kind, path.to_owned(), data.to_vec()));
    })?;
    Ok(found)
}

/// Writes an archive of entries in order.
pub(crate) fn archive_of(entries: &[Entry]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for (kind, path, data) in entries {
        encoder.push(*kind, path, data).expect("entries of a tree in order");
    }
    encoder.finish()
}

/// Names that are easily confused in their order: bytes around `/`, shared beginnings, not ASCII.
fn name() -> impl Strategy<Value = String> {
    "[ab.\u{1}\\-0ö~]{1,4}".prop_filter("not a dot name", |name| name != "." && name != "..")
}

/// A valid relative path of a few names.
pub(crate) fn path() -> impl Strategy<Value = String> {
    vec(name(), 1..5).prop_map(|names| names.join("/"))
}

/// The files of a tree below a prefix, in the order of an archive.
fn tree(prefix: &'static str, kinds: &'static [Kind]) -> impl Strategy<Value = Vec<Entry>> {
    let leaf = (select(kinds), vec(any::<u8>(), 0..40));
    btree_map(path(), leaf, 0..30).prop_map(move |files| {
        let paths: Vec<String> = files.keys().cloned().collect();
        let has_below = |path: &str| paths.iter().any(|other| path::is_below(other, path));
        let mut found: Vec<Entry> = files
            .into_iter()
            .filter(|(path, _)| !has_below(path))
            .map(|(path, (kind, data))| match kind {
                Kind::Directory => (kind, format!("{prefix}{path}"), Vec::new()),
                Kind::File | Kind::Executable | Kind::Symlink => {
                    (kind, format!("{prefix}{path}"), data)
                }
            })
            .collect();
        found.sort_by(|(_, a, _), (_, b, _)| path::compare(a, b));
        found
    })
}

/// The entries of a job's archive.
pub(crate) fn job_tree() -> impl Strategy<Value = Vec<Entry>> {
    let stdin = proptest::option::of(vec(any::<u8>(), 0..40));
    let kinds = &[Kind::File, Kind::Executable, Kind::Directory];
    (tree("input/", kinds), stdin).prop_map(|(mut tree, stdin)| {
        tree.extend(stdin.map(|data| (Kind::File, "stdin".to_owned(), data)));
        tree
    })
}

/// The entries of a result's archive.
pub(crate) fn result_tree() -> impl Strategy<Value = Vec<Entry>> {
    let kinds = &[Kind::File, Kind::Executable, Kind::Directory, Kind::Symlink];
    (tree("output/", kinds), vec(any::<u8>(), 0..40)).prop_map(|(mut tree, stdout)| {
        tree.push((Kind::File, "stderr".to_owned(), Vec::new()));
        tree.push((Kind::File, "stdout".to_owned(), stdout));
        tree
    })
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..12).prop_map(String::from_iter)
}

pub(crate) fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..5)
}

pub(crate) fn text_map() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..5)
}

pub(crate) fn arch() -> impl Strategy<Value = Arch> {
    select(&Arch::ALL[..])
}

pub(crate) fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<[u8; 16]>().prop_map(SessionId)
}

pub(crate) fn limits() -> impl Strategy<Value = JobLimits> {
    any::<[u64; 4]>().prop_map(|[wall_ms, output_bytes, stdout_bytes, stderr_bytes]| JobLimits {
        wall_ms,
        output_bytes,
        stdout_bytes,
        stderr_bytes,
    })
}

pub(crate) fn spec() -> impl Strategy<Value = JobSpec> {
    (digest(), arch(), texts(), texts(), text(), text(), texts(), limits()).prop_map(
        |(image, arch, args, env, cwd, user, outputs, limits)| JobSpec {
            image,
            arch,
            args,
            env,
            cwd,
            user,
            outputs,
            limits,
        },
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    select(&Fault::ALL[..])
}

pub(crate) fn outcome() -> impl Strategy<Value = Outcome> {
    let clock = select(&[Clock::Guest, Clock::Worker, Clock::Lb][..]);
    prop_oneof![
        any::<u8>().prop_map(|code| Outcome::Exited { code }),
        any::<u8>().prop_map(|signal| Outcome::Signaled { signal }),
        clock.prop_map(|clock| Outcome::TimedOut { clock }),
        Just(Outcome::OutOfMemory),
        (fault(), text()).prop_map(|(fault, reason)| Outcome::Refused { fault, reason }),
        (fault(), text()).prop_map(|(fault, reason)| Outcome::Lost { fault, reason }),
    ]
}

pub(crate) fn usage() -> impl Strategy<Value = Usage> {
    any::<[u64; 5]>().prop_map(|[wall_us, user_us, system_us, max_rss_bytes, oom_kills]| Usage {
        wall_us,
        user_us,
        system_us,
        max_rss_bytes,
        oom_kills,
    })
}

pub(crate) fn truncated() -> impl Strategy<Value = Vec<Truncated>> {
    vec(select(&[Truncated::Files, Truncated::Stderr, Truncated::Stdout][..]), 0..6)
}

pub(crate) fn meta() -> impl Strategy<Value = ResultMeta> {
    let phases =
        any::<[u64; 5]>().prop_map(|[mount_us, unpack_us, start_us, run_us, collect_us]| {
            GuestPhases { mount_us, unpack_us, start_us, run_us, collect_us }
        });
    (outcome(), usage(), truncated(), texts(), phases, text()).prop_map(
        |(outcome, usage, truncated, notes, phases, kernel)| ResultMeta {
            outcome,
            usage,
            truncated,
            notes,
            phases,
            kernel,
        },
    )
}

pub(crate) fn ran_on() -> impl Strategy<Value = RanOn> {
    (arch(), text(), text(), text(), text()).prop_map(|(arch, kernel, cpu, worker, vmm)| RanOn {
        arch,
        kernel,
        cpu,
        worker,
        vmm,
    })
}

pub(crate) fn guest_config() -> impl Strategy<Value = GuestConfig> {
    let entropy = vec(any::<u8>(), 64).prop_map(|bytes| bytes.try_into().expect("64 bytes"));
    (text(), spec(), entropy, any::<u64>(), text(), any::<[u8; 16]>(), text()).prop_map(
        |(request_id, spec, entropy, time_unix_us, hostname, pack_uuid, pack_prefix)| GuestConfig {
            request_id,
            spec,
            entropy,
            time_unix_us,
            hostname,
            pack_uuid,
            pack_prefix,
        },
    )
}

pub(crate) fn hello() -> impl Strategy<Value = Hello> {
    let images = vec(digest(), 0..4);
    (text(), arch(), text(), text(), text(), any::<u32>(), texts(), images, text()).prop_map(
        |(worker, arch, cpu, vmm, kernel, slots, labels, images, deployment)| Hello {
            worker,
            arch,
            cpu,
            vmm,
            kernel,
            slots,
            labels,
            images,
            deployment,
        },
    )
}

pub(crate) fn welcome() -> impl Strategy<Value = Welcome> {
    (session(), any::<u64>(), text()).prop_map(|(session, poll_ms, deployment)| Welcome {
        session,
        poll_ms,
        deployment,
    })
}

pub(crate) fn ready() -> impl Strategy<Value = Ready> {
    (session(), any::<u32>()).prop_map(|(session, slot)| Ready { session, slot })
}

pub(crate) fn lease() -> impl Strategy<Value = LeaseId> {
    any::<u64>().prop_map(LeaseId)
}

pub(crate) fn lease_head() -> impl Strategy<Value = LeaseHead> {
    (lease(), text(), spec(), any::<u64>(), any::<u64>()).prop_map(
        |(lease, request_id, spec, archive_bytes, deadline_ms)| LeaseHead {
            lease,
            request_id,
            spec,
            archive_bytes,
            deadline_ms,
        },
    )
}

pub(crate) fn done_head() -> impl Strategy<Value = DoneHead> {
    let phases = any::<[u64; 6]>().prop_map(
        |[transfer_us, lease_us, attach_us, guest_us, stop_us, parse_us]| WorkerPhases {
            transfer_us,
            lease_us,
            attach_us,
            guest_us,
            stop_us,
            parse_us,
        },
    );
    (session(), lease(), meta(), phases, ran_on(), any::<u64>()).prop_map(
        |(session, lease, meta, phases, ran_on, archive_bytes)| DoneHead {
            session,
            lease,
            meta,
            phases,
            ran_on,
            archive_bytes,
        },
    )
}

pub(crate) fn state() -> impl Strategy<Value = State> {
    (session(), any::<bool>(), vec(digest(), 0..4)).prop_map(|(session, draining, images)| State {
        session,
        draining,
        images,
    })
}

pub(crate) fn fetches() -> impl Strategy<Value = Fetches> {
    let fetching = (digest(), any::<u64>(), any::<u64>())
        .prop_map(|(image, bytes, bytes_total)| Fetching { image, bytes, bytes_total });
    (session(), vec(digest(), 0..4), vec(fetching, 0..4))
        .prop_map(|(session, able, under_way)| Fetches { session, able, under_way })
}

pub(crate) fn wants() -> impl Strategy<Value = Wants> {
    (session(), digest(), vec(digest(), 0..4)).prop_map(|(session, catalogue, known)| Wants {
        session,
        catalogue,
        known,
    })
}

pub(crate) fn wanted() -> impl Strategy<Value = Wanted> {
    (digest(), vec(digest(), 0..4)).prop_map(|(catalogue, images)| Wanted { catalogue, images })
}
