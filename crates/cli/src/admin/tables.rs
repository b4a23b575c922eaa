//! Answers of a load balancer as tables for people. Pure.

use std::time::Duration;

use pe_proto::admin::{Bans, Done, Flights, Leases, Queue, Reloaded, Status, Workers};

use crate::table::table;
use crate::units::show_duration;
use crate::words::printable;

/// Characters of a digest that are shown: enough to tell two apart, few enough for a line.
const DIGEST_CHARS: usize = 12;

/// `pe admin status`.
pub fn status(status: &Status) -> String {
    let Status { version, uptime_ms, is_draining, counts, config } = status;
    let state = if *is_draining { "draining" } else { "serving" };
    let up = age(*uptime_ms);
    let mut text = format!("pe-lb {}, {state}, up {up}\n\n", printable(version));
    let oldest = match counts.jobs_waiting {
        0 => String::new(),
        _ => format!(" (the oldest for {})", age(counts.oldest_wait_ms)),
    };
    let mut rows = vec![
        row(["workers", &counts.workers.to_string()]),
        row(["slots parked", &counts.slots_parked.to_string()]),
        row(["jobs waiting", &format!("{}{oldest}", counts.jobs_waiting)]),
        row(["jobs leased", &counts.jobs_leased.to_string()]),
        row(["jobs, all", &counts.jobs.to_string()]),
    ];
    text.push_str(&table(&rows));
    if !config.is_empty() {
        text.push_str("\nSettings that were given:\n");
        rows = config.iter().map(|(key, value)| row([key.as_str(), value.as_str()])).collect();
        text.push_str(&table(&rows));
    }
    text
}

/// `pe admin workers`.
pub fn workers(workers: &Workers) -> String {
    if workers.workers.is_empty() {
        return "There is no worker.\n".to_owned();
    }
    let head = ["NAME", "ARCH", "SLOTS", "PARKED", "LEASED", "STRIKES", "STATE", "HERE", "LABELS"];
    let mut rows = vec![row(head)];
    for worker in &workers.workers {
        let mut state = Vec::new();
        for (is_so, word) in [
            (worker.is_quarantined, "quarantined"),
            (worker.is_draining, "draining"),
            (worker.is_silent, "silent"),
            (!worker.is_trusted, "untrusted"),
        ] {
            if is_so {
                state.push(word);
            }
        }
        if state.is_empty() {
            state.push("fine");
        }
        rows.push(row([
            worker.name.as_str(),
            worker.arch.as_str(),
            &worker.slots.to_string(),
            &worker.parked.to_string(),
            &worker.leased.to_string(),
            &format!("{:.1}", worker.strikes),
            &state.join(", "),
            &age(worker.age_ms),
            &worker.labels.join(", "),
        ]));
    }
    table(&rows)
}

/// `pe admin queue`.
pub fn queue(queue: &Queue) -> String {
    if queue.jobs.is_empty() {
        return "No job waits.\n".to_owned();
    }
    let mut rows = vec![row(["REQUEST", "CLIENT", "ARCH", "IMAGE", "WAITED"])];
    rows.extend(queue.jobs.iter().map(|job| {
        let image = short(&job.image.hex());
        row([&job.request_id, &job.client, job.arch.as_str(), &image, &age(job.waited_ms)])
    }));
    with_more(&rows, queue.more)
}

/// `pe admin leases`.
pub fn leases(leases: &Leases) -> String {
    if leases.leases.is_empty() {
        return "No worker has a job.\n".to_owned();
    }
    let mut rows = vec![row(["LEASE", "REQUEST", "WORKER", "SINCE"])];
    rows.extend(
        leases
            .leases
            .iter()
            .map(|lease| row([&lease.lease, &lease.request_id, &lease.worker, &age(lease.age_ms)])),
    );
    with_more(&rows, leases.more)
}

/// `pe admin flights`.
pub fn flights(flights: &Flights) -> String {
    if flights.flights.is_empty() {
        return "Nothing runs that others could join.\n".to_owned();
    }
    let mut rows = vec![row(["JOB", "CLIENTS", "SINCE"])];
    rows.extend(
        flights
            .flights
            .iter()
            .map(|flight| row([&flight.job, &flight.clients.to_string(), &age(flight.age_ms)])),
    );
    with_more(&rows, flights.more)
}

/// `pe admin bans`.
pub fn bans(bans: &Bans) -> String {
    if bans.bans.is_empty() {
        return "Nobody is banned.\n".to_owned();
    }
    let mut rows = vec![row(["CLIENT", "LEFT", "REASON"])];
    rows.extend(bans.bans.iter().map(|ban| row([&ban.client, &age(ban.left_ms), &ban.reason])));
    table(&rows)
}

/// A change that was made.
pub fn done(done: &Done) -> String {
    format!("{}\n", printable(&done.detail))
}

/// `pe admin reload`.
pub fn reloaded(reloaded: &Reloaded) -> String {
    let Reloaded { applied, needs_restart } = reloaded;
    let list =
        |keys: &[String]| keys.iter().map(|key| printable(key)).collect::<Vec<_>>().join(", ");
    let mut text = match applied.as_slice() {
        [] if needs_restart.is_empty() => return "Read again; nothing changed.\n".to_owned(),
        [] => String::new(),
        keys => format!("Holds now: {}\n", list(keys)),
    };
    if !needs_restart.is_empty() {
        text.push_str(&format!("Changed, but needs a restart: {}\n", list(needs_restart)));
    }
    text
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(printable).to_vec()
}

fn with_more(rows: &[Vec<String>], more: u64) -> String {
    let mut text = table(rows);
    if more > 0 {
        text.push_str(&format!("and {more} more\n"));
    }
    text
}

/// As long times are said: two units are enough.
fn age(ms: u64) -> String {
    let minutes = ms / 60_000;
    match minutes / 60 {
        0..2 => show_duration(Duration::from_millis(ms)),
        hours @ 2..48 => format!("{hours} h {} m", minutes % 60),
        hours => format!("{} d {} h", hours / 24, hours % 24),
    }
}

fn short(digest: &str) -> String {
    digest.chars().take(DIGEST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
        serde_json::from_value(json).expect("as the protocol says")
    }

    #[test]
    fn workers_are_a_table_with_what_is_wrong_in_words() {
        let worker = |name: &str, strikes: f64, is_quarantined: bool| {
            json!({"id": 1, "name": name, "owner": "", "cpu": "", "vmm": "", "is_silent": false,
                "arch": "x86_64", "labels": ["region=home"], "slots": 4,
                "parked": 3, "leased": 1, "strikes": strikes, "is_quarantined": is_quarantined,
                "is_draining": is_quarantined, "is_trusted": true, "age_ms": 61_000})
        };
        let list =
            json!({"workers": [worker("attic", 0.0, false), worker("\u{1b}[1mbad", 3.0, true)]});
        let expected = "\
NAME          ARCH    SLOTS  PARKED  LEASED  STRIKES  STATE                  HERE    LABELS
attic         x86_64  4      3       1       0.0      fine                   61.0 s  region=home
\\u{1b}[1mbad  x86_64  4      3       1       3.0      quarantined, draining  61.0 s  region=home
";
        assert_eq!(workers(&of(list)), expected);
        assert_eq!(workers(&Workers::default()), "There is no worker.\n");
        assert_eq!((age(3 * 3_600_000), age(50 * 3_600_000)), ("3 h 0 m".into(), "2 d 2 h".into()));
    }

    #[test]
    fn the_status_says_how_things_are_in_a_few_lines() {
        let json = json!({"version": "1.2.3", "uptime_ms": 3000, "is_draining": false,
            "counts": {"workers": 1, "slots_parked": 2, "jobs_waiting": 3, "jobs_leased": 4,
                "jobs": 7, "oldest_wait_ms": 1500},
            "config": {"queue.jobs_max": "7"}});
        let expected = "\
pe-lb 1.2.3, serving, up 3.0 s

workers       1
slots parked  2
jobs waiting  3 (the oldest for 1.5 s)
jobs leased   4
jobs, all     7

Settings that were given:
queue.jobs_max  7
";
        assert_eq!(status(&of(json)), expected);
    }

    #[test]
    fn lists_that_were_cut_say_so_and_empty_ones_are_a_sentence() {
        let lease = json!({"lease": "01", "request_id": "r", "worker": "w", "age_ms": 5,
            "is_hedge": false});
        let list = leases(&of(json!({"leases": [lease], "more": 2})));
        assert!(
            list.starts_with("LEASE  REQUEST  WORKER  SINCE\n01     r        w       5.0 ms\n")
        );
        assert!(list.ends_with("and 2 more\n"));
        for text in [
            leases(&Leases::default()),
            queue(&Queue::default()),
            flights(&Flights::default()),
            bans(&Bans::default()),
            reloaded(&Reloaded::default()),
        ] {
            assert_eq!(text.lines().count(), 1, "{text}");
        }
        let told = reloaded(&of(json!({"applied": ["a"], "needs_restart": ["b", "c"]})));
        assert_eq!(told, "Holds now: a\nChanged, but needs a restart: b, c\n");
    }
}
