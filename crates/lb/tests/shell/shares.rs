//! Shares of the page's state.

use std::io::Read as _;

use http::Method;

use crate::client::{Answer, Client, JSON};
use crate::lb::Lb;

const STATE: &str = r#"{"v":1,"image":"busybox","files":{"main.c":"int main;"},"job":null}"#;

async fn post(client: &Client, content_type: &str, state: &str) -> Answer {
    let headers = [("content-type", content_type)];
    let mut sent = client.begin(Method::POST, "/api/v1/shares", &headers, false).await;
    sent.body.send_data(state.to_owned().into(), true).expect("an open stream");
    sent.answer().await.expect("an answer")
}

async fn keep(client: &Client, state: &str) -> String {
    let kept = post(client, JSON, state).await;
    assert_eq!(kept.status, 201, "{kept:?}");
    assert_eq!(kept.header("cache-control"), "no-store");
    let id = kept.json()["share"].as_str().expect("a name").to_owned();
    assert_eq!(kept.header("location"), format!("/api/v1/shares/{id}"));
    id
}

#[tokio::test]
async fn a_state_is_kept_under_its_hash_and_answered_for_ever() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let id = keep(&client, STATE).await;
    assert_eq!(id.len(), 22);
    assert_eq!(keep(&client, STATE).await, id, "the same state, the same name");
    let path = format!("/api/v1/shares/{id}");
    let found = client.get(&path).await;
    assert_eq!((found.status.as_u16(), found.body.as_slice()), (200, STATE.as_bytes()));
    assert_eq!(found.header("content-type"), JSON);
    assert_eq!(found.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(found.header("vary"), "accept-encoding");
    assert_eq!(found.header("pe-job"), "");
    let etag = found.header("etag").to_owned();
    assert_eq!(etag, format!("\"{}\"", pe_proto::Digest::of(STATE.as_bytes()).hex()));
    let same = client.request(Method::GET, &path, &[("if-none-match", &etag)]).await;
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
    let head = client.request(Method::HEAD, &path, &[]).await;
    assert_eq!((head.header("content-length"), head.body.len()), ("67", 0));
    let part = client.request(Method::GET, &path, &[("range", "bytes=0-1")]).await;
    assert_eq!((part.status.as_u16(), part.body.as_slice()), (206, b"{\"".as_slice()));
    assert_eq!(client.request(Method::DELETE, &path, &[]).await.status, 405);
    assert_eq!(client.get("/api/v1/shares").await.status, 405);
    let options = client.request(Method::OPTIONS, "/api/v1/shares", &[]).await;
    assert_eq!(options.header("allow"), "POST, OPTIONS");
}

#[tokio::test]
async fn a_large_state_is_packed_for_who_can_unpack_it() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let state = format!(r#"{{"v":1,"stdin":"{}"}}"#, "the same again ".repeat(500));
    let path = format!("/api/v1/shares/{}", keep(&client, &state).await);
    let packed = client.request(Method::GET, &path, &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut plain = String::new();
    let mut unpacker = flate2::read::GzDecoder::new(packed.body.as_slice());
    unpacker.read_to_string(&mut plain).expect("gzip");
    assert_eq!(plain, state);
    assert_ne!(packed.header("etag"), client.get(&path).await.header("etag"));
}

/// What is in a share is somebody's. It is never a page of ours, whatever it looks like.
#[tokio::test]
async fn case_39_a_share_is_confined_in_a_browser() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let state = r#"{"<script>alert(1)</script>":"<svg onload=alert(1)>"}"#;
    let path = format!("/api/v1/shares/{}", keep(&client, state).await);
    for accept in ["*/*", "text/html"] {
        let found = client.request(Method::GET, &path, &[("accept", accept)]).await;
        assert_eq!(found.header("content-type"), JSON);
        assert_eq!(found.header("x-content-type-options"), "nosniff");
        let policy = found.header("content-security-policy");
        assert_eq!(policy, "default-src 'none'; frame-ancestors 'none'; sandbox");
    }
    // A form of another site cannot make one: no browser lets it send this type unasked.
    for other in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        assert_eq!(
            post(&client, other, STATE).await.problem(),
            "unsupported-media-type",
            "{other}"
        );
    }
}

#[tokio::test]
async fn what_is_no_state_is_refused() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    for bad in ["", "[]", "null", "{", "{}{}", "\"{}\"", "{\"a\":1,}"] {
        let refused = post(&client, JSON, bad).await;
        assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (400, "bad-request"));
        assert_eq!(refused.json()["pointer"], "", "{bad}");
    }
    let fits = format!(r#"{{"a":"{}"}}"#, "x".repeat(256 * 1024 - 8));
    assert_eq!(post(&client, "application/json; charset=utf-8", &fits).await.status, 201);
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(256 * 1024 - 7));
    assert_eq!(post(&client, JSON, &large).await.problem(), "too-large");
    for name in ["", "x", &"A".repeat(21), &"A".repeat(23), &format!("{}%", "A".repeat(21))] {
        let bad = client.get(&format!("/api/v1/shares/{name}")).await;
        assert_eq!((bad.status.as_u16(), bad.problem().as_str()), (400, "bad-request"), "{name}");
    }
    let unknown = client.get(&format!("/api/v1/shares/{}", "A".repeat(22))).await;
    assert_eq!((unknown.status.as_u16(), unknown.problem().as_str()), (404, "unknown-share"));
    assert_eq!(unknown.header("cache-control"), "no-store");
}

#[tokio::test]
async fn new_shares_have_a_rate_and_known_ones_cost_nothing() {
    let toml = "[admission.classes.local]\nshare_kib_per_minute = 1\nshare_kib_burst = 8\n";
    let lb = Lb::with(toml).await;
    let client = lb.client().await;
    // Each counts 4 KiB at least.
    let first = keep(&client, r#"{"number":1}"#).await;
    keep(&client, r#"{"number":2}"#).await;
    let refused = post(&client, JSON, r#"{"number":3}"#).await;
    assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (429, "too-many-requests"));
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((200..=240).contains(&wait), "{wait}: four KiB at one a minute");
    assert_eq!(keep(&client, r#"{"number":1}"#).await, first, "it is there already");
    assert_eq!(client.get(&format!("/api/v1/shares/{first}")).await.status, 200);
    let metrics = lb.operator().await.get("/metrics").await.body;
    let metrics = String::from_utf8(metrics).expect("text");
    assert!(metrics.contains("pe_lb_denied_total{limit=\"shares\"} 1"), "{metrics}");
    assert!(metrics.contains("pe_lb_shares_kept_total 2"), "{metrics}");
    assert!(
        metrics.contains("pe_lb_requests_total{route=\"shares\",status=\"201\"} 3"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_share_is_known_after_a_restart_if_there_is_a_disk_for_it() {
    let place = tempfile::tempdir().expect("a directory");
    let toml = format!("[shares]\ndisk_dir = {:?}\n", place.path().join("shares"));
    let lb = Lb::with(&toml).await;
    let client = lb.client().await;
    let path = format!("/api/v1/shares/{}", keep(&client, STATE).await);
    let before = client.get(&path).await;
    drop(client);
    lb.ended().await;

    let lb = Lb::with(&toml).await;
    let after = lb.client().await.get(&path).await;
    assert_eq!((after.status.as_u16(), &after.body), (200, &before.body));
    assert_eq!(after.header("etag"), before.header("etag"));
    // Without a disk it is gone, and said to be.
    let lb = Lb::start().await;
    assert_eq!(lb.client().await.get(&path).await.problem(), "unknown-share");
}
