//! The access log of a running load balancer.

use http::Method;
use serde_json::Value;

use crate::client::JSON;
use crate::lb::Lb;

struct Logged {
    dir: tempfile::TempDir,
    lb: Lb,
}

impl Logged {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let to = dir.path().join("access.log");
        let lb = Lb::with(&format!("[access_log]\nto = {to:?}\n")).await;
        Self { dir, lb }
    }

    /// All lines, once everything is over.
    async fn lines(self) -> Vec<Value> {
        let Self { dir, lb } = self;
        lb.ended().await;
        let text = std::fs::read_to_string(dir.path().join("access.log")).expect("a file");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

#[tokio::test]
async fn each_request_is_a_line() {
    let logged = Logged::start().await;
    let client = logged.lb.client().await;
    let id = [("x-request-id", "mine-1")];
    client.request(Method::GET, "/api/v1/images?secret=1", &id).await;
    client.request(Method::HEAD, "/", &[]).await;
    client.run_json("{}").await;
    drop(client);
    let lines = logged.lines().await;
    let [images, head, bad] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&images["request_id"], &images["status"]), (&"mine-1".into(), &200.into()));
    assert_eq!((&images["path"], &images["http"]), (&"/api/v1/images".into(), &"2".into()));
    assert_eq!((&images["client"], &images["whole"]), (&"127.0.0.1".into(), &true.into()));
    assert!(images["bytes_out"].as_u64().is_some_and(|bytes| bytes > 100), "{images}");
    assert_eq!((&head["method"], &head["bytes_out"]), (&"HEAD".into(), &0.into()));
    assert_eq!((&bad["status"], &bad["problem"]), (&400.into(), &"bad-request".into()));
}

#[tokio::test]
async fn a_client_that_leaves_has_its_line_too() {
    let mut logged = Logged::start().await;
    let client = logged.lb.client().await;
    let sent = client.post(JSON, "*/*", r#"{"image":"busybox"}"#).await;
    logged.lb.until(|census| census.waiting == 1).await;
    sent.hang_up();
    logged.lb.until(|census| census.jobs == 0).await;
    let lines = logged.lines().await;
    let [left] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&left["status"], &left["whole"]), (&Value::Null, &false.into()));
}
