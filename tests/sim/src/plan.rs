//! What is to happen in a run: the fleet, how bad its network is, and what is done to it when.
//! All of it is drawn from the seed, each run with faults of its own: one may have nothing but a
//! slow network, the next nothing but dying workers.

use std::num::NonZeroU8;
use std::time::Duration;

use pe_lb::core::broker::{HedgeTerms, Terms};

use crate::chance::{Chance, Purpose};

/// See the module.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where all of it comes from.
    pub chance: Chance,
    /// What holds for the whole run.
    pub setting: Setting,
    /// In order of their time.
    pub actions: Vec<Action>,
}

/// What holds for the whole run.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The load balancer's.
    pub terms: Terms,
    /// The longest that a slot is parked.
    pub poll: Duration,
    /// The longest that a drain may take.
    pub drain_max: Duration,
    /// What each worker begins with.
    pub workers: Vec<Outfit>,
    /// How many clients there are.
    pub clients: u8,
    /// What each of them may.
    pub claims: Vec<Standing>,
    /// A message is on its way at least and at most so long.
    pub delay: (Duration, Duration),
    /// Of 1,000 messages, so many are sent again by TCP.
    pub lost_in_1000: u64,
    /// Of 100 leases, so many end badly.
    pub bad_fates_in_100: u64,
    /// Of 100 occasions to lie, so many are taken.
    pub lies_in_100: u64,
}

/// A worker as it begins.
#[derive(Debug, Clone, Copy)]
pub struct Outfit {
    /// Its slots.
    pub slots: u8,
    /// Its images, one bit each.
    pub images: u8,
}

/// What a client may.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Jobs that it may have leased in a turn.
    pub priority: NonZeroU8,
    /// Jobs that it may have waiting.
    pub queued_max: usize,
    /// Its jobs are of no use after this.
    pub deadline: Option<Duration>,
}

/// Something that is done to the fleet.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    /// When.
    pub at: Duration,
    /// What.
    pub deed: Deed,
}

/// What is done. Workers and clients are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A client wants a job run, and perhaps does not wait for its end.
    Submit {
        /// Who.
        client: u8,
        /// What it needs.
        image: u8,
        /// Its wall clock.
        wall: Duration,
        /// When the client hangs up.
        patience: Option<Duration>,
        /// Whether it is to be run only with what is to spare.
        is_spare: bool,
    },
    /// A worker's process dies. If silently, its host too, and nobody is told.
    KillWorker {
        /// Which.
        worker: u8,
        /// Until it is started again.
        down: Duration,
        /// Whether no packet says so.
        is_silent: bool,
    },
    /// Nothing goes between a worker and the load balancer for a while.
    CutWorker {
        /// Which.
        worker: u8,
        /// How long.
        time: Duration,
    },
    /// The same for a client.
    CutClient {
        /// Which.
        client: u8,
        /// How long.
        time: Duration,
    },
    /// A worker's connection is reset.
    ResetLink {
        /// Which.
        worker: u8,
    },
    /// A ready VM dies while it is on offer.
    LoseVm {
        /// On which worker.
        worker: u8,
    },
    /// A worker has other images from now on.
    Change {
        /// Which.
        worker: u8,
        /// One bit for each.
        images: u8,
    },
    /// A worker drains, or takes jobs again.
    Drain {
        /// Which.
        worker: u8,
        /// Which of the two.
        is_draining: bool,
    },
    /// A worker answers for a lease that was never its own.
    Lie {
        /// Which.
        worker: u8,
        /// The lease, counted back from the latest.
        back: u8,
    },
    /// The load balancer's process ends and another is started.
    RestartLb {
        /// Whether it may finish what it has.
        is_drain: bool,
        /// Whether no packet says so.
        is_silent: bool,
        /// Between the two.
        down: Duration,
    },
}

/// How long things are done to the fleet; afterwards it may settle.
const HORIZON_MS: u64 = 60_000;

/// Images there are. No worker ever has the last one.
const IMAGES: u8 = 3;

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let chance = Chance(seed);
        let mut rng = chance.of(Purpose::Plan, [0; 3]);
        let setting = setting(&mut rng);
        let mut actions = Vec::new();
        jobs(&mut rng, &setting, &mut actions);
        faults(&mut rng, &setting, &mut actions);
        spare_runs(&mut rng, &setting, &mut actions);
        actions.sort_by_key(|action| action.at);
        Self { chance, setting, actions }
    }
}

fn setting(rng: &mut fastrand::Rng) -> Setting {
    let seconds = |rng: &mut fastrand::Rng, range| Duration::from_secs(rng.u64(range));
    let terms = Terms {
        queue_jobs_max: rng.usize(1..12),
        queue_wait: seconds(rng, 2..20),
        fetch_wait: Duration::from_secs(60),
        releases_max: 2,
        reports_max: 1,
        lease_grace: seconds(rng, 1..8),
        worker_grace: seconds(rng, 5..30),
        // Workers here give no signs of life.
        hedge: HedgeTerms {
            percent: 0,
            burst: 0,
            wait_first: Duration::ZERO,
            wait_min: Duration::ZERO,
            wait_max: Duration::ZERO,
        },
    };
    let workers = (0..rng.usize(1..5))
        .map(|_| Outfit { slots: rng.u8(1..4), images: rng.u8(1..4) })
        .collect();
    let clients = rng.u8(1..5);
    let is_equal = rng.bool();
    let claims = (0..clients).map(|_| standing(rng, is_equal)).collect();
    let least = rng.u64(100..2_000);
    let most = least + if rng.bool() { 1_000 } else { rng.u64(1_000..300_000) };
    Setting {
        terms,
        poll: seconds(rng, 3..20),
        drain_max: seconds(rng, 2..20),
        workers,
        clients,
        claims,
        delay: (Duration::from_micros(least), Duration::from_micros(most)),
        lost_in_1000: if rng.bool() { 0 } else { rng.u64(1..60) },
        bad_fates_in_100: if rng.bool() { 0 } else { rng.u64(1..50) },
        lies_in_100: if rng.bool() { 0 } else { rng.u64(10..100) },
    }
}

/// In half of the runs all clients are equal and have no bounds of their own.
fn standing(rng: &mut fastrand::Rng, is_equal: bool) -> Standing {
    if is_equal {
        return Standing { priority: NonZeroU8::MIN, queued_max: usize::MAX, deadline: None };
    }
    Standing {
        priority: NonZeroU8::MIN.saturating_add(rng.u8(0..3)),
        queued_max: if rng.bool() { usize::MAX } else { rng.usize(0..5) },
        deadline: (rng.u8(0..4) == 0).then(|| Duration::from_millis(rng.u64(0..15_000))),
    }
}

/// Clients come one by one or all at once, the first of them greedily.
fn jobs(rng: &mut fastrand::Rng, setting: &Setting, actions: &mut Vec<Action>) {
    let is_crowded = rng.bool();
    let hang_ups = if rng.bool() { 0 } else { rng.u8(5..60) };
    let walls = rng.u64(1..8);
    for _ in 0..rng.usize(10..if is_crowded { 120 } else { 40 }) {
        let at = if is_crowded && rng.bool() {
            HORIZON_MS / 3 + rng.u64(0..2_000)
        } else {
            rng.u64(0..HORIZON_MS)
        };
        let client = if rng.u8(0..3) == 0 { 0 } else { rng.u8(0..setting.clients) };
        // The image that nobody has is asked for now and then.
        let image = if rng.u8(0..20) == 0 { IMAGES - 1 } else { rng.u8(0..IMAGES - 1) };
        let wall = Duration::from_millis(rng.u64(50..1 + 1_000 * walls));
        let most = if rng.bool() { 20_000 } else { 9_000_000 };
        let patience = Duration::from_micros(rng.u64(0..most));
        let patience = (rng.u8(0..100) < hang_ups).then_some(patience);
        let deed = Deed::Submit { client, image, wall, patience, is_spare: false };
        actions.push(Action { at: Duration::from_millis(at), deed });
    }
}

/// Runs that no client waits for, in half of all.
fn spare_runs(rng: &mut fastrand::Rng, setting: &Setting, actions: &mut Vec<Action>) {
    let count = if rng.bool() { 0 } else { rng.usize(1..40) };
    for _ in 0..count {
        let at = Duration::from_micros(rng.u64(0..HORIZON_MS * 1_000));
        let (client, image) = (rng.u8(0..setting.clients), rng.u8(0..IMAGES - 1));
        let wall = Duration::from_millis(rng.u64(500..8_000));
        let patience = None;
        let deed = Deed::Submit { client, image, wall, patience, is_spare: true };
        actions.push(Action { at, deed });
    }
}

fn faults(rng: &mut fastrand::Rng, setting: &Setting, actions: &mut Vec<Action>) {
    // Each kind of fault has its own rate in this run, and half of them none.
    let mut counts = [0_usize; 9];
    for count in &mut counts {
        *count = if rng.bool() { 0 } else { rng.usize(1..8) };
    }
    let [kills, cuts, client_cuts, resets, losses, changes, drains, lies, restarts] = counts;
    let workers = u8::try_from(setting.workers.len()).unwrap_or(1);
    let clients = setting.clients;
    let mut add =
        |rng: &mut fastrand::Rng, times: usize, deed: &dyn Fn(&mut fastrand::Rng) -> Deed| {
            for _ in 0..times {
                let at = Duration::from_micros(rng.u64(0..HORIZON_MS * 1_000));
                actions.push(Action { at, deed: deed(rng) });
            }
        };
    let while_ = |rng: &mut fastrand::Rng| Duration::from_millis(rng.u64(1..20_000));
    add(rng, kills, &|rng| Deed::KillWorker {
        worker: rng.u8(0..workers),
        down: while_(rng),
        is_silent: rng.bool(),
    });
    add(rng, cuts, &|rng| Deed::CutWorker { worker: rng.u8(0..workers), time: while_(rng) * 2 });
    add(rng, client_cuts, &|rng| Deed::CutClient {
        client: rng.u8(0..clients),
        time: while_(rng) * 2,
    });
    add(rng, resets, &|rng| Deed::ResetLink { worker: rng.u8(0..workers) });
    add(rng, losses * 2, &|rng| Deed::LoseVm { worker: rng.u8(0..workers) });
    add(rng, changes, &|rng| Deed::Change { worker: rng.u8(0..workers), images: rng.u8(0..4) });
    add(rng, drains, &|rng| Deed::Drain { worker: rng.u8(0..workers), is_draining: rng.bool() });
    add(rng, lies * 2, &|rng| Deed::Lie { worker: rng.u8(0..workers), back: rng.u8(0..12) });
    add(rng, restarts.min(3), &|rng| Deed::RestartLb {
        is_drain: rng.bool(),
        is_silent: rng.u8(0..4) == 0,
        down: Duration::from_millis(rng.u64(1..4_000)),
    });
}
