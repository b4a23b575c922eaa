//! Runs that nobody waits for.

use super::*;

fn run(broker: &mut Broker, id: u64, not: u8, who: Who) -> Vec<Decision> {
    let spare = Some(Spare { not: [Some(OwnerKey([not; 16])), None], who });
    broker.submit(Submission { spare, ..job(id, 9, 1) }, at(0));
    decisions(broker)
}

fn refused(id: u64) -> Decision {
    Decision::Refuse { job: JobId(id), refusal: Refusal::NoSpare }
}

fn is_leased(decisions: &[Decision], id: u64) -> bool {
    matches!(decisions, [Decision::Lease { job, .. }] if *job == JobId(id))
}

#[test]
fn a_spare_run_takes_only_slots_that_nobody_waits_for_and_of_those_it_may_ask() {
    let mut broker = broker();
    assert_eq!(run(&mut broker, 1, 0, Who::Anybody), [refused(1)], "no slot is parked");
    park(&mut broker, 1, 1, at(0));
    park(&mut broker, 2, 1, at(0));
    assert_eq!(run(&mut broker, 2, 1, Who::Anybody), [refused(2)], "its owner is worker 1's");
    assert_eq!(run(&mut broker, 3, 0, Who::Trusted), [refused(3)], "worker 1 is not trusted");
    broker.submit(job(4, 1, 2), at(0));
    assert_eq!(run(&mut broker, 5, 0, Who::Anybody), [refused(5)], "job 4 waits");
    broker.close(JobId(4), at(0));
    let leased = run(&mut broker, 6, 0, Who::Untrusted);
    assert!(is_leased(&leased, 6), "{leased:?}");
    broker.slot_gone(SlotId(2), at(1));
    assert_eq!(refusals(&mut broker), [(6, Refusal::WorkerLost)], "not leased again");
}

#[test]
fn the_last_slot_that_fits_is_left_for_clients() {
    let mut broker = broker();
    park(&mut broker, 1, 1, at(0));
    assert_eq!(run(&mut broker, 1, 0, Who::Anybody), [refused(1)]);
    arrive(&mut broker, 7, 1, &[2]);
    park(&mut broker, 2, 7, at(0));
    assert_eq!(run(&mut broker, 2, 0, Who::Anybody), [refused(2)], "one of another image");
    park(&mut broker, 3, 1, at(0));
    let leased = run(&mut broker, 3, 0, Who::Anybody);
    assert!(is_leased(&leased, 3), "{leased:?}");
    broker.submit(job(4, 1, 1), at(0));
    assert_eq!(leases(&mut broker), [(1, 4)], "the next client finds it there");
}

#[test]
fn a_spare_run_gives_way_to_a_client_that_would_have_to_wait() {
    let mut broker = broker();
    broker.worker_leaves(WorkerId(2), at(0));
    for slot in 1..=3 {
        park(&mut broker, slot, 1, at(0));
    }
    for (id, slot) in [(1, 3), (2, 2)] {
        let leased = run(&mut broker, id, 0, Who::Anybody);
        let matches = |decision: &Decision| matches!(decision, Decision::Lease { slot: leased, .. } if *leased == SlotId(slot));
        assert!(leased.iter().all(matches), "{leased:?}");
    }
    broker.submit(job(3, 1, 1), at(1));
    assert_eq!(leases(&mut broker), [(1, 3)]);
    broker.submit(job(4, 1, 2), at(1));
    assert_eq!(decisions(&mut broker), [], "no slot of a spare run would be of use to it");
    broker.close(JobId(4), at(1));
    broker.submit(job(5, 1, 1), at(2));
    let given_up = [refused(2), Decision::Cancel { slot: SlotId(2) }];
    assert_eq!(decisions(&mut broker), given_up, "the younger one");
    park(&mut broker, 4, 1, at(2));
    assert_eq!(leases(&mut broker), [(4, 5)], "the slot comes back for who waits");
    broker.slot_gone(SlotId(4), at(3));
    let given_up = [refused(1), Decision::Cancel { slot: SlotId(3) }];
    let lost = Decision::Lost { worker: WorkerId(1) };
    assert_eq!(decisions(&mut broker), [&[lost], &given_up[..]].concat(), "a job that waits again");
}
