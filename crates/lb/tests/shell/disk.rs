//! Results on disk: what a restart finds.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::client::{Answer, Client, JSON};
use crate::lb::Lb;
use crate::worker::{exited, result};

/// A directory for one cache, and the settings that name it.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    async fn start(&self, more: &str) -> Lb {
        let dir = self.cache();
        Lb::with(&format!("[cache]\ndisk_dir = {dir:?}\n{more}")).await
    }

    /// Files of results.
    fn files(&self) -> Vec<PathBuf> {
        let list = |dir: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(dir).expect("a directory");
            entries.map(|entry| entry.expect("an entry").path()).collect()
        };
        list(&self.cache()).iter().flat_map(|folder| list(folder)).collect()
    }
}

fn job(number: usize) -> String {
    format!(r#"{{"image":"busybox","args":["{number}"]}}"#)
}

/// Runs a job on a worker of its own.
async fn run(lb: &Lb, client: &Client, number: usize, archive: &[u8]) -> Answer {
    let worker = lb.worker("w1").await;
    let parked = worker.park().await;
    let sent = client.post(JSON, "application/vnd.pe.v1", job(number)).await;
    let lease = parked.lease().await.expect("the job");
    assert_eq!(worker.done(lease.head.lease, exited(0), archive).await, 204);
    sent.answer().await.expect("an answer")
}

/// Ends a load balancer, which writes what is to be written.
async fn end(lb: Lb, client: Client) {
    drop(client);
    lb.ended().await;
}

#[tokio::test]
async fn a_result_is_known_after_a_restart() {
    let place = Place::new();
    let lb = place.start("").await;
    let client = lb.client().await;
    let ran = run(&lb, &client, 1, &result(b"kept", &[])).await;
    let before = client.get(&format!("/api/v1/results/{}", ran.header("pe-job"))).await;
    end(lb, client).await;
    assert_eq!(place.files().len(), 1);

    let lb = place.start("").await;
    let client = lb.client().await;
    // No worker is there.
    let hit = client.run_json(&job(1)).await;
    assert_eq!((&hit.json()["cache"], &hit.json()["stdout"]), (&"hit".into(), &"kept".into()));
    let after = client.get(&format!("/api/v1/results/{}", ran.header("pe-job"))).await;
    assert_eq!(after.header("etag"), before.header("etag"), "the same bytes");
    let metrics = lb.operator().await.get("/metrics").await.body;
    let metrics = String::from_utf8(metrics).expect("text");
    assert!(metrics.contains("pe_lb_cache_hits_total{tier=\"disk\"} 1"), "{metrics}");
    assert!(metrics.contains("pe_lb_cache_entries{tier=\"disk\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_corrupt_file_is_a_miss_and_is_removed() {
    let place = Place::new();
    let lb = place.start("").await;
    let client = lb.client().await;
    let ran = run(&lb, &client, 1, &result(b"kept", &[])).await;
    end(lb, client).await;
    let [file] = place.files().try_into().expect("one file");
    let mut bytes = std::fs::read(&file).expect("the file");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).expect("the file");

    let lb = place.start("").await;
    let client = lb.client().await;
    let path = format!("/api/v1/results/{}", ran.header("pe-job"));
    assert_eq!(client.get(&path).await.status, 404);
    assert!(!file.exists());
    let again = run(&lb, &client, 1, &result(b"again", &[])).await;
    assert_eq!(again.binary().0["cache"], "miss");
    end(lb, client).await;
    assert!(file.exists(), "it is kept again");
}

#[tokio::test]
async fn what_is_not_kept_is_not_on_disk() {
    let place = Place::new();
    let lb = place.start("").await;
    let client = lb.client().await;
    let worker = lb.worker("w1").await;
    for (policy, outcome) in [("off", exited(0)), ("use", pe_proto::Outcome::OutOfMemory)] {
        let job = format!(r#"{{"image":"busybox","cache":"{policy}"}}"#);
        let parked = worker.park().await;
        let sent = client.post(JSON, "*/*", job).await;
        let lease = parked.lease().await.expect("the job");
        assert_eq!(worker.done(lease.head.lease, outcome, &result(b"", &[])).await, 204);
        assert_eq!(sent.answer().await.expect("an answer").status, 200);
    }
    drop(worker);
    end(lb, client).await;
    assert_eq!(place.files(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn readiness_tells_whether_the_cache_remembers() {
    let place = Place::new();
    // Nobody runs the canary; what is told of the cache does not depend on that.
    let lb = place.start("[queue]\nwait_ms = 1\n").await;
    let client = lb.client().await;
    let report = client.get("/readyz").await.json();
    assert_eq!(report["cache"], serde_json::json!({"remembers": true}), "{report}");
    assert_eq!(place.files(), Vec::<PathBuf>::new(), "and leaves nothing");
    // A file where the directory was: nothing can be written any more.
    std::fs::remove_dir_all(place.cache()).expect("the directory");
    std::fs::write(place.cache(), b"").expect("a file");
    let report = client.get("/readyz").await.json();
    assert_eq!(report["cache"]["remembers"], false, "{report}");
    let metrics = lb.operator().await.get("/metrics").await.body;
    let metrics = String::from_utf8(metrics).expect("text");
    assert!(metrics.contains("pe_lb_cache_remembers 0"), "{metrics}");

    let off = Lb::with("[cache]\nis_on = false\n[queue]\nwait_ms = 1\n").await;
    let report = off.client().await.get("/readyz").await.json();
    assert_eq!(report["cache"]["remembers"], false, "{report}");
}
