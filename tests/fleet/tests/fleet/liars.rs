//! A worker of a stranger that says of every job what it likes.

use std::time::Instant;

use anyhow::Context as _;
use pe_fleet::client::shared_job;
use pe_fleet::lb::{Lb, PATIENCE};
use pe_proto::Digest;
use serde_json::Value;
use tempfile::TempDir;

const LIE: &str = "lie";

/// A token, and what its worker may be.
struct Who {
    name: &'static str,
    more: &'static str,
}

const STRANGER: Who = Who { name: "stranger", more: "owner = \"stranger\"" };
const OURS: Who = Who { name: "ours", more: "trusted = true" };

fn token_file(files: &TempDir, who: &Who) -> anyhow::Result<(String, String)> {
    let token = format!("the token of {}, which is long enough", who.name);
    let path = files.path().join(who.name);
    std::fs::write(&path, &token)?;
    let digest = Digest::of(token.as_bytes()).hex();
    let entry =
        format!("[[worker]]\nname = \"{}\"\ntoken_sha256 = \"{digest}\"\n{}\n", who.name, who.more);
    Ok((path.display().to_string(), entry))
}

/// Its lies reach those whose jobs it ran, until it is found out; nobody else ever gets one, and
/// nothing of it is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_35_a_liar_is_found_out_and_no_lie_of_it_is_given_to_another() -> anyhow::Result<()> {
    let files = tempfile::tempdir()?;
    let (stranger, first) = token_file(&files, &STRANGER)?;
    let (ours, second) = token_file(&files, &OURS)?;
    let workers = files.path().join("workers.toml");
    std::fs::write(&workers, first + &second)?;
    let settings = format!("[workers]\nconfirm_percent = 100\nfile = \"{}\"\n", workers.display());
    let lb = Lb::start(&settings).await?;
    let honest = lb.with_workers_who(OURS.name, 1, 4, &["--token-file", &ours]).await?;
    // Whoever came last is asked first.
    let liar = ["--token-file", &stranger, "--lie", LIE];
    let liar = lb.with_workers_who(STRANGER.name, 1, 2, &liar).await?;
    let client = lb.client().await?;

    let begin = Instant::now();
    let (mut number, mut lies, mut truths) = (0, 0, 0);
    // Whether it is struck, and when it is out, is told to nobody but the operator; that its slots get
    // nothing more is what all can see. After so many true answers in a row, by two workers in turns, it is.
    while truths < 50 {
        anyhow::ensure!(
            begin.elapsed() < PATIENCE,
            "{lies} lies in {number} jobs: it still runs them"
        );
        let truth = format!("job-{number}");
        let answer = client.post_job(&shared_job(&format!("echo {truth}"))).await?.reply().await?;
        match answer.stdout()?.as_str() {
            LIE => (lies, truths) = (lies + 1, 0),
            said => {
                assert_eq!(said, truth);
                truths += 1;
            }
        }
        number += 1;
    }
    assert!(lies > 0, "the liar was never asked");
    let leases = |journal: &[pe_fleet::workers::Entry]| {
        journal.iter().filter(|entry| entry.event == "lease").count()
    };
    let asked = leases(&liar.journal()?);
    let mut hits = 0;
    for number in 0..number {
        let truth = format!("job-{number}");
        let answer = client.post_job(&shared_job(&format!("echo {truth}"))).await?.reply().await?;
        assert_eq!(answer.stdout()?, truth, "a lie was kept, or told once more");
        let json: Value = serde_json::from_slice(&answer.body)?;
        let cache = json.get("cache").and_then(Value::as_str).context("`cache`")?;
        hits += usize::from(cache == "hit");
    }
    assert!(hits >= 50, "what the trusted worker said was kept: {hits}");
    assert_eq!(leases(&liar.journal()?), asked, "it is out");
    assert!(leases(&honest.journal()?) > number - hits);
    Ok(())
}
