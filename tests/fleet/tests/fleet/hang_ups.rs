//! Case 32: clients that do not wait, and clients that wait for the same.

use pe_fleet::client::shared_job;
use pe_fleet::lb::Lb;
use pe_fleet::workers::Entry;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_32_a_client_that_hangs_up_frees_its_slot_and_its_place_in_the_queue()
-> anyhow::Result<()> {
    let lb = Lb::start("").await?;
    let workers = lb.with_workers("w", 1, 1).await?;
    let client = lb.client().await?;
    let seen = |event: &'static str, times: usize| {
        workers.until(event, move |journal| {
            (journal.iter().filter(|entry| entry.event == event).count() >= times).then_some(())
        })
    };
    let running = client.post("never").await?;
    seen("lease", 1).await?;
    let queued = client.post("echo queued").await?;
    let last = client.post("echo last").await?;
    drop(queued);
    drop(running);
    seen("cancelled", 1).await?;
    assert_eq!(last.reply().await?.stdout()?, "last");
    let leases = workers.journal()?;
    let leases = leases.iter().filter(|entry| entry.event == "lease").count();
    assert_eq!(leases, 2, "the job of the client that left the queue was run");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_32_equal_jobs_share_one_run_that_outlives_the_client_that_began_it()
-> anyhow::Result<()> {
    let lb = Lb::start("").await?;
    let workers = lb.with_workers("w", 1, 4).await?;
    let (first, others) = (lb.client().await?, lb.client().await?);
    let job = shared_job("sleep-ms 1500 echo shared");
    let began = first.post_job(&job).await?;
    let seen =
        |journal: Vec<Entry>| journal.iter().any(|entry| entry.event == "lease").then_some(());
    workers.until("lease", seen).await?;
    let mut joined = Vec::new();
    for _ in 0..8 {
        joined.push(others.post_job(&job).await?);
    }
    // Answered after the eight were read: requests of a connection are read in order.
    others.get("/healthz").await?;
    drop(began);
    for sent in joined {
        let reply = sent.reply().await?;
        assert_eq!((reply.stdout()?, reply.text("cache")?), ("shared".into(), "joined".into()));
    }
    let late = others.post_job(&job).await?.reply().await?;
    assert_eq!((late.stdout()?, late.text("cache")?), ("shared".into(), "hit".into()));
    let journal = workers.journal()?;
    let count = |event| journal.iter().filter(|entry| entry.event == event).count();
    assert_eq!((count("lease"), count("cancelled")), (1, 0));
    Ok(())
}
