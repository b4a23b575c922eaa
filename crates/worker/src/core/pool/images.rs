//! Which images of this worker are left alone for a while.
//!
//! ```text
//!  fine --lost jobs in a row--> suspect --trial failed--> out --its time is over--> on trial
//!   ^                              |                       ^                         |   |
//!   +-------- trial passed --------+                       +---- trial failed -------+   |
//!   +---------------------------------- trial passed ------------------------------------+
//! ```
//! Anybody can send jobs that lose their VM. So lost jobs only make an image suspect, and it goes
//! on being served: what puts it out is a job of our own that does not run in it. An image whose
//! pack is not what the catalogue says is out for good. One that has just come is out until it has
//! passed its first trial, which is due at once.

use std::collections::BTreeMap;
use std::time::Duration;

use pe_proto::Digest;

use super::pace::Backoff;
use super::terms::PoolTerms;
use crate::core::Moment;

/// Images that are not fine.
#[derive(Debug)]
pub(super) struct Images {
    records: BTreeMap<Digest, Record>,
    failures_max: u32,
    min: Duration,
    max: Duration,
}

#[derive(Debug)]
struct Record {
    standing: Standing,
    backoff: Backoff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// So many jobs lost in a row.
    Fine(u32),
    Suspect,
    Out(Moment),
    Condemned,
}

impl Images {
    pub(super) fn new(terms: &PoolTerms) -> Self {
        Self {
            records: BTreeMap::new(),
            failures_max: terms.image_failures_max.max(1),
            min: terms.quarantine_min,
            max: terms.quarantine_max,
        }
    }

    pub(super) fn failed(&mut self, image: Digest) {
        let most = self.failures_max;
        let record = self.record(image);
        record.standing = match record.standing {
            Standing::Fine(lost) if lost + 1 >= most => Standing::Suspect,
            Standing::Fine(lost) => Standing::Fine(lost + 1),
            other @ (Standing::Suspect | Standing::Out(_) | Standing::Condemned) => other,
        };
    }

    pub(super) fn worked(&mut self, image: Digest) {
        let standing = self.records.get(&image).map(|record| record.standing);
        match standing {
            Some(Standing::Fine(_) | Standing::Suspect) => {
                self.records.remove(&image);
            }
            // A result of before it was out.
            Some(Standing::Out(_) | Standing::Condemned) | None => {}
        }
    }

    /// True if it was not out before.
    pub(super) fn condemn(&mut self, image: Digest) -> bool {
        let was_out = self.is_out(image);
        self.record(image).standing = Standing::Condemned;
        !was_out
    }

    /// A new image is out until its trial, which is due. True if it was not out before.
    pub(super) fn arrived(&mut self, image: Digest, now: Moment) -> bool {
        let was_out = self.is_out(image);
        self.records.remove(&image);
        self.record(image).standing = Standing::Out(now);
        !was_out
    }

    /// True if it was out.
    pub(super) fn left(&mut self, image: Digest) -> bool {
        let was_out = self.is_out(image);
        self.records.remove(&image);
        was_out
    }

    /// An image whose trial is due.
    pub(super) fn due(&self, now: Moment) -> Option<Digest> {
        let is_due = |record: &Record| match record.standing {
            Standing::Suspect => true,
            Standing::Out(until) => until <= now,
            Standing::Fine(_) | Standing::Condemned => false,
        };
        self.records.iter().find(|(_, record)| is_due(record)).map(|(image, _)| *image)
    }

    /// True if it was out and is not any more.
    pub(super) fn trial_passed(&mut self, image: Digest) -> bool {
        match self.records.get(&image).map(|record| record.standing) {
            Some(Standing::Condemned) | None => false,
            Some(standing @ (Standing::Fine(_) | Standing::Suspect | Standing::Out(_))) => {
                self.records.remove(&image);
                matches!(standing, Standing::Out(_))
            }
        }
    }

    /// True if it was not out before.
    pub(super) fn trial_failed(&mut self, image: Digest, now: Moment) -> bool {
        let was_out = self.is_out(image);
        let record = self.record(image);
        if record.standing != Standing::Condemned {
            record.standing = Standing::Out(record.backoff.failed(now));
        }
        !was_out
    }

    /// The next end of a time out.
    pub(super) fn next(&self) -> Option<Moment> {
        let until = |record: &Record| match record.standing {
            Standing::Out(until) => Some(until),
            Standing::Fine(_) | Standing::Suspect | Standing::Condemned => None,
        };
        self.records.values().filter_map(until).min()
    }

    pub(super) fn is_out(&self, image: Digest) -> bool {
        let standing = self.records.get(&image).map(|record| record.standing);
        matches!(standing, Some(Standing::Out(_) | Standing::Condemned))
    }

    /// Bounded by the images of the catalogue: nobody else's are told of.
    fn record(&mut self, image: Digest) -> &mut Record {
        let fresh =
            || Record { standing: Standing::Fine(0), backoff: Backoff::new(self.min, self.max) };
        self.records.entry(image).or_insert_with(fresh)
    }
}
