//! What the link and the fetcher tell each other. Neither waits for the other.

use std::sync::Arc;

use pe_proto::Digest;
use pe_proto::link::{Fetching, Wanted};
use tokio::sync::watch;

use crate::link::Client;

/// Of no catalogue.
pub(super) const NONE: Digest = Digest([0; 32]);

/// See the module. Copies are of the same desk.
#[derive(Debug, Clone)]
pub struct Desk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    line: watch::Sender<Option<Client>>,
    wanted: watch::Sender<Wanted>,
    report: watch::Sender<Report>,
}

/// What the LB is to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Images that could be fetched.
    pub(crate) able: Vec<Digest>,
    /// Those on their way.
    pub(crate) under_way: Vec<Fetching>,
}

impl Default for Desk {
    fn default() -> Self {
        let wanted = Wanted { catalogue: NONE, images: Vec::new() };
        Self(Arc::new(Shared {
            line: watch::Sender::new(None),
            wanted: watch::Sender::new(wanted),
            report: watch::Sender::default(),
        }))
    }
}

impl Desk {
    /// The link is up, over this connection, or down.
    pub(crate) fn line(&self, client: Option<Client>) {
        self.0.line.send_replace(client);
    }

    /// Something else is wanted.
    pub(crate) fn wants(&self, wanted: Wanted) {
        self.0.wanted.send_replace(wanted);
    }

    /// The LB is to be told, if that is news.
    pub(crate) fn report(&self, report: Report) {
        self.0.report.send_if_modified(|last| {
            let is_new = *last != report;
            *last = report;
            is_new
        });
    }

    /// Reports.
    pub(crate) fn reports(&self) -> watch::Receiver<Report> {
        self.0.report.subscribe()
    }

    pub(super) fn lines(&self) -> watch::Receiver<Option<Client>> {
        self.0.line.subscribe()
    }

    pub(crate) fn wanted(&self) -> watch::Receiver<Wanted> {
        self.0.wanted.subscribe()
    }

    pub(super) fn has_line(&self) -> bool {
        self.0.line.borrow().is_some()
    }
}
