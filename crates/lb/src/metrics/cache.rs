//! What is counted of the cache and of flights.

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

/// Counters are looked up once, so that counting a hit is one addition.
#[derive(Debug, Clone)]
pub struct CacheMetrics {
    memory: TierMetrics,
    disk: TierMetrics,
    /// Look-ups that found nothing.
    pub misses: IntCounter,
    /// Results that became entries.
    pub fills: IntCounter,
    policy: IntCounter,
    outcome: IntCounter,
    untrusted: IntCounter,
    purged: IntCounter,
    /// Results and representations that were not kept, as the memory was in use.
    pub crowded: IntCounter,
    /// Results that were not written, as the disk was too slow.
    pub disk_behind: IntCounter,
    /// Files that were not what they said.
    pub disk_corrupt: IntCounter,
    /// Reads and writes that failed.
    pub disk_failures: IntCounter,
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

#[derive(Debug, Clone)]
struct TierMetrics {
    hits: IntCounter,
    evictions: IntCounter,
    entries: IntGauge,
    bytes: IntGauge,
}

impl CacheMetrics {
    pub(super) fn new(build: &Builder) -> prometheus::Result<Self> {
        let hits = build.counters("cache_hits", "Look-ups that found a result.", &["tier"])?;
        let evictions = build.counters("cache_evictions", "Entries thrown out.", &["tier"])?;
        let entries = build.gauges("cache_entries", "Entries.", &["tier"])?;
        let bytes = build.gauges("cache_bytes", "Bytes of entries.", &["tier"])?;
        let tier = |tier: Tier| TierMetrics {
            hits: hits.with_label_values(&[tier.as_str()]),
            evictions: evictions.with_label_values(&[tier.as_str()]),
            entries: entries.with_label_values(&[tier.as_str()]),
            bytes: bytes.with_label_values(&[tier.as_str()]),
        };
        let not_kept = build.counters("cache_not_kept", "Results not kept.", &["reason"])?;
        let reason = |reason: NotKept| not_kept.with_label_values(&[reason.as_str()]);
        Ok(Self {
            memory: tier(Tier::Memory),
            disk: tier(Tier::Disk),
            misses: build.counter("cache_misses", "Look-ups that found nothing.")?,
            fills: build.counter("cache_fills", "Results that became entries.")?,
            policy: reason(NotKept::Policy),
            outcome: reason(NotKept::Outcome),
            untrusted: reason(NotKept::Untrusted),
            purged: reason(NotKept::Purged),
            crowded: build.counter("cache_crowded", "Not kept as memory was in use.")?,
            disk_behind: build.counter("cache_disk_behind", "Not written as disk was slow.")?,
            disk_corrupt: build.counter("cache_disk_corrupt", "Files not what they said.")?,
            disk_failures: build.counter("cache_disk_failures", "Failed reads and writes.")?,
            remembers: build.gauge("cache_remembers", "Whether a probe was read back.")?,
            derived: build.counter("cache_derived", "Representations made of others.")?,
            purges: build.counter("cache_purges", "Results forgotten on request.")?,
            joins: build.counter("flight_joins", "Jobs that joined a run under way.")?,
            flights_full: build.counter("flights_full", "Jobs whose run had too many waiting.")?,
            flights: build.gauge("flights", "Runs that somebody waits for.")?,
        })
    }

    /// A look-up found a result.
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

    /// A result was not kept.
    pub fn not_kept(&self, why: NotKept) {
        match why {
            NotKept::Policy => self.policy.inc(),
            NotKept::Outcome => self.outcome.inc(),
            NotKept::Untrusted => self.untrusted.inc(),
            NotKept::Purged => self.purged.inc(),
        }
    }

    fn tier(&self, tier: Tier) -> &TierMetrics {
        match tier {
            Tier::Memory => &self.memory,
            Tier::Disk => &self.disk,
        }
    }
}
