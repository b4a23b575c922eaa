//! What a flood costs others: a client that runs one job after the other before it and during it,
//! and the memory of the load balancer all the while.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::flood::Flood;
use crate::lb::Lb;

/// The least memory for bodies that may be set. One client may hold half of it
/// ([`SHARE_MAX`]), and a flood that reads none of its results does.
const SETTINGS: &str = "[memory]\nbodies_bytes_max = 134217728\n";

/// What one client may hold of that.
pub const SHARE_MAX: u64 = 64 << 20;

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    /// Bytes that the flood sent, and connections that it made.
    pub sent: (u64, u64),
    /// How long each job took before, in order.
    pub before: Vec<Duration>,
    /// The same during the flood.
    pub during: Vec<Duration>,
    /// Bytes that the load balancer had for itself before.
    pub memory: u64,
    /// The most that came to them.
    pub grown: u64,
}

/// Runs a flood on so many connections for a while.
///
/// # Errors
/// A job of the other client has no answer, or a wrong one.
pub async fn measure(flood: Flood, connections: usize, time: Duration) -> anyhow::Result<Seen> {
    let lb = Lb::start(SETTINGS).await?;
    let _workers = lb.with_workers("w", 1, 16).await?;
    let client = Client::connect_as_another(lb.clients).await?;
    let mut grown = lb.process.memory()?;
    // The first jobs make what is made once.
    jobs(&client, &lb, time / 4, &mut grown).await?;
    let before = jobs(&client, &lb, time / 2, &mut grown).await?;
    let memory = lb.process.memory()?;
    let mut most = memory;
    let running = flood.start(lb.clients, connections);
    let during = jobs(&client, &lb, time, &mut most).await?;
    let sent = running.sent();
    Ok(Seen { sent, before, during, memory, grown: most - memory })
}

async fn jobs(
    client: &Client,
    lb: &Lb,
    time: Duration,
    most: &mut u64,
) -> anyhow::Result<Vec<Duration>> {
    let begin = Instant::now();
    let mut took = Vec::new();
    while begin.elapsed() < time {
        let asked = Instant::now();
        let text = format!("job-{}", took.len());
        let told = client.run(&format!("echo {text}")).await?.stdout()?;
        anyhow::ensure!(told == text, "{told} for {text}");
        took.push(asked.elapsed());
        *most = lb.process.memory()?.max(*most);
    }
    took.sort_unstable();
    Ok(took)
}

impl Seen {
    /// A percentile of each, in milliseconds.
    pub fn percentile(&self, percent: usize) -> (f64, f64) {
        let of = |took: &[Duration]| {
            let at = took.len().saturating_sub(1) * percent / 100;
            took.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
        };
        (of(&self.before), of(&self.during))
    }
}
