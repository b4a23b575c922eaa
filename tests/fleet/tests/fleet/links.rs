//! Links of the page, run again by the program that people have for it.

use std::process::{Command, Output};

use anyhow::Context as _;
use pe_fleet::lb::Lb;
use pe_fleet::paths;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

/// A job as the page runs it, and the state that it would keep of it.
fn on_the_page(args: &[&str]) -> (Value, Value) {
    let limits = json!({"wall_ms": 10_000});
    let files = json!({"main.c": "int main;", "tool": {"base64": "AP8=", "executable": true}});
    let job =
        json!({"image": "busybox", "args": args, "files": files, "stdin": "in", "limits": limits});
    let state = json!({
        "v": 1, "image": "busybox", "files": files, "stdin": "in", "values": {}, "command": args,
        "outputs": [], "limits": limits, "job": null,
    });
    (job, state)
}

/// Runs a job, keeps its state with its digest, and makes the link.
async fn share(lb: &Lb, args: &[&str]) -> anyhow::Result<String> {
    let client = lb.client().await?;
    let (job, mut state) = on_the_page(args);
    let ran = client.post_job(&job).await?.reply().await?;
    state["job"] = ran.text("job")?.into();
    let kept = client.post_to("/api/v1/shares", &state).await?.reply().await?;
    let kept: Value = serde_json::from_slice(&kept.body)?;
    let id = kept["share"].as_str().with_context(|| kept.to_string())?;
    Ok(format!("http://{}/s/{id}", lb.clients))
}

async fn replay(args: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let mut pe = Command::new(paths::binary("pe")?);
    pe.arg("replay").args(args);
    let Output { status, stdout, stderr } = spawn_blocking(move || pe.output()).await??;
    let said = String::from_utf8([stdout, stderr].concat())?;
    Ok((status.code(), said))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_run_again_here_and_elsewhere_and_outlives_the_process() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let mut lb = Lb::start(&format!("[shares]\ndisk_dir = {:?}\n", place.path())).await?;
    let _workers = lb.with_workers("w", 1, 2).await?;
    let link = share(&lb, &["echo", "hello", "file", "a.txt", "9", "exit", "3"]).await?;
    let (status, said) = replay(&[&link]).await?;
    assert_eq!(status, Some(0), "{said}");
    assert!(said.starts_with("same: exited with 3, 5 bytes on stdout"), "{said}");

    let other = Lb::start("").await?;
    let _others = other.with_workers("o", 1, 2).await?;
    let there = format!("http://{}", other.clients);
    let (status, said) = replay(&["--server", &there, &link]).await?;
    assert_eq!(status, Some(0), "{said}");

    // The result was in memory alone, and the share says so; it still leads to the same job.
    lb.restart().await?;
    let workers = lb.with_workers("again", 1, 2).await?;
    let (status, said) = replay(&[&link]).await?;
    assert_eq!(status, Some(125), "{said}");
    assert!(said.contains("nothing to compare; it exited with 3 now"), "{said}");
    let client = lb.client().await?;
    let (job, _) = on_the_page(&["echo", "hello", "file", "a.txt", "9", "exit", "3"]);
    client.post_job(&job).await?.reply().await?.stdout()?;
    let (status, said) = replay(&[&link]).await?;
    assert_eq!(status, Some(0), "{said}");
    drop(workers);
    Ok(())
}
