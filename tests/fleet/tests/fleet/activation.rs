//! A restart that nobody notices: the sockets belong to whoever starts the load balancer, as
//! systemd does, and outlive it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pe_fleet::client::Client;
use pe_fleet::lb::Lb;
use pe_fleet::patient::Patient;
use tokio::task::JoinSet;

const CLIENTS: usize = 8;
const RESTARTS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_lb_is_restarted_behind_sockets_that_stay() -> anyhow::Result<()>
{
    let mut lb = Lb::activated("").await?;
    let workers = lb.with_workers("w", 4, 4).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (address, is_over, answered) =
            (lb.clients, Arc::clone(&is_over), Arc::clone(&answered));
        clients.spawn(async move {
            // Half of them keep their connection, half dial for each request.
            let mut patient = Patient::new(address);
            let mut asked = 0;
            while !is_over.load(Ordering::Relaxed) {
                let text = format!("client-{number}-job-{asked}");
                let script = format!("sleep-ms 30 echo {text}");
                let reply = if number % 2 == 0 {
                    patient.run(&script).await?
                } else {
                    Client::connect(address).await?.run(&script).await?
                };
                assert_eq!(reply.stdout()?, text);
                asked += 1;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    for restart in 1..=RESTARTS {
        let before = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < before + 40 && clients.len() == CLIENTS {
            tokio::time::sleep(Duration::from_millis(5)).await;
            // Whoever ended before its time failed.
            if let Some(ended) = clients.try_join_next() {
                ended??;
            }
        }
        lb.restart().await?;
        workers.all_up(4 * (restart + 1)).await?;
    }
    is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(())
}
