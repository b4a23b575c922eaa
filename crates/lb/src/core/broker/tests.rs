//! The broker's promises one by one, in words; `model.rs` holds them against random events.

use std::time::Duration;

use pe_proto::{Arch, Digest};

use super::*;
use crate::core::ids::OwnerKey;
use crate::limits::PACE_ENDS_MIN;

mod cold;
mod spare;

const WALL: Duration = Duration::from_secs(10);

fn terms() -> Terms {
    Terms {
        queue_jobs_max: 8,
        queue_wait: Duration::from_secs(20),
        fetch_wait: Duration::from_secs(60),
        releases_max: 2,
        reports_max: 1,
        lease_grace: Duration::from_secs(5),
        worker_grace: Duration::from_secs(30),
        hedge: HedgeTerms {
            percent: 5,
            burst: 2,
            wait_first: Duration::from_secs(1),
            wait_min: Duration::from_secs(1),
            wait_max: Duration::from_secs(5),
        },
    }
}

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn fit(image: u8) -> Fit {
    Fit { arch: Arch::X86_64, image: Digest([image; 32]) }
}

fn offer(images: &[u8]) -> Offer {
    Offer::new(Arch::X86_64, images.iter().map(|image| Digest([*image; 32])).collect())
}

fn job(id: u64, client: u8, image: u8) -> Submission {
    let claim = Claim::from(ClientKey([client; 16]));
    Submission { job: JobId(id), claim, fit: fit(image), wall: WALL, spare: None }
}

fn park(broker: &mut Broker, slot: u64, worker: u64, now: Moment) {
    let until = now.after(Duration::from_secs(50));
    broker.park(SlotId(slot), WorkerId(worker), until, false, now).unwrap();
}

/// Parks a slot whose worker shows when its lease arrives.
fn park_signing(broker: &mut Broker, slot: u64, worker: u64, now: Moment) {
    let until = now.after(Duration::from_secs(50));
    broker.park(SlotId(slot), WorkerId(worker), until, true, now).unwrap();
}

fn arrive(broker: &mut Broker, worker: u64, slots_max: usize, images: &[u8]) {
    let owner = OwnerKey([u8::try_from(worker % 3).unwrap(); 16]);
    let arrival = Arrival { slots_max, offer: offer(images), owner, is_trusted: worker % 2 == 0 };
    broker.worker_arrives(WorkerId(worker), arrival, Moment::START);
}

fn decisions(broker: &mut Broker) -> Vec<Decision> {
    std::iter::from_fn(|| broker.next_decision()).collect()
}

/// Slots and jobs of the leases among the decisions.
fn leases(broker: &mut Broker) -> Vec<(u64, u64)> {
    let mut leases = Vec::new();
    for decision in decisions(broker) {
        if let Decision::Lease { slot, job, .. } = decision {
            leases.push((slot.0, job.0));
        }
    }
    leases
}

fn refusals(broker: &mut Broker) -> Vec<(u64, Refusal)> {
    let mut refusals = Vec::new();
    for decision in decisions(broker) {
        if let Decision::Refuse { job, refusal } = decision {
            refusals.push((job.0, refusal));
        }
    }
    refusals
}

/// A place of which it is not known how long it takes to the front.
fn at_position(position: usize) -> Place {
    Place { position, wait: None }
}

/// A broker with workers 1 and 2 that offer image 1.
fn broker() -> Broker {
    let mut broker = Broker::new(terms());
    arrive(&mut broker, 1, 16, &[1]);
    arrive(&mut broker, 2, 16, &[1]);
    broker
}

#[test]
fn the_most_recently_parked_slot_is_leased() {
    let mut broker = broker();
    park(&mut broker, 1, 1, at(0));
    park(&mut broker, 2, 2, at(1));
    park(&mut broker, 3, 1, at(2));
    for id in 1..=3 {
        broker.submit(job(id, 1, 1), at(3));
    }
    assert_eq!(leases(&mut broker), [(3, 1), (2, 2), (1, 3)]);
}

#[test]
fn a_slot_takes_only_jobs_that_its_worker_offers() {
    let mut broker = broker();
    arrive(&mut broker, 3, 16, &[2]);
    broker.submit(job(1, 1, 2), at(0));
    park(&mut broker, 1, 1, at(0));
    assert_eq!(leases(&mut broker), []);
    park(&mut broker, 2, 3, at(0));
    assert_eq!(leases(&mut broker), [(2, 1)]);
}

#[test]
fn an_image_that_a_worker_gains_is_leased_to_its_parked_slots() {
    let mut broker = broker();
    park(&mut broker, 1, 1, at(0));
    broker.submit(job(1, 1, 2), at(0));
    assert_eq!(leases(&mut broker), []);
    broker.worker_changes(WorkerId(1), offer(&[1, 2]), false, at(1));
    assert_eq!(leases(&mut broker), [(1, 1)]);
}

#[test]
fn clients_take_turns_and_keep_their_own_order() {
    let mut broker = broker();
    for (id, client) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3)] {
        broker.submit(job(id, client, 1), at(0));
    }
    for slot in 1..=6 {
        park(&mut broker, slot, 1, at(1));
    }
    let order: Vec<u64> = leases(&mut broker).into_iter().map(|(_, job)| job).collect();
    assert_eq!(order, [1, 4, 6, 2, 5, 3]);
}

#[test]
fn a_full_queue_refuses_at_once() {
    let mut broker = broker();
    for id in 1..=9 {
        broker.submit(job(id, 1, 1), at(0));
    }
    assert_eq!(refusals(&mut broker), [(9, Refusal::QueueFull(at_position(9)))]);
    assert_eq!(broker.census().waiting, 8);
}

#[test]
fn a_job_that_no_slot_took_in_time_is_refused() {
    let mut broker = broker();
    broker.submit(job(1, 1, 1), at(0));
    assert_eq!(broker.next_timer(), Some(at(20)));
    broker.tick(at(20));
    assert_eq!(refusals(&mut broker), [(1, Refusal::QueueTimeout(at_position(1)))]);
}

#[test]
fn a_lost_lease_goes_to_another_worker_first_in_line() {
    let mut broker = broker();
    park(&mut broker, 1, 1, at(0));
    broker.submit(job(1, 1, 1), at(0));
    broker.submit(job(2, 2, 1), at(0));
    park(&mut broker, 2, 2, at(1));
    assert_eq!(leases(&mut broker), [(1, 1), (2, 2)]);
    broker.submit(job(3, 3, 1), at(1));
    broker.slot_gone(SlotId(1), at(2));
    park(&mut broker, 3, 1, at(3));
    assert_eq!(leases(&mut broker), [(3, 3)], "worker 1 lost job 1 and does not get it again");
    broker.submit(job(4, 4, 1), at(3));
    park(&mut broker, 4, 2, at(4));
    assert_eq!(leases(&mut broker), [(4, 1)], "before job 4");
}

#[test]
fn the_only_worker_gets_a_job_that_it_lost_again() {
    let mut broker = Broker::new(terms());
    arrive(&mut broker, 1, 16, &[1]);
    park(&mut broker, 1, 1, at(0));
    park(&mut broker, 2, 1, at(0));
    broker.submit(job(1, 1, 1), at(0));
    broker.slot_gone(SlotId(2), at(1));
    assert_eq!(leases(&mut broker), [(2, 1), (1, 1)]);
}

#[test]
fn a_job_that_lost_three_workers_is_refused() {
    let mut broker = broker();
    broker.submit(job(1, 1, 1), at(0));
    for (slot, worker) in [(1, 1), (2, 2), (3, 1)] {
        park(&mut broker, slot, worker, at(slot));
        assert_eq!(leases(&mut broker), [(slot, 1)]);
        broker.slot_gone(SlotId(slot), at(slot));
    }
    assert_eq!(refusals(&mut broker), [(1, Refusal::WorkerLost)]);
    assert_eq!(broker.census().jobs, 0);
}

#[test]
fn all_leases_of_a_worker_that_leaves_go_elsewhere() {
    let mut broker = broker();
    for id in 1..=3 {
        park(&mut broker, id, 1, at(0));
        broker.submit(job(id, 1, 1), at(0));
    }
    leases(&mut broker);
    for slot in 4..=6 {
        park(&mut broker, slot, 2, at(1));
    }
    broker.worker_leaves(WorkerId(1), at(2));
    assert_eq!(leases(&mut broker), [(6, 1), (5, 2), (4, 3)]);
    broker.slot_gone(SlotId(1), at(2));
    assert_eq!(decisions(&mut broker), [], "its streams end afterwards, to no effect");
}

#[test]
fn only_the_holder_of_a_lease_may_answer_it_and_only_once() {
    let mut broker = broker();
    park(&mut broker, 1, 1, at(0));
    broker.submit(job(1, 1, 1), at(0));
    let [Decision::Lease { lease, .. }] = decisions(&mut broker)[..] else { panic!("no lease") };
    let begun = Begun { job: JobId(1), is_hedge: false };
    assert_eq!(broker.begin_result(WorkerId(2), lease, at(0)), Err(NotHeld::NotGiven));
    assert_eq!(broker.begin_result(WorkerId(1), lease, at(0)), Ok(begun));
    assert_eq!(broker.begin_result(WorkerId(1), lease, at(0)), Err(NotHeld::Twice));
    assert_eq!(decisions(&mut broker), [Decision::Settle { slot: SlotId(1) }]);
}

#[test]
fn a_client_that_leaves_takes_its_job_along() {
    let mut broker = broker();
    broker.submit(job(1, 1, 1), at(0));
    broker.close(JobId(1), at(0));
    assert_eq!(broker.census(), Census { workers: 2, ..Census::default() });
    park(&mut broker, 1, 1, at(0));
    broker.submit(job(2, 1, 1), at(0));
    assert_eq!(leases(&mut broker), [(1, 2)]);
    broker.close(JobId(2), at(0));
    assert_eq!(decisions(&mut broker), [Decision::Cancel { slot: SlotId(1) }]);
}

#[test]
fn a_lease_whose_result_does_not_begin_is_ended_by_our_clock() {
    let mut broker = broker();
    park(&mut broker, 1, 1, at(0));
    broker.submit(job(1, 1, 1), at(0));
    leases(&mut broker);
    broker.tick(at(15));
    let (slot, job, worker) = (SlotId(1), JobId(1), WorkerId(1));
    let expected =
        [Decision::Lost { worker }, Decision::Overdue { job }, Decision::Cancel { slot }];
    assert_eq!(decisions(&mut broker), expected);
}

#[test]
fn a_draining_worker_gets_its_slots_back_and_parks_no_more() {
    let mut broker = broker();
    park(&mut broker, 1, 1, at(0));
    broker.worker_changes(WorkerId(1), offer(&[1]), true, at(0));
    assert_eq!(decisions(&mut broker), [Decision::Release { slot: SlotId(1) }]);
    let refused = broker.park(SlotId(2), WorkerId(1), at(50), false, at(0));
    assert_eq!(refused, Err(ParkRefused::Draining));
}

#[test]
fn a_poll_is_answered_in_its_time() {
    let mut broker = broker();
    park(&mut broker, 1, 1, at(0));
    broker.tick(at(49));
    assert_eq!(decisions(&mut broker), []);
    broker.tick(at(50));
    assert_eq!(decisions(&mut broker), [Decision::Release { slot: SlotId(1) }]);
}

#[test]
fn drain_refuses_new_jobs_and_finishes_those_that_wait() {
    let mut broker = broker();
    broker.submit(job(1, 1, 1), at(0));
    broker.drain();
    broker.submit(job(2, 1, 1), at(0));
    assert_eq!(refusals(&mut broker), [(2, Refusal::Draining)]);
    park(&mut broker, 1, 1, at(1));
    assert_eq!(leases(&mut broker), [(1, 1)]);
}

#[test]
fn ten_thousand_parked_slots_are_leased_most_recent_first() {
    let mut broker = Broker::new(terms());
    for worker in 0..100 {
        // Ten different offers, all with image 2.
        let own = u8::try_from(worker % 10).unwrap() + 10;
        arrive(&mut broker, worker, 4096, &[1, 2, own]);
    }
    for slot in 0..10_000 {
        park(&mut broker, slot, slot % 100, at(0));
    }
    for slot in (0..10_000).rev() {
        broker.submit(job(20_000 - slot, 1, 2), at(1));
        assert_eq!(leases(&mut broker), [(slot, 20_000 - slot)]);
    }
    assert_eq!(broker.census().parked, 0);
}

/// A job with worker 1, whose sign of life is missed at 1 s, and a slot of worker 2 parked.
fn silent() -> (Broker, LeaseId) {
    let mut broker = broker();
    park_signing(&mut broker, 1, 1, at(0));
    broker.submit(job(1, 1, 1), at(0));
    let [Decision::Lease { lease, .. }] = decisions(&mut broker)[..] else { panic!("no lease") };
    park_signing(&mut broker, 2, 2, at(0));
    (broker, lease)
}

#[test]
fn a_lease_without_a_sign_of_life_is_given_to_another_worker_once() {
    let (mut broker, _) = silent();
    assert_eq!(broker.next_timer(), Some(at(1)));
    broker.tick(at(1));
    let [Decision::Lease { slot: SlotId(2), job: JobId(1), is_hedge: true, .. }] =
        decisions(&mut broker)[..]
    else {
        panic!("no hedge")
    };
    arrive(&mut broker, 4, 16, &[1]);
    park_signing(&mut broker, 3, 4, at(1));
    for second in 2..14 {
        broker.tick(at(second));
        assert_eq!(decisions(&mut broker), [], "the second one is silent, too, and that is all");
    }
}

#[test]
fn a_sign_of_life_keeps_a_job_with_its_worker_alone() {
    let (mut broker, lease) = silent();
    broker.accepted(lease, Moment(Duration::from_millis(900)));
    for second in 1..14 {
        broker.tick(at(second));
        assert_eq!(decisions(&mut broker), []);
    }
}

#[test]
fn the_first_result_of_two_wins_and_the_other_lease_is_cancelled() {
    for winner in [1, 2] {
        let (mut broker, first) = silent();
        broker.tick(at(1));
        let [Decision::Lease { lease: second, .. }] = decisions(&mut broker)[..] else {
            panic!("no hedge")
        };
        let (lease, loser) = if winner == 1 { (first, second) } else { (second, first) };
        let begun = broker.begin_result(WorkerId(winner), lease, at(2));
        assert_eq!(begun, Ok(Begun { job: JobId(1), is_hedge: winner == 2 }));
        let (won, lost) = (SlotId(winner), SlotId(3 - winner));
        let expected = [Decision::Settle { slot: won }, Decision::Cancel { slot: lost }];
        assert_eq!(decisions(&mut broker), expected);
        let late = |broker: &mut Broker, now| {
            broker.begin_result(WorkerId(3 - winner), loser, now).unwrap_err()
        };
        assert_eq!(late(&mut broker, at(3)), NotHeld::Crossed, "its result crossed the cancel");
        assert_eq!(late(&mut broker, at(60)), NotHeld::Late);
    }
}

#[test]
fn a_hedged_job_that_loses_one_worker_stays_with_the_other() {
    for lost in [1, 2] {
        let (mut broker, _) = silent();
        broker.tick(at(1));
        decisions(&mut broker);
        broker.worker_leaves(WorkerId(lost), at(2));
        assert_eq!(decisions(&mut broker), [Decision::Lost { worker: WorkerId(lost) }]);
        assert_eq!(broker.census().leased, 1);
        broker.tick(at(20));
        let over = decisions(&mut broker);
        assert!(over.contains(&Decision::Overdue { job: JobId(1) }), "{over:?}");
    }
}

#[test]
fn the_other_slots_of_a_silent_worker_are_passed_over_until_it_is_heard_of() {
    let mut broker = broker();
    park_signing(&mut broker, 1, 1, at(0));
    broker.submit(job(1, 1, 1), at(0));
    park_signing(&mut broker, 2, 1, at(0));
    broker.tick(at(1));
    broker.submit(job(2, 1, 1), at(1));
    assert_eq!(leases(&mut broker), [(1, 1)], "job 2 waits for a sign of worker 1");
    park_signing(&mut broker, 3, 2, at(2));
    assert_eq!(leases(&mut broker), [(3, 2)], "or for another worker");
    broker.submit(job(3, 1, 1), at(2));
    park_signing(&mut broker, 4, 1, at(3));
    assert_eq!(leases(&mut broker), [(4, 3)], "a new ready request is a sign");
    broker.submit(job(4, 1, 1), at(3));
    assert_eq!(leases(&mut broker), [(2, 4)]);
}

#[test]
fn hedges_are_bounded_by_their_budget() {
    let mut broker = broker();
    arrive(&mut broker, 4, 4096, &[1]);
    for id in 1..=10 {
        park_signing(&mut broker, id, 1, at(0));
        broker.submit(job(id, 1, 1), at(0));
    }
    decisions(&mut broker);
    for id in 11..=30 {
        park_signing(&mut broker, id, 4, at(0));
    }
    broker.tick(at(1));
    assert_eq!(leases(&mut broker).len(), 2, "the burst; ten leases earned half of one more");
}

#[test]
fn a_worker_in_quarantine_or_drained_gets_no_leases_and_keeps_its_slots_parked() {
    let mut broker = broker();
    park(&mut broker, 1, 1, at(0));
    broker.quarantine(WorkerId(1), Some(at(10)), at(0));
    broker.submit(job(1, 1, 1), at(0));
    park(&mut broker, 2, 1, at(1));
    broker.tick(at(9));
    assert_eq!(decisions(&mut broker), []);
    assert_eq!((broker.census().parked, broker.census().quarantined), (2, 1));
    broker.tick(at(10));
    assert_eq!(leases(&mut broker), [(2, 1)], "it is over");
    broker.drain_worker(WorkerId(1), true, at(11));
    broker.quarantine(WorkerId(1), None, at(11));
    broker.submit(job(2, 1, 1), at(11));
    broker.pardon(WorkerId(1), at(12));
    assert_eq!(decisions(&mut broker), [], "still drained");
    broker.drain_worker(WorkerId(1), false, at(13));
    assert_eq!(leases(&mut broker), [(1, 2)]);
}

/// Jobs of a client, each leased in turn by parking slots; their order.
fn order_of_leases(broker: &mut Broker, slots: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    for slot in slots {
        park(broker, slot, 1, at(1));
    }
    leases(broker).into_iter().map(|(_, job)| job).collect()
}

#[test]
fn a_client_that_floods_the_queue_is_one_of_two_in_it() {
    let mut broker = broker();
    for id in 1..=7 {
        broker.submit(job(id, 1, 1), at(0));
    }
    broker.submit(job(8, 2, 1), at(0));
    assert_eq!(order_of_leases(&mut broker, 1..=8), [1, 8, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_client_with_priority_has_more_jobs_in_its_turn_and_starves_nobody() {
    let mut broker = broker();
    for (id, client) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 2), (7, 2)] {
        let mut submission = job(id, client, 1);
        submission.claim.priority = NonZeroU8::new(client * 2 - 1).unwrap();
        broker.submit(submission, at(0));
    }
    assert_eq!(order_of_leases(&mut broker, 1..=7), [1, 3, 4, 5, 2, 6, 7]);
}

#[test]
fn a_client_may_have_only_so_many_jobs_waiting() {
    let mut broker = broker();
    for id in 1..=3 {
        let mut submission = job(id, 1, 1);
        submission.claim.queued_max = 2;
        broker.submit(submission, at(0));
    }
    broker.submit(job(4, 2, 1), at(0));
    assert_eq!(refusals(&mut broker), [(3, Refusal::ClientQueueFull(at_position(3)))]);
    assert_eq!(broker.census().waiting, 3);
}

/// A broker with one slot, whose jobs took 4 s each lately, and which is taken.
fn busy_broker() -> Broker {
    let mut broker = broker();
    for id in 101..101 + PACE_ENDS_MIN {
        park(&mut broker, id, 1, at(4));
        broker.submit(job(id, 1, 1), at(4));
        let made = decisions(&mut broker);
        let [.., Decision::Lease { lease, .. }] = made[..] else { panic!("no lease") };
        broker.begin_result(WorkerId(1), lease, at(8)).unwrap();
    }
    park(&mut broker, 2, 1, at(8));
    broker.submit(job(2, 1, 1), at(8));
    decisions(&mut broker);
    broker
}

#[test]
fn after_a_loss_nobody_is_refused_by_what_is_left_under_way() {
    let mut broker = busy_broker();
    park(&mut broker, 3, 2, at(8));
    broker.submit(job(3, 1, 1), at(8));
    decisions(&mut broker);
    broker.slot_gone(SlotId(3), at(8));
    // Job 3 is first, and by the one slot that is left job 10 would wait for 32 s of 20.
    for id in 4..=10 {
        broker.submit(job(id, 2, 1), at(8));
    }
    assert_eq!(refusals(&mut broker), []);
    assert_eq!(broker.census().waiting, 8);
}

#[test]
fn what_cannot_be_leased_in_time_is_refused_at_once_with_its_place() {
    let mut broker = busy_broker();
    for id in 3..=8 {
        broker.submit(job(id, 2, 1), at(8));
    }
    // Five wait for 20 s together, which is what all may wait.
    let place = Place { position: 6, wait: Some(Duration::from_secs(24)) };
    assert_eq!(refusals(&mut broker), [(8, Refusal::TooLong(place))]);
    // Who floods the queue does not make others wait.
    broker.submit(job(9, 3, 1), at(8));
    assert_eq!(refusals(&mut broker), []);
    park(&mut broker, 3, 1, at(9));
    park(&mut broker, 4, 1, at(9));
    let mut positions = Vec::new();
    for decision in decisions(&mut broker) {
        if let Decision::Lease { job, position, .. } = decision {
            positions.push((job.0, position));
        }
    }
    assert_eq!(positions, [(3, 1), (9, 2)], "each knows where it stood when it came");
}

#[test]
fn a_deadline_leaves_time_for_the_job_itself() {
    let mut broker = busy_broker();
    let with_deadline = |id, seconds| {
        let mut submission = job(id, 2, 1);
        submission.claim.deadline = Some(Duration::from_secs(seconds));
        submission
    };
    let place = Place { position: 1, wait: Some(Duration::from_secs(4)) };
    broker.submit(with_deadline(3, 7), at(8));
    assert_eq!(refusals(&mut broker), [(3, Refusal::TooLong(place))], "4 s until it is leased");
    broker.submit(with_deadline(4, 9), at(8));
    broker.tick(at(12));
    assert_eq!(refusals(&mut broker), []);
    broker.tick(at(13));
    assert_eq!(refusals(&mut broker), [(4, Refusal::QueueTimeout(place))], "4 s are left of 9");
    park(&mut broker, 3, 2, at(13));
    broker.submit(with_deadline(5, 0), at(13));
    assert_eq!(leases(&mut broker), [(3, 5)], "a slot that is there is not refused");
}
