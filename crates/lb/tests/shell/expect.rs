//! Clients that name a job before they send it.

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::JSON;
use crate::lb::Lb;

const JOB: &str = r#"{"image":"busybox"}"#;

/// A load balancer that knows the job, and the job's digest.
async fn known() -> (Lb, String) {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let (answer, ()) = tokio::join!(client.run_json(JOB), worker.serve_one());
    (lb, answer.header("pe-job").to_owned())
}

/// What comes back to the head of a request over HTTP/1.1, up to an empty line.
async fn head_of_answer(stream: &mut TcpStream, headers: &str) -> String {
    let request = format!("POST /api/v1/run HTTP/1.1\r\nhost: lb\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("a connection");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    String::from_utf8(head).expect("text")
}

#[tokio::test]
async fn a_known_job_is_answered_before_it_is_sent() {
    let (lb, job) = known().await;
    let mut stream = TcpStream::connect(lb.clients).await.expect("a listener");
    let length = JOB.len();
    let about = format!(
        "content-type: application/json\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n"
    );
    let head = head_of_answer(&mut stream, &format!("{about}pe-job: {job}\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("pe-job: {job}\r\n")), "{head}");

    // Over HTTP/2, where the body never comes either.
    let client = lb.client().await;
    let headers = [("content-type", JSON), ("expect", "100-continue"), ("pe-job", &job)];
    let sent = client.begin(Method::POST, "/api/v1/run", &headers, false).await;
    let answer = sent.response.await.expect("an answer");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn an_unknown_job_is_asked_for_and_what_comes_is_what_counts() {
    let (lb, job) = known().await;
    let worker = lb.worker("w2").await;
    let mut stream = TcpStream::connect(lb.clients).await.expect("a listener");
    let other = r#"{"image":"busybox","args":["other"]}"#;
    let length = other.len();
    let about = format!(
        "content-type: application/json\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n"
    );
    let claim = "f".repeat(64);
    let head = head_of_answer(&mut stream, &format!("{about}pe-job: {claim}\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 100 Continue\r\n"), "{head}");
    let parked = worker.park().await;
    stream.write_all(other.as_bytes()).await.expect("a connection");
    let lease = parked.lease().await.expect("the job that was sent");
    assert_eq!(lease.head.spec.args, ["other"]);
    let archive = crate::worker::result(b"x", &[]);
    let status = worker.done(lease.head.lease, crate::worker::exited(0), &archive).await;
    assert_eq!(status, 204);
    // Nothing was filled under the name that was claimed.
    let client = lb.client().await;
    assert_eq!(client.get(&format!("/api/v1/results/{claim}")).await.status, 404);
    assert_eq!(client.get(&format!("/api/v1/results/{job}")).await.status, 200);
}

#[tokio::test]
async fn a_claim_without_the_wish_to_be_asked_is_nothing() {
    let (lb, job) = known().await;
    let client = lb.client().await;
    let headers = [("content-type", JSON), ("pe-job", &job)];
    let mut sent = client.begin(Method::POST, "/api/v1/run", &headers, false).await;
    sent.body.send_data("{}".into(), true).expect("an open stream");
    assert_eq!(sent.answer().await.expect("an answer").status, 400, "the body decides");
}
