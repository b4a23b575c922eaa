//! Making metrics and registering them, every series of theirs included.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// From a millisecond to a minute, finer where it matters.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

pub(super) struct Adder<'a>(pub(super) &'a Registry);

impl Adder<'_> {
    fn add<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        collector: prometheus::Result<C>,
    ) -> prometheus::Result<C> {
        let collector = collector?;
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help))
    }

    pub(super) fn gauges(
        &self,
        name: &str,
        help: &str,
        by: &str,
        values: &[&str],
    ) -> prometheus::Result<IntGaugeVec> {
        let gauges = self.add(IntGaugeVec::new(Opts::new(name, help), &[by]))?;
        for value in values {
            gauges.get_metric_with_label_values(&[value])?;
        }
        Ok(gauges)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help))
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        by: &str,
        values: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        let counters = self.add(IntCounterVec::new(Opts::new(name, help), &[by]))?;
        for value in values {
            counters.get_metric_with_label_values(&[value])?;
        }
        Ok(counters)
    }

    pub(super) fn seconds(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        let opts = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.add(Histogram::with_opts(opts))
    }

    pub(super) fn seconds_by(
        &self,
        name: &str,
        help: &str,
        by: &str,
        values: &[&str],
    ) -> prometheus::Result<HistogramVec> {
        let opts = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        let histograms = self.add(HistogramVec::new(opts, &[by]))?;
        for value in values {
            histograms.get_metric_with_label_values(&[value])?;
        }
        Ok(histograms)
    }

    pub(super) fn bytes(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        let buckets = prometheus::exponential_buckets(1024.0, 8.0, 6)?;
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)))
    }
}
