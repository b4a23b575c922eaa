//! What workers fetch: the catalogue, packs, and which are wanted; and how far a job is.

use std::time::Duration;

use pe_proto::Digest;
use pe_proto::api::Progress;
use pe_proto::link::{Fetching, paths};

use crate::admin::change;
use crate::client::JSON;
use crate::lb::{Lb, busybox, other};
use crate::worker::{ScriptedWorker, exited, result};

/// Run anew each time.
const COLD: &str = r#"{"image":"other","cache":"off"}"#;

fn bytes_of(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index * 7 % 251).expect("small")).collect()
}

/// A load balancer whose catalogue names one pack, of these bytes.
async fn with_pack(bytes: &[u8]) -> (Lb, Digest) {
    let pack = Digest::of(bytes);
    let lb = Lb::with("").await;
    std::fs::create_dir(lb.path("packs")).expect("a directory");
    std::fs::write(lb.path(&format!("packs/{}.erofs", pack.hex())), bytes).expect("a file");
    let listed = format!(
        r#"{{"version":{},"images":[{{"name":"busybox","tags":["1"],"title":"","description":"","platforms":[
            {{"arch":"x86_64","digest":"{}","pack":{{"digest":"{pack}","bytes":{},"prefix":""}},
              "config":{{"entrypoint":[],"cmd":["sh"],"env":[],"workdir":"","user":""}}}}],"playground":null}}]}}"#,
        pe_proto::catalogue::VERSION,
        busybox(),
        bytes.len()
    );
    std::fs::write(lb.path("catalogue.json"), listed).expect("a file");
    let reloaded = change(&lb.operator().await, "/admin/v1/reload", "{}").await;
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    (lb, pack)
}

/// Digest of the job that was asked for last.
async fn youngest_flight(lb: &Lb) -> String {
    let flights = lb.operator().await.get("/admin/v1/flights").await.json();
    let rows = flights.get("flights").and_then(|rows| rows.as_array()).expect("a list");
    let job = rows.last().and_then(|flight| flight.get("job")).expect("a flight");
    job.as_str().expect("text").to_owned()
}

fn path(pack: Digest) -> String {
    format!("{}{}", paths::PACKS, pack.hex())
}

#[tokio::test]
async fn a_pack_is_served_whole_or_from_where_a_copy_ends() {
    let bytes = bytes_of(1_000_000);
    let (lb, pack) = with_pack(&bytes).await;
    let worker = lb.worker("w1").await;
    let whole = worker.get("GET", &path(pack), &[]).await;
    assert_eq!((whole.status.as_u16(), whole.body.len()), (200, bytes.len()));
    assert_eq!(Digest::of(&whole.body), pack);
    let etag = format!("\"{}\"", pack.hex());
    assert_eq!(whole.header("etag"), etag);
    assert_eq!(whole.header("accept-ranges"), "bytes");

    let rest = worker.get("GET", &path(pack), &[("range", "bytes=999000-")]).await;
    assert_eq!(rest.status, 206);
    assert_eq!(rest.header("content-range"), "bytes 999000-999999/1000000");
    assert_eq!(rest.body, bytes[999_000..]);
    // To before an end, as who has the rest from elsewhere asks.
    let begin = worker.get("GET", &path(pack), &[("range", "bytes=0-299999")]).await;
    assert_eq!((begin.status.as_u16(), begin.header("content-length")), (206, "300000"));
    assert_eq!(begin.header("content-range"), "bytes 0-299999/1000000");
    assert!(begin.body == bytes[..300_000]);
    let part = [("range", "bytes=10-19"), ("if-range", etag.as_str())];
    assert_eq!(worker.get("GET", &path(pack), &part).await.body, bytes[10..20]);
    let part = [("range", "bytes=10-19"), ("if-range", "\"other\"")];
    assert_eq!(worker.get("GET", &path(pack), &part).await.body.len(), bytes.len());
    let beyond = worker.get("GET", &path(pack), &[("range", "bytes=1000000-")]).await;
    assert_eq!((beyond.status.as_u16(), beyond.body.len()), (416, 0));
    let known = worker.get("GET", &path(pack), &[("if-none-match", etag.as_str())]).await;
    assert_eq!(known.status, 304);
    let head = worker.get("HEAD", &path(pack), &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), "1000000");

    let text = String::from_utf8(lb.operator().await.get("/metrics").await.body).expect("text");
    assert!(text.contains("pe_lb_pack_transfers_total{part=\"whole\"} 2\n"), "{text}");
    assert!(text.contains("pe_lb_pack_transfers_total{part=\"rest\"} 3\n"), "{text}");
}

#[tokio::test]
async fn only_files_that_the_catalogue_names_are_served_and_only_to_workers() {
    let bytes = bytes_of(5000);
    let (lb, pack) = with_pack(&bytes).await;
    let worker = lb.worker("w1").await;
    let status = async |path: &str| worker.get("GET", path, &[]).await.status.as_u16();
    assert_eq!(status(&path(Digest::of(b"another"))).await, 404);
    for odd in ["", "../catalogue.json", "%2e%2e/lb.toml", &pack.hex()[1..], &pack.to_string()] {
        assert_eq!(status(&format!("{}{odd}", paths::PACKS)).await, 400, "{odd}");
    }
    assert_eq!(worker.post(&path(pack), Vec::new()).await.0, 405);
    assert_eq!(worker.post(paths::CATALOGUE, Vec::new()).await.0, 405);
    // A link is not followed, wherever it leads.
    let file = lb.path(&format!("packs/{}.erofs", pack.hex()));
    std::fs::rename(&file, lb.path("elsewhere")).expect("a file");
    assert_eq!(status(&path(pack)).await, 404, "gone");
    std::os::unix::fs::symlink(lb.path("elsewhere"), &file).expect("a link");
    assert_eq!(status(&path(pack)).await, 404, "a link");
    std::fs::remove_file(&file).expect("a link");
    std::fs::write(&file, &bytes[1..]).expect("a file");
    assert_eq!(status(&path(pack)).await, 404, "of another length");
    // Clients have no such paths.
    assert_eq!(lb.client().await.get(&path(pack)).await.status, 404);

    let lb = Lb::with_token("", Some("a-token-of-workers\n")).await;
    let stranger = ScriptedWorker::silent(lb.workers, "stranger").await;
    assert_eq!(stranger.get("GET", paths::CATALOGUE, &[]).await.status, 401);
}

#[tokio::test]
async fn the_catalogue_is_that_of_clients_and_known_by_its_digest() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let catalogue = worker.get("GET", paths::CATALOGUE, &[]).await;
    assert_eq!(catalogue.status, 200);
    assert_eq!(catalogue.body, lb.client().await.get("/api/v1/images").await.body);
    let etag = format!("\"{}\"", Digest::of(&catalogue.body).hex());
    assert_eq!(catalogue.header("etag"), etag);
    let known = worker.get("GET", paths::CATALOGUE, &[("if-none-match", etag.as_str())]).await;
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
    let wanted = worker.wants(Digest([0; 32]), &[]).await.expect("news");
    assert_eq!((wanted.catalogue, wanted.images.len()), (Digest::of(&catalogue.body), 0));
}

#[tokio::test]
async fn transfers_that_nobody_reads_hold_up_neither_leases_nor_each_other() {
    let bytes = bytes_of(8_000_000);
    let (lb, pack) = with_pack(&bytes).await;
    let worker = lb.worker("w1").await;
    let one = worker.begin_get(&path(pack)).await;
    let two = worker.begin_get(&path(pack)).await;
    assert_eq!((one.status().as_u16(), two.status().as_u16()), (200, 200));
    assert_eq!(worker.get("GET", &path(pack), &[]).await.status, 503, "two at a time");
    let second = lb.worker("w2").await;
    assert_eq!(second.get("GET", &path(pack), &[]).await.body.len(), bytes.len());
    // Both are stuck with a full window.
    worker.serve_one_for(&lb).await;
    drop(one);
    let (mut two, mut read) = (two.into_body(), 0);
    while let Some(piece) = two.data().await {
        let piece = piece.expect("no reset");
        two.flow_control().release_capacity(piece.len()).expect("a window");
        read += piece.len();
    }
    assert_eq!(read, bytes.len());
}

#[tokio::test]
async fn a_job_of_a_cold_image_waits_until_a_worker_has_fetched_it() {
    let lb = Lb::with("[times]\nworker_grace_ms = 1\n").await;
    let worker = lb.worker("w1").await;
    let parked = worker.park().await;
    let client = lb.client().await;
    assert_eq!(client.run_json(COLD).await.problem(), "no-worker");

    let catalogue = worker.wants(Digest([0; 32]), &[]).await.expect("news").catalogue;
    assert_eq!(worker.fetches(&[other(), Digest([9; 32])], &[]).await, 204);
    let asked = worker.wants(catalogue, &[]);
    let (asked, sent) = tokio::join!(asked, client.post(JSON, "*/*", COLD));
    assert_eq!(asked.expect("news").images, [other()]);

    let job = youngest_flight(&lb).await;
    let progress = async || {
        let answer = client.get(&format!("/api/v1/progress/{job}")).await;
        assert_eq!(answer.header("cache-control"), "no-store");
        serde_json::from_slice::<Progress>(&answer.body).expect("progress")
    };
    assert_eq!(progress().await, Progress::fetching(0, 1));
    let fetching = Fetching { image: other(), bytes: 40, bytes_total: 100 };
    assert_eq!(worker.fetches(&[other()], &[fetching]).await, 204);
    assert_eq!(progress().await, Progress::Fetching { percent: 40, bytes: 40, bytes_total: 100 });
    // The slot was free all the time, and is what the job gets.
    assert_eq!(worker.state(false, &[busybox(), other()]).await, 204);
    assert_eq!(worker.fetches(&[], &[]).await, 204);
    let lease = parked.lease().await.expect("the job");
    assert_eq!(lease.head.spec.image, other());
    assert!(matches!(progress().await, Progress::Running { .. }));
    let nothing = worker.wants(catalogue, &[other()]).await.expect("news");
    assert_eq!(nothing.images, [], "nobody waits any more");
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"", &[])).await, 204);
    assert_eq!(sent.answer().await.expect("an answer").status, 200);
    let over = client.get(&format!("/api/v1/progress/{job}")).await;
    assert_eq!((over.status.as_u16(), over.problem()), (404, "unknown-result".to_owned()));
    assert_eq!(client.get("/api/v1/progress/xyz").await.status, 400);
}

#[tokio::test]
async fn a_job_that_waits_is_told_its_place() {
    let mut lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let job = |number: u8| format!(r#"{{"image":"busybox","args":["{number}"]}}"#);
    let first = client.post(JSON, "*/*", job(1)).await;
    lb.until(|census| census.waiting == 1).await;
    let first_job = youngest_flight(&lb).await;
    let second = client.post(JSON, "*/*", job(2)).await;
    lb.until(|census| census.waiting == 2).await;
    let second_job = youngest_flight(&lb).await;
    let place = async |job: &str| {
        let answer = client.get(&format!("/api/v1/progress/{job}")).await;
        serde_json::from_slice::<Progress>(&answer.body).expect("progress")
    };
    assert_eq!(place(&first_job).await, Progress::Queued { position: 1, wait_ms: None });
    assert_eq!(place(&second_job).await, Progress::Queued { position: 2, wait_ms: None });
    worker.serve_one().await;
    assert_eq!(place(&second_job).await, Progress::Queued { position: 1, wait_ms: None });
    worker.serve_one().await;
    for sent in [first, second] {
        assert_eq!(sent.answer().await.expect("an answer").status, 200);
    }
}

#[tokio::test]
async fn words_about_fetching_are_bound_to_their_session_and_bounds() {
    let lb = Lb::with("[times]\npoll_ms = 200\n").await;
    let mut worker = lb.worker("w1").await;
    let too_much = Fetching { image: other(), bytes: 2, bytes_total: 1 };
    assert_eq!(worker.fetches(&[other()], &[too_much]).await, 400);
    assert_eq!(worker.fetches(&vec![other(); 4097], &[]).await, 400);
    let catalogue = worker.wants(Digest([0; 32]), &[]).await.expect("news").catalogue;
    let began = tokio::time::Instant::now();
    assert_eq!(worker.wants(catalogue, &[]).await, None);
    assert!(began.elapsed() >= Duration::from_millis(100), "a long poll");
    let (one, two) = tokio::join!(worker.wants_status(catalogue), worker.wants_status(catalogue));
    assert_eq!(
        (one.as_u16().min(two.as_u16()), one.as_u16().max(two.as_u16())),
        (204, 503),
        "one at a time"
    );
    worker.session = pe_proto::link::SessionId([9; 16]);
    assert_eq!(worker.fetches(&[other()], &[]).await, 409);
    assert_eq!(worker.wants_status(catalogue).await, 409);
}
