//! `GET /api/v1/results/{digest}`.

use std::io::Read as _;

use http::{HeaderMap, Method};

use crate::client::{Answer, BINARY, Client, JSON};
use crate::lb::Lb;
use crate::worker::{ScriptedWorker, exited, result};

/// A load balancer that knows one result, and the path of it.
struct Known {
    client: Client,
    path: String,
    archive: Vec<u8>,
    _worker: ScriptedWorker,
    _lb: Lb,
}

impl Known {
    async fn new() -> Self {
        let lb = Lb::start().await;
        let worker = lb.worker("w1").await;
        let client = lb.client().await;
        let parked = worker.park().await;
        let sent = client.post(JSON, "*/*", r#"{"image":"busybox"}"#).await;
        let lease = parked.lease().await.expect("the job");
        let archive = result("the same again, ".repeat(1000).as_bytes(), &[]);
        assert_eq!(worker.done(lease.head.lease, exited(0), &archive).await, 204);
        let answer = sent.answer().await.expect("an answer");
        let path = format!("/api/v1/results/{}", answer.header("pe-job"));
        Self { client, path, archive, _worker: worker, _lb: lb }
    }

    async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        self.client.request(Method::GET, &self.path, headers).await
    }

    async fn head(&self, headers: &[(&str, &str)]) -> Answer {
        self.client.request(Method::HEAD, &self.path, headers).await
    }
}

/// What must be the same in every answer about one representation.
fn of_representation(headers: &HeaderMap) -> Vec<Option<&str>> {
    ["etag", "cache-control", "vary", "pe-job"]
        .into_iter()
        .map(|name| headers.get(name).map(|value| value.to_str().expect("text")))
        .collect()
}

#[tokio::test]
async fn a_result_is_immutable_and_has_a_strong_etag_in_each_form() {
    let known = Known::new().await;
    let json = known.get(&[]).await;
    assert_eq!(json.status, 200);
    assert_eq!(json.header("content-type"), JSON);
    assert_eq!(json.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(json.header("vary"), "accept, accept-encoding");
    assert_eq!(json.header("accept-ranges"), "bytes");
    let strong = format!("\"{}\"", pe_proto::Digest::of(&json.body).hex());
    assert_eq!(json.header("etag"), strong, "the hash of the bytes");
    assert_eq!(json.json()["cache"], "hit");
    assert!(known.path.ends_with(json.header("pe-job")));
    let binary = known.get(&[("accept", BINARY)]).await;
    assert_eq!(binary.header("content-type"), BINARY);
    assert_eq!(binary.binary().1, known.archive);
    assert_ne!(binary.header("etag"), json.header("etag"));
    // From memory as from the first time.
    let again = known.get(&[]).await;
    assert_eq!(of_representation(&again.headers), of_representation(&json.headers));
    assert!(again.body == json.body);
}

#[tokio::test]
async fn head_is_get_without_the_bytes() {
    let known = Known::new().await;
    // Made by the first of them, in memory for the second.
    for headers in [[("accept", "*/*")], [("accept", BINARY)], [("accept-encoding", "gzip")]] {
        let (head, get) = (known.head(&headers).await, known.get(&headers).await);
        assert!(head.body.is_empty());
        assert_eq!((head.status, get.status.as_u16()), (get.status, 200));
        assert_eq!(head.header("content-length"), get.body.len().to_string(), "{headers:?}");
        assert_eq!(of_representation(&head.headers), of_representation(&get.headers));
    }
}

#[tokio::test]
async fn who_has_a_result_is_told_so() {
    let known = Known::new().await;
    let full = known.get(&[]).await;
    let etag = full.header("etag").to_owned();
    let weak = format!("\"x\", W/{etag}");
    for tag in [etag.as_str(), &weak, "*"] {
        let same = known.get(&[("if-none-match", tag)]).await;
        assert_eq!((same.status.as_u16(), same.body.len()), (304, 0), "{tag}");
        assert_eq!(of_representation(&same.headers), of_representation(&full.headers));
    }
    assert_eq!(known.get(&[("if-none-match", "\"x\"")]).await.status, 200);
    assert_eq!(known.head(&[("if-none-match", &etag)]).await.status, 304);
    let other = known.get(&[("if-none-match", &etag), ("accept", BINARY)]).await;
    assert_eq!(other.status, 200, "the tag of another form");
    assert_eq!(known.get(&[("if-match", &etag)]).await.status, 200);
    assert_eq!(known.get(&[("if-match", &weak)]).await.status, 412);
}

#[tokio::test]
async fn a_part_of_a_result_may_be_asked_for() {
    let known = Known::new().await;
    let full = known.get(&[]).await;
    let (length, etag) = (full.body.len(), full.header("etag").to_owned());
    let part = known.get(&[("range", "bytes=3-9")]).await;
    assert_eq!((part.status.as_u16(), part.body.as_slice()), (206, &full.body[3..10]));
    assert_eq!(part.header("content-range"), format!("bytes 3-9/{length}"));
    assert_eq!(of_representation(&part.headers), of_representation(&full.headers));
    let last = known.get(&[("range", "bytes=-5"), ("if-range", &etag)]).await;
    assert_eq!((last.status.as_u16(), last.body.as_slice()), (206, &full.body[length - 5..]));
    let weak = format!("W/{etag}");
    for other in ["\"x\"", &weak, "Sat, 29 Oct 1994 19:43:31 GMT"] {
        let whole = known.get(&[("range", "bytes=-5"), ("if-range", other)]).await;
        assert_eq!((whole.status.as_u16(), whole.body.len()), (200, length), "{other}");
    }
    for whole in ["bytes=0-1,3-4", "lines=1-2", "bytes=9-1"] {
        assert_eq!(known.get(&[("range", whole)]).await.status, 200, "{whole}");
    }
    let beyond = format!("bytes={length}-");
    let none = known.get(&[("range", &beyond)]).await;
    assert_eq!((none.status.as_u16(), none.body.len()), (416, 0));
    assert_eq!(none.header("content-range"), format!("bytes */{length}"));
    assert_eq!(none.header("cache-control"), "no-store");
    assert_eq!(known.head(&[("range", "bytes=3-9")]).await.status, 200, "parts are for GET");
}

#[tokio::test]
async fn a_result_is_packed_once_for_who_can_unpack_it() {
    let known = Known::new().await;
    let full = known.get(&[]).await;
    let mut etags = vec![full.header("etag").to_owned()];
    for (wish, encoding) in [("gzip", "gzip"), ("gzip, deflate, br, zstd", "zstd")] {
        let packed = known.get(&[("accept-encoding", wish)]).await;
        assert_eq!(packed.header("content-encoding"), encoding);
        assert!(packed.body.len() < full.body.len() / 4);
        let mut plain = Vec::new();
        match encoding {
            "gzip" => {
                let mut unpacker = flate2::read::GzDecoder::new(packed.body.as_slice());
                unpacker.read_to_end(&mut plain).expect("gzip");
            }
            _ => plain = zstd::bulk::decompress(&packed.body, full.body.len()).expect("zstd"),
        }
        assert_eq!(plain, full.body);
        etags.push(packed.header("etag").to_owned());
        let again = known.get(&[("accept-encoding", wish)]).await;
        assert_eq!(again.header("etag"), packed.header("etag"));
        // A range is one of the packed bytes.
        let part = known.get(&[("accept-encoding", wish), ("range", "bytes=0-3")]).await;
        assert_eq!((part.status.as_u16(), part.body.as_slice()), (206, &packed.body[..4]));
    }
    etags.dedup();
    assert_eq!(etags.len(), 3, "each packing has a tag of its own");
    assert_eq!(known.get(&[("accept-encoding", "br")]).await.header("content-encoding"), "");
}

#[tokio::test]
async fn a_result_that_does_not_get_smaller_is_sent_as_it_is() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let parked = worker.park().await;
    let sent = client.post(JSON, "*/*", r#"{"image":"busybox"}"#).await;
    let lease = parked.lease().await.expect("the job");
    let noise: Vec<u8> =
        (0..500_u16).flat_map(|seed| pe_proto::Digest::of(&seed.to_le_bytes()).0).collect();
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(&noise, &[])).await, 204);
    let job = sent.answer().await.expect("an answer").header("pe-job").to_owned();
    let headers = [("accept", BINARY), ("accept-encoding", "gzip, zstd")];
    for _ in 0..2 {
        let path = format!("/api/v1/results/{job}");
        let answer = client.request(Method::GET, &path, &headers).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-encoding"), "");
    }
}

#[tokio::test]
async fn what_is_not_known_is_a_problem_that_nobody_keeps() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let unknown = client.get(&format!("/api/v1/results/{}", "0".repeat(64))).await;
    assert_eq!((unknown.status.as_u16(), unknown.problem().as_str()), (404, "unknown-result"));
    assert_eq!(unknown.header("cache-control"), "no-store");
    for name in ["", "x", &"0".repeat(63), &"A".repeat(64), &format!("sha256:{}", "0".repeat(64))] {
        let bad = client.get(&format!("/api/v1/results/{name}")).await;
        assert_eq!((bad.status.as_u16(), bad.problem().as_str()), (400, "bad-request"), "{name}");
    }
    let path = format!("/api/v1/results/{}", "0".repeat(64));
    assert_eq!(client.request(Method::POST, &path, &[]).await.status, 405);
    assert_eq!(client.request(Method::OPTIONS, &path, &[]).await.status, 204);
}
