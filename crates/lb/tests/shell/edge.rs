//! Connections: whose they are, how many there may be, and how slow.

use std::net::SocketAddr;

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::client::{Client, JSON};
use crate::lb::Lb;

/// A connection that stays open, and whatever is said on it.
struct Raw(TcpStream);

impl Raw {
    async fn dial(address: SocketAddr, first: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("a listener");
        stream.write_all(first).await.expect("a socket");
        Self(stream)
    }

    /// Asks for health; returns the head of the answer, or nothing if there is none.
    async fn ask(&mut self) -> String {
        let asked = self.0.write_all(b"GET /healthz HTTP/1.1\r\nhost: lb\r\n\r\n").await;
        let mut head = Vec::new();
        while asked.is_ok() && !head.ends_with(b"\r\n\r\n") {
            match self.0.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        // And its content.
        let head = String::from_utf8(head).expect("text");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if let Some(length) = length {
            let mut content = vec![0; length.parse().expect("a number")];
            self.0.read_exact(&mut content).await.expect("the content");
        }
        head
    }

    async fn ended(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 64]).await, Ok(0) | Err(_))
    }
}

fn proxy_v2(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend(client);
    header.extend([10, 0, 0, 1, 0x12, 0x67, 1, 0xbb]);
    header
}

#[tokio::test]
async fn a_proxy_names_its_client_and_one_client_has_a_bound_of_its_own() {
    let toml = "[proxies]\ntrusted = [\"127.0.0.1\"]\n[connections]\nper_client_max = 1\n";
    let lb = Lb::listening("proxy:127.0.0.1:0", "127.0.0.1:0", toml).await;
    let mut first = Raw::dial(lb.clients, &proxy_v2([192, 0, 2, 1])).await;
    assert!(first.ask().await.starts_with("HTTP/1.1 200"));
    let mut second = Raw::dial(lb.clients, &proxy_v2([192, 0, 2, 1])).await;
    let told = second.ask().await;
    assert!(told.starts_with("HTTP/1.1 503"), "{told}");
    assert!(told.contains("retry-after: 5") && told.contains("connection: close"), "{told}");
    assert!(second.ended().await);
    let mut other = Raw::dial(lb.clients, b"PROXY TCP4 192.0.2.2 10.0.0.1 4711 443\r\n").await;
    assert!(other.ask().await.starts_with("HTTP/1.1 200"));
    // Who is gone gives its place back.
    drop(first);
    loop {
        let mut again = Raw::dial(lb.clients, &proxy_v2([192, 0, 2, 1])).await;
        if again.ask().await.starts_with("HTTP/1.1 200") {
            break;
        }
    }
}

#[tokio::test]
async fn a_trusted_peer_without_a_proxy_header_is_hung_up_on_and_others_need_none() {
    let trusted = "[proxies]\ntrusted = [\"127.0.0.1\"]\n";
    let lb = Lb::listening("proxy:127.0.0.1:0", "127.0.0.1:0", trusted).await;
    assert_eq!(Raw::dial(lb.clients, b"").await.ask().await, "");
    let lb = Lb::listening("proxy:127.0.0.1:0", "127.0.0.1:0", "").await;
    assert!(Raw::dial(lb.clients, b"").await.ask().await.starts_with("HTTP/1.1 200"));
    // What an untrusted peer says about itself is no request.
    let mut liar = Raw::dial(lb.clients, &proxy_v2([192, 0, 2, 1])).await;
    assert!(!liar.ask().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_unix_socket_serves_and_is_gone_after_the_drain() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("lb.sock");
    // Left behind by somebody who died.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let toml = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]\n", path.display());
    let lb = Lb::as_written(&toml).await;
    let mut stream = UnixStream::connect(&path).await.expect("a listener");
    let asked = b"GET /healthz HTTP/1.1\r\nhost: lb\r\nconnection: close\r\n\r\n";
    stream.write_all(asked).await.expect("a socket");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    lb.ended().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn at_the_limit_the_longest_idle_connections_go_and_newcomers_come_in() {
    let lb = Lb::with("[connections]\nmax = 2\n").await;
    let h2 = lb.client().await;
    assert_eq!(h2.get("/healthz").await.status, 200);
    let mut h1 = Raw::dial(lb.clients, b"").await;
    assert!(h1.ask().await.starts_with("HTTP/1.1 200"));
    let mut third = Raw::dial(lb.clients, b"").await;
    assert!(third.ask().await.starts_with("HTTP/1.1 200"));
    h2.ended().await.expect("GOAWAY");
    let mut fourth = Raw::dial(lb.clients, b"").await;
    assert!(fourth.ask().await.starts_with("HTTP/1.1 200"));
    assert!(h1.ended().await);
    assert!(third.ask().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_newcomer_is_told_to_come_again_only_when_every_connection_has_a_request() {
    let lb = Lb::with("[connections]\nmax = 1\n").await;
    let busy = lb.client().await;
    let headers = [("content-type", JSON)];
    let mut sent = busy.begin(Method::POST, "/api/v1/run", &headers, false).await;
    sent.body.send_data("{".into(), false).expect("an open stream");
    // Whether its request has begun is not known here, so newcomers are sent until one is told.
    let told = loop {
        let mut newcomer = Raw::dial(lb.clients, b"").await;
        let told = newcomer.ask().await;
        if told.starts_with("HTTP/1.1 503") {
            assert!(newcomer.ended().await);
            break told;
        }
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    };
    assert!(told.contains("retry-after: 5") && told.contains("connection: close"), "{told}");
    let h2 = lb.client().await;
    let answer = h2.get("/healthz").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "5"));
    assert_eq!(answer.problem(), "too-many-connections");
    sent.body.send_data("}".into(), true).expect("an open stream");
    assert_eq!(sent.answer().await.expect("an answer").status, 400);
}

#[tokio::test]
async fn a_head_that_never_ends_and_a_client_that_says_nothing_are_given_up() {
    let lb = Lb::with("[times]\nhead_ms = 50\n").await;
    let mut silent = Raw::dial(lb.clients, b"").await;
    let mut slow = Raw::dial(lb.clients, b"GET /healthz HTTP/1.1\r\nhost: lb\r\nx: ").await;
    let mut half_preface = Raw::dial(lb.clients, b"PRI * HTTP/2.0\r\n").await;
    assert!(silent.ended().await);
    while !slow.ended().await {}
    assert!(half_preface.ended().await);
    assert!(Raw::dial(lb.clients, b"").await.ask().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_body_that_stops_is_answered_and_given_up() {
    let lb = Lb::with("[times]\nbody_idle_ms = 20\n").await;
    let request = b"POST /api/v1/run HTTP/1.1\r\nhost: lb\r\ncontent-type: application/json\r\n\
                    content-length: 100\r\n\r\n{";
    let mut slow = Raw::dial(lb.clients, request).await;
    let mut answer = Vec::new();
    slow.0.read_to_end(&mut answer).await.expect("an end");
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn operators_have_a_listener_of_their_own() {
    let lb = Lb::start().await;
    let mut stream = Raw::dial(lb.admin, b"").await;
    assert!(stream.ask().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn case_33_a_chunked_body_over_its_cap_is_cut_off_over_http1() {
    let lb = Lb::start().await;
    let request = b"POST /api/v1/run HTTP/1.1\r\nhost: lb\r\ncontent-type: application/json\r\n\
                    transfer-encoding: chunked\r\n\r\n";
    let Raw(stream) = Raw::dial(lb.clients, request).await;
    let (mut read, mut write) = stream.into_split();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let mut sending = tokio::task::JoinSet::new();
    sending.spawn(async move { while write.write_all(&chunk).await.is_ok() {} });
    let mut status = [0; 12];
    read.read_exact(&mut status).await.expect("an answer while it is being sent");
    assert_eq!(&status, b"HTTP/1.1 413");
}

#[tokio::test]
async fn an_idle_connection_gives_its_buffers_back_and_goes_on_when_it_is_used_again() {
    let lb = Lb::with("[times]\nstall_ms = 20\n").await;
    let operator = Client::connect(lb.admin).await;
    let mut idle = Raw::dial(lb.clients, b"").await;
    for rests in 1..=3 {
        assert!(idle.ask().await.starts_with("HTTP/1.1 200"));
        let line = format!("pe_lb_connections_rested_total {rests}\n");
        loop {
            let metrics = operator.get("/metrics").await.body;
            if String::from_utf8_lossy(&metrics).contains(&line) {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // A head that comes in pieces is one head.
    idle.0.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await.expect("a socket");
    assert!(idle.ask().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn limits_count_the_client_that_a_trusted_proxy_names_and_no_other() {
    let limit = "[admission.classes.anonymous]\nrequests_per_s = 1\nrequests_burst = 1\n";
    let trust = "trusted = [\"127.0.0.1\"]\n";
    let ask = async |lb: &Lb, header: &str, value: &str| {
        let headers = [("content-type", JSON), (header, value)];
        let client = lb.client().await;
        let sent = client.begin(Method::POST, "/api/v1/run", &headers, true).await;
        sent.answer().await.expect("an answer").status.as_u16()
    };
    let lb = Lb::with(&format!("[proxies]\n{trust}{limit}")).await;
    assert_eq!(ask(&lb, "x-forwarded-for", "192.0.2.1").await, 400);
    assert_eq!(ask(&lb, "x-forwarded-for", "192.0.2.1").await, 429);
    assert_eq!(ask(&lb, "x-forwarded-for", "198.51.100.9, 192.0.2.1").await, 429);
    assert_eq!(ask(&lb, "x-forwarded-for", "192.0.2.1, 198.51.100.9").await, 400);
    // Of a network of 64 bits, one client.
    assert_eq!(ask(&lb, "x-forwarded-for", "2001:db8::1").await, 400);
    assert_eq!(ask(&lb, "x-forwarded-for", "2001:db8::2").await, 429);
    let lb = Lb::with(&format!("[proxies]\nheader = \"forwarded\"\n{trust}{limit}")).await;
    assert_eq!(ask(&lb, "forwarded", "for=192.0.2.1;proto=https").await, 400);
    assert_eq!(ask(&lb, "forwarded", "for=6.6.6.6, for=\"192.0.2.1:80\"").await, 429);
}
