//! Our own jobs in fake guests.

use std::time::Duration;

use pe_proto::Arch;
use pe_proto::outcome::Clock;

use super::*;
use crate::core::clock::ClockTerms;
use crate::core::pool::How;
use crate::library::Library;
use crate::vm::fake::{FakeGuest, FakeHost};
use crate::vm::{Backend as _, Bell};

async fn fly(guest: impl Fn(&FakeGuest) -> Option<Bell> + Send + Sync + 'static) -> bool {
    let image = Digest::of(b"image");
    let terms = JobTerms {
        images: Library::new(crate::images::tests::only(image)),
        arch: Arch::X86_64,
        clock: ClockTerms { grace: Duration::from_secs(5), reserve: Duration::from_secs(1) },
    };
    let canary = Canary::new(Arc::new(terms));
    let host = FakeHost::new(guest);
    let vm = host.start(How::Restore).await.expect("ready");
    let passed = canary.run(vm.lease(), Subject::Worker(7)).await;
    assert_eq!(host.alive(), 0, "its VM is dead when it is known how it went");
    passed
}

/// A guest that answers with this outcome.
async fn says(outcome: Outcome) -> bool {
    fly(move |guest| {
        assert_eq!(guest.config.request_id, REQUEST_ID);
        guest.answer(outcome.clone(), &[]);
        Some(Bell::Done)
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_ran_something_or_found_it_missing_is_alive() {
    let refused = |fault| Outcome::Refused { fault, reason: String::new() };
    for (outcome, alive) in [
        (Outcome::Exited { code: 0 }, true),
        (Outcome::Exited { code: 127 }, true),
        (Outcome::Signaled { signal: 11 }, true),
        (refused(Fault::Image), true),
        (refused(Fault::Client), true),
        (refused(Fault::Us), false),
        (Outcome::TimedOut { clock: Clock::Guest }, false),
        (Outcome::OutOfMemory, false),
        (Outcome::Lost { fault: Fault::Us, reason: String::new() }, false),
    ] {
        assert_eq!(says(outcome.clone()).await, alive, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_without_an_answer_of_this_job_is_not() {
    assert!(!fly(|_| Some(Bell::Done)).await, "says that it is done, and left nothing");
    assert!(!fly(|_| Some(Bell::Exited)).await, "powers off");
    assert!(!fly(|_| None).await, "is silent");
    let another_nonce = |guest: &FakeGuest| {
        guest.answer(Outcome::Exited { code: 0 }, &[]);
        guest.write_result_header(&[0x5a; 64]);
        Some(Bell::Done)
    };
    assert!(!fly(another_nonce).await);
}
