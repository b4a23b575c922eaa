//! A worker: one session after the other.

use std::sync::Arc;
use std::time::Instant;

use pe_proto::{Arch, Digest};
use pe_worker::core::reconnect::{Lost, Reconnect, ReconnectTerms};
use pe_worker::limits::{DIAL_AGAIN_FIRST, DIAL_AGAIN_GONE, DIAL_AGAIN_MAX, LINK_GOOD_AFTER};

use crate::journal::Journal;
use crate::session;

/// Who it is and what it offers.
#[derive(Debug, Clone)]
pub struct Terms {
    /// `HOST:PORT` of the load balancer's listener for workers.
    pub lb: String,
    /// Its name.
    pub name: String,
    /// Slots.
    pub slots: u32,
    /// Architecture it says its guests have.
    pub arch: Arch,
    /// Images it says it can run.
    pub images: Vec<Digest>,
    /// What it shows to be let in.
    pub token: Option<String>,
    /// What it says that every job printed, whatever its script is.
    pub lie: Option<String>,
    /// Where it tells what it does.
    pub journal: Journal,
}

/// Serves for ever; after each loss it waits as the real worker does.
pub async fn run(terms: Terms) {
    let terms = Arc::new(terms);
    let began = Instant::now();
    let mut reconnect = Reconnect::new(ReconnectTerms {
        wait_first: DIAL_AGAIN_FIRST,
        wait_gone: DIAL_AGAIN_GONE,
        wait_max: DIAL_AGAIN_MAX,
        good_after: LINK_GOOD_AFTER,
    });
    loop {
        let up = || {
            reconnect.up(began.elapsed());
            terms.journal.tell("up", &terms.name, "");
        };
        let ended = session::run(&terms, up).await;
        let wait = reconnect.down(Lost::Gone, began.elapsed(), getrandom::u64().unwrap_or(0));
        let why = ended.err().map_or("closed".to_owned(), |error| format!("{error:#}"));
        terms.journal.tell("down", &terms.name, why);
        terms.journal.tell("waits-ms", &terms.name, wait.as_millis());
        tokio::time::sleep(wait).await;
    }
}
