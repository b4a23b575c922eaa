//! Images that no worker has yet.

use super::*;

fn able(images: &[u8]) -> Fetches {
    let able = images.iter().map(|image| Digest([*image; 32])).collect();
    Fetches { able, under_way: Vec::new() }
}

#[test]
fn a_job_of_a_cold_image_waits_for_it_and_holds_no_slot() {
    let mut broker = Broker::new(terms());
    arrive(&mut broker, 1, 1, &[1]);
    park(&mut broker, 1, 1, at(100));
    broker.submit(job(1, 1, 2), at(100));
    let refused = Decision::Refuse { job: JobId(1), refusal: Refusal::NoWorker };
    assert_eq!(broker.next_decision(), Some(refused), "nobody could ever have it");

    broker.worker_fetches(WorkerId(1), able(&[2]));
    broker.submit(job(2, 1, 2), at(100));
    assert_eq!(broker.next_decision(), None);
    assert_eq!(broker.wanted(), Some(vec![fit(2)]));
    assert_eq!(broker.wanted(), None, "told once");
    assert_eq!(broker.whereabouts(JobId(2), at(101)), Some(Whereabouts::Fetching(None)));
    // The slot is free for what can be run.
    broker.submit(job(3, 1, 1), at(101));
    assert!(matches!(broker.next_decision(), Some(Decision::Lease { job: JobId(3), .. })));
    broker.begin_result(WorkerId(1), LeaseId(1), at(102)).unwrap();
    assert!(matches!(broker.next_decision(), Some(Decision::Settle { .. })));
    broker.tick(at(130));
    assert_eq!(broker.next_decision(), None, "a fetch may take longer than the queue");

    let fetch = Fetch { bytes: 40, bytes_total: 100 };
    let under_way = vec![(fit(2).image, fetch)];
    broker.worker_fetches(WorkerId(1), Fetches { under_way, ..able(&[2]) });
    assert_eq!(broker.whereabouts(JobId(2), at(131)), Some(Whereabouts::Fetching(Some(fetch))));
    broker.worker_changes(WorkerId(1), offer(&[1, 2]), false, at(140));
    broker.worker_fetches(WorkerId(1), able(&[]));
    let place = Place { position: 1, wait: None };
    assert_eq!(broker.whereabouts(JobId(2), at(140)), Some(Whereabouts::Queued(place)));
    arrive(&mut broker, 2, 1, &[1, 2]);
    park(&mut broker, 2, 2, at(140));
    assert!(matches!(broker.next_decision(), Some(Decision::Lease { job: JobId(2), .. })));
    let running = Whereabouts::Running(Duration::from_secs(2));
    assert_eq!(broker.whereabouts(JobId(2), at(142)), Some(running));
}

#[test]
fn a_job_whose_image_does_not_come_is_refused_in_the_end() {
    let mut broker = Broker::new(terms());
    arrive(&mut broker, 1, 1, &[1]);
    broker.worker_fetches(WorkerId(1), able(&[2]));
    broker.submit(job(1, 1, 2), at(100));
    let deadline = Some(Duration::from_secs(10));
    let hurried = job(2, 2, 2);
    broker.submit(Submission { claim: Claim { deadline, ..hurried.claim }, ..hurried }, at(100));
    broker.tick(at(110));
    let is_late = |decision| {
        matches!(decision, Some(Decision::Refuse { refusal: Refusal::QueueTimeout(_), .. }))
    };
    assert!(is_late(broker.next_decision()), "a client's own deadline holds");
    broker.tick(at(160));
    assert!(is_late(broker.next_decision()));
    // Who left cannot fetch anything.
    broker.submit(job(3, 1, 2), at(160));
    broker.worker_leaves(WorkerId(1), at(161));
    broker.tick(at(220));
    let refused = Decision::Refuse { job: JobId(3), refusal: Refusal::NoWorker };
    assert_eq!(broker.next_decision(), Some(refused));
}

#[test]
fn an_image_that_nobody_has_is_refused_at_once_but_not_while_workers_may_return() {
    let mut broker = broker();
    broker.submit(job(1, 1, 9), at(29));
    broker.submit(job(2, 1, 9), at(30));
    assert_eq!(refusals(&mut broker), [(2, Refusal::NoWorker)], "30 s after the start");
    broker.worker_leaves(WorkerId(1), at(100));
    broker.worker_leaves(WorkerId(2), at(101));
    broker.tick(at(101));
    assert_eq!(refusals(&mut broker), [(1, Refusal::NoWorker)], "nobody came");
    broker.submit(job(3, 1, 1), at(130));
    broker.submit(job(4, 1, 1), at(131));
    assert_eq!(refusals(&mut broker), [(4, Refusal::NoWorker)], "30 s after the last one left");
    arrive(&mut broker, 3, 16, &[1]);
    park(&mut broker, 1, 3, at(132));
    assert_eq!(leases(&mut broker), [(1, 3)], "one came back");
}
