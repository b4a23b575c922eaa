//! The broker against a model that is too simple to be wrong: lists, searched from end to end.
//! Both are fed the same random events and must decide the same; beside that, the promises of
//! the broker's doc are checked on the decisions alone.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use pe_proto::Arch;
use proptest::prelude::*;

use super::*;
use events::{Answer, Concrete, Event, Names, ables, event, images, owner};
use reference::{Model, ModelState, WALL};

mod events;
mod reference;

fn terms() -> Terms {
    Terms {
        queue_jobs_max: 4,
        queue_wait: Duration::from_secs(20),
        fetch_wait: Duration::from_secs(60),
        releases_max: 2,
        reports_max: 1,
        lease_grace: Duration::from_secs(5),
        worker_grace: Duration::from_secs(30),
        hedge: HedgeTerms {
            percent: 30,
            burst: 2,
            wait_first: Duration::from_secs(2),
            wait_min: Duration::from_secs(1),
            wait_max: Duration::from_secs(6),
        },
    }
}

fn apply(broker: &mut Broker, event: &Concrete, now: Moment) -> Answer {
    let offer = |number| Offer::new(Arch::X86_64, images(number));
    match event.clone() {
        Concrete::Arrive(worker, slots_max, number) => {
            let ((owner, is_trusted), offer) = (owner(worker), offer(number));
            let arrival = Arrival { slots_max, offer, owner, is_trusted };
            broker.worker_arrives(worker, arrival, now);
        }
        Concrete::Change(worker, number, is_draining) => {
            broker.worker_changes(worker, offer(number), is_draining, now);
        }
        Concrete::Fetches(worker, number) => {
            let fetches = Fetches { able: ables(number), under_way: Vec::new() };
            broker.worker_fetches(worker, fetches);
        }
        Concrete::Leave(worker) => broker.worker_leaves(worker, now),
        Concrete::Park(slot, worker, until, signs) => {
            return Answer::Park(broker.park(slot, worker, until, signs, now));
        }
        Concrete::Accepted(lease) => broker.accepted(lease, now),
        Concrete::Quarantine(worker, until) => broker.quarantine(worker, until, now),
        Concrete::Pardon(worker) => broker.pardon(worker, now),
        Concrete::DrainWorker(worker, is_drained) => broker.drain_worker(worker, is_drained, now),
        Concrete::Spare(job, spare, fit) => {
            let claim = ClientKey([9; 16]).into();
            broker.submit(Submission { job, claim, fit, wall: WALL, spare: Some(spare) }, now);
        }
        Concrete::SlotGone(slot) => broker.slot_gone(slot, now),
        Concrete::HandoverFailed(lease) => broker.handover_failed(lease, now),
        Concrete::Submit(job, claim, fit) => {
            broker.submit(Submission { job, claim, fit, wall: WALL, spare: None }, now);
        }
        Concrete::Close(job) => broker.close(job, now),
        Concrete::BeginResult(worker, lease) => {
            return Answer::Begin(broker.begin_result(worker, lease, now));
        }
        Concrete::ResultLost(job, loss) => broker.result_lost(job, loss, now),
        Concrete::Tick(now) => broker.tick(now),
        Concrete::Drain => broker.drain(),
    }
    Answer::Nothing
}

/// Promises that can be read off the decisions.
#[derive(Debug, Default)]
struct Promises {
    leased: HashSet<SlotId>,
    hedged: HashSet<JobId>,
    answered: HashSet<JobId>,
    submitted: usize,
    closed: HashSet<JobId>,
}

impl Promises {
    fn check(&mut self, decision: &Decision) {
        match decision {
            Decision::Lease { slot, job, is_hedge, .. } => {
                assert!(!is_hedge || self.hedged.insert(*job), "hedged twice");
                assert!(self.leased.insert(*slot), "slot leased twice");
                assert!(!self.answered.contains(job), "leased after its answer");
                assert!(!self.closed.contains(job), "leased after its client left");
            }
            Decision::Refuse { job, .. } | Decision::Overdue { job } => {
                assert!(self.answered.insert(*job), "answered twice");
                assert!(!self.closed.contains(job), "answered after its client left");
            }
            Decision::Lost { .. } => {}
            Decision::Release { slot } => assert!(!self.leased.contains(slot)),
            Decision::Settle { slot } | Decision::Cancel { slot } => {
                assert!(self.leased.contains(slot), "no lease to end");
            }
        }
    }
}

/// No job is with more than two workers, nor with one of them twice.
fn check_leases(broker: &Broker) -> Result<(), TestCaseError> {
    let mut holders: HashMap<JobId, Vec<WorkerId>> = HashMap::new();
    for lease in broker.leases.values() {
        holders.entry(lease.job).or_default().push(lease.worker);
    }
    for workers in holders.values() {
        prop_assert!(workers.len() <= 2);
        prop_assert!(workers.len() < 2 || workers[0] != workers[1]);
    }
    Ok(())
}

fn run(events: &[Event]) -> Result<(), TestCaseError> {
    let mut broker = Broker::new(terms());
    let mut model = Model::new(terms());
    let mut names = Names::default();
    let mut promises = Promises::default();
    for event in events {
        let Some(event) = names.concrete(event, &model) else {
            continue;
        };
        let expected = model.apply(&event);
        let answer = apply(&mut broker, &event, model.now);
        prop_assert_eq!(answer, expected, "answer to {:?}", &event);
        if let Concrete::Submit(..) = event {
            promises.submitted += 1;
        }
        if let Concrete::Close(job) = event {
            promises.closed.insert(job);
        }
        let mut decisions = Vec::new();
        while let Some(decision) = broker.next_decision() {
            promises.check(&decision);
            if let Decision::Lease { lease, .. } = decision {
                names.leases.push(lease);
            }
            decisions.push(decision);
        }
        prop_assert_eq!(&decisions, &model.decisions, "decisions after {:?}", &event);
        model.decisions.clear();
        let census = broker.census();
        prop_assert_eq!(census.parked, model.parked.len());
        prop_assert_eq!(census.workers, model.workers.len());
        prop_assert_eq!(census.waiting, model.waiting());
        prop_assert_eq!(census.jobs, model.jobs.len());
        prop_assert_eq!(census.leased, broker.leased_slots.len());
        prop_assert_eq!(census.quarantined, model.quarantined());
        check_leases(&broker)?;
        model.check_wanted(&mut broker)?;
    }
    // Nobody is forgotten: after all deadlines every job was answered, closed, or is being
    // answered, and no timer is left behind.
    broker.tick(model.now.after(Duration::from_secs(1000)));
    // A hedge, or a quarantine's end, may have leased anew on the way.
    broker.tick(model.now.after(Duration::from_secs(2000)));
    let census = broker.census();
    prop_assert_eq!((census.waiting, census.leased, census.parked), (0, 0, 0));
    prop_assert_eq!(broker.next_timer(), None);
    let answering = model.jobs.values().filter(|job| matches!(job.state, ModelState::Answering(_)));
    prop_assert_eq!(census.jobs, answering.count());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_broker_decides_as_its_model_does(events in prop::collection::vec(event(), 1..120)) {
        run(&events)?;
    }
}
