//! The broker against a model that is too simple to be wrong: lists, searched from end to end.
//! Both are fed the same random events and must decide the same; beside that, the promises of
//! the broker's doc are checked on the decisions alone.

use std::collections::HashSet;
use std::time::Duration;

use pe_proto::Arch;
use proptest::prelude::*;

use super::*;
use events::{Answer, Concrete, Event, Names, event, images};
use reference::{Model, ModelState, WALL};

mod events;
mod reference;

fn terms() -> Terms {
    Terms {
        queue_jobs_max: 4,
        queue_wait: Duration::from_secs(20),
        releases_max: 2,
        reports_max: 1,
        lease_grace: Duration::from_secs(5),
        worker_grace: Duration::from_secs(30),
    }
}

fn apply(broker: &mut Broker, event: &Concrete, now: Moment) -> Answer {
    let offer = |number| Offer::new(Arch::X86_64, images(number));
    match event.clone() {
        Concrete::Arrive(worker, slots_max, number) => {
            broker.worker_arrives(worker, slots_max, offer(number));
        }
        Concrete::Change(worker, number, is_draining) => {
            broker.worker_changes(worker, offer(number), is_draining, now);
        }
        Concrete::Leave(worker) => broker.worker_leaves(worker, now),
        Concrete::Park(slot, worker, until) => {
            return Answer::Park(broker.park(slot, worker, until, now));
        }
        Concrete::SlotGone(slot) => broker.slot_gone(slot, now),
        Concrete::HandoverFailed(lease) => broker.handover_failed(lease, now),
        Concrete::Submit(job, claim, fit) => {
            broker.submit(Submission { job, claim, fit, wall: WALL }, now);
        }
        Concrete::Close(job) => broker.close(job),
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
    answered: HashSet<JobId>,
    submitted: usize,
    closed: HashSet<JobId>,
}

impl Promises {
    fn check(&mut self, decision: &Decision) {
        match decision {
            Decision::Lease { slot, job, .. } => {
                assert!(self.leased.insert(*slot), "slot leased twice");
                assert!(!self.answered.contains(job), "leased after its answer");
                assert!(!self.closed.contains(job), "leased after its client left");
            }
            Decision::Refuse { job, .. } | Decision::Overdue { job } => {
                assert!(self.answered.insert(*job), "answered twice");
                assert!(!self.closed.contains(job), "answered after its client left");
            }
            Decision::Release { slot } => assert!(!self.leased.contains(slot)),
            Decision::Settle { slot } | Decision::Cancel { slot } => {
                assert!(self.leased.contains(slot), "no lease to end");
            }
        }
    }
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
    }
    // Nobody is forgotten: after all deadlines every job was answered, closed, or is being
    // answered, and no timer is left behind.
    broker.tick(model.now.after(Duration::from_secs(1000)));
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
