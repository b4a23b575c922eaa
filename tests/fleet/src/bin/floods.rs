//! `floods [SECONDS [CONNECTIONS]]`: what each kind of flood costs others, as a table.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::time::Duration;

use pe_fleet::flood::ALL;
use pe_fleet::measure::measure;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().map_or(Ok(10), |text| text.parse())?;
    let connections = args.next().map_or(Ok(4), |text| text.parse())?;
    println!(
        "| flood | MiB sent | connections | jobs of another, p50 ms | p99 ms | p99, times as long | MiB of memory, more |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for flood in ALL {
        let seen = measure(flood, connections, Duration::from_secs(seconds)).await?;
        let mib = |bytes: u64| bytes / 1024 / 1024;
        let ((p50, p50_during), (p99, p99_during)) = (seen.percentile(50), seen.percentile(99));
        println!(
            "| {flood:?} | {} | {} | {p50:.2} → {p50_during:.2} | {p99:.2} → {p99_during:.2} | {:.1} | {} |",
            mib(seen.sent.0),
            seen.sent.1,
            p99_during / p99,
            mib(seen.grown),
        );
    }
    Ok(())
}
