//! What is counted of the cache, of flights, and of shares.

use prometheus::{IntCounter, IntGauge};

use super::Builder;
use crate::cache::rules::NotKept;

/// Where an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// In memory.
    Memory,
    /// On disk.
    Disk,
}

impl Tier {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Memory, Self::Disk];

    /// Label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

/// A store of two tiers. Counters are looked up once, so that counting a hit is one addition.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    memory: TierMetrics,
    disk: TierMetrics,
    /// Look-ups that found nothing.
    pub misses: IntCounter,
    /// What was not kept, as the memory was in use.
    pub crowded: IntCounter,
    /// What was not written, as the disk was too slow.
    pub disk_behind: IntCounter,
    /// Files that were not what they said.
    pub disk_corrupt: IntCounter,
    /// Reads and writes that failed.
    pub disk_failures: IntCounter,
}

/// The cache of results, and flights.
#[derive(Debug, Clone)]
pub struct CacheMetrics {
    /// Its tiers.
    pub store: StoreMetrics,
    /// Results that became entries.
    pub fills: IntCounter,
    policy: IntCounter,
    outcome: IntCounter,
    untrusted: IntCounter,
    purged: IntCounter,
    /// Whether the cache kept what was last written to try it.
    pub remembers: IntGauge,
    /// Representations made of others.
    pub derived: IntCounter,
    /// Results that an operator had forgotten.
    pub purges: IntCounter,
    /// Jobs that joined a flight.
    pub joins: IntCounter,
    /// Jobs whose flight had no seat left.
    pub flights_full: IntCounter,
    /// Flights with anybody on them.
    pub flights: IntGauge,
}

/// Shares of the page's state.
#[derive(Debug, Clone)]
pub struct ShareMetrics {
    /// Their tiers.
    pub store: StoreMetrics,
    /// States that became shares.
    pub kept: IntCounter,
}

#[derive(Debug, Clone)]
struct TierMetrics {
    hits: IntCounter,
    evictions: IntCounter,
    entries: IntGauge,
    bytes: IntGauge,
}

impl StoreMetrics {
    /// With names that begin with `name`, of `things`.
    fn new(build: &Builder, name: &str, things: &str) -> prometheus::Result<Self> {
        let counter = |what: &str, help: &str| build.counter(&format!("{name}_{what}"), help);
        let gauges =
            |what: &str, help: &str| build.gauges(&format!("{name}_{what}"), help, &["tier"]);
        let counters =
            |what: &str, help: &str| build.counters(&format!("{name}_{what}"), help, &["tier"]);
        let hits = counters("hits", &format!("Look-ups of {things} that found one."))?;
        let evictions = counters("evictions", "Entries thrown out.")?;
        let entries = gauges("entries", "Entries.")?;
        let bytes = gauges("bytes", "Bytes of entries.")?;
        let tier = |tier: Tier| TierMetrics {
            hits: hits.with_label_values(&[tier.as_str()]),
            evictions: evictions.with_label_values(&[tier.as_str()]),
            entries: entries.with_label_values(&[tier.as_str()]),
            bytes: bytes.with_label_values(&[tier.as_str()]),
        };
        Ok(Self {
            memory: tier(Tier::Memory),
            disk: tier(Tier::Disk),
            misses: counter("misses", &format!("Look-ups of {things} that found none."))?,
            crowded: counter("crowded", "Not kept as memory was in use.")?,
            disk_behind: counter("disk_behind", "Not written as disk was slow.")?,
            disk_corrupt: counter("disk_corrupt", "Files not what they said.")?,
            disk_failures: counter("disk_failures", "Failed reads and writes.")?,
        })
    }

    /// A look-up found something.
    pub fn hit(&self, tier: Tier) {
        self.tier(tier).hits.inc();
    }

    /// An entry was thrown out.
    pub fn evicted(&self, tier: Tier) {
        self.tier(tier).evictions.inc();
    }

    /// What there is.
    pub fn holds(&self, tier: Tier, entries: u64, bytes: u64) {
        let tier = self.tier(tier);
        tier.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        tier.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn tier(&self, tier: Tier) -> &TierMetrics {
        match tier {
            Tier::Memory => &self.memory,
            Tier::Disk => &self.disk,
        }
    }
}

impl ShareMetrics {
    pub(super) fn new(build: &Builder) -> prometheus::Result<Self> {
        Ok(Self {
            store: StoreMetrics::new(build, "share", "shares")?,
            kept: build.counter("shares_kept", "States that became shares.")?,
        })
    }
}

impl CacheMetrics {
    pub(super) fn new(build: &Builder) -> prometheus::Result<Self> {
        let not_kept = build.counters("cache_not_kept", "Results not kept.", &["reason"])?;
        let reason = |reason: NotKept| not_kept.with_label_values(&[reason.as_str()]);
        Ok(Self {
            store: StoreMetrics::new(build, "cache", "results")?,
            fills: build.counter("cache_fills", "Results that became entries.")?,
            policy: reason(NotKept::Policy),
            outcome: reason(NotKept::Outcome),
            untrusted: reason(NotKept::Untrusted),
            purged: reason(NotKept::Purged),
            remembers: build.gauge("cache_remembers", "Whether a probe was read back.")?,
            derived: build.counter("cache_derived", "Representations made of others.")?,
            purges: build.counter("cache_purges", "Results forgotten on request.")?,
            joins: build.counter("flight_joins", "Jobs that joined a run under way.")?,
            flights_full: build.counter("flights_full", "Jobs whose run had too many waiting.")?,
            flights: build.gauge("flights", "Runs that somebody waits for.")?,
        })
    }

    /// A result was not kept.
    pub fn not_kept(&self, why: NotKept) {
        match why {
            NotKept::Policy => self.policy.inc(),
            NotKept::Outcome => self.outcome.inc(),
            NotKept::Untrusted => self.untrusted.inc(),
            NotKept::Purged => self.purged.inc(),
        }
    }
}
