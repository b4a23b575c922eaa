//! Links that break, servers that stall, and tokens that are taken no longer.

use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pe_image::Source as _;
use pe_image::SourceError;
use pe_image::source::registry::RegistryError;
use pe_proto::Arch;

use super::files::layers;
use super::hostile::{authority, image, local, open, settings};
use super::made::Made;
use super::server::{Asked, Server, answer, head, honest};

fn large() -> Made {
    let layer: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    Made::image("amd64", &[&layer])
}

/// Whether a request is for the layer: the blob that is not the config.
fn is_layer(made: &Made, asked: &Asked) -> bool {
    asked.path.ends_with(&pe_proto::Digest::of(&made.layers[0]).to_string())
}

/// A registry that answers requests for its layer in its own way.
fn with_layer(answer: impl Fn(&Made, &Asked) -> Vec<u8> + Send + Sync + 'static) -> (Made, Server) {
    let made = large();
    let server = Server::start({
        let made = made.clone();
        move |asked| match is_layer(&made, asked) {
            true => answer(&made, asked),
            false => honest(&made, asked),
        }
    });
    (made, server)
}

fn read(server: &Server) -> std::io::Result<Vec<Vec<u8>>> {
    let source =
        open(&format!("{}/x", server.host()), &settings([local(server)])).expect("a source");
    let image = source.image(Arch::X86_64).expect("an image");
    layers(&source, &image)
}

#[test]
fn a_download_that_breaks_goes_on_where_it_broke() {
    // Each connection ends after 700,000 bytes.
    let (made, server) = with_layer(|made, asked| {
        let mut whole = honest(made, asked);
        whole.truncate(700_000);
        whole
    });
    assert!(read(&server).expect("the layer") == made.layers);
    let ranges: Vec<String> =
        server.asked().iter().filter_map(|it| it.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges.len(), 5, "{ranges:?}");
    assert!(ranges[0].starts_with("bytes=6") || ranges[0].starts_with("bytes=7"), "{ranges:?}");
}

#[test]
fn a_server_without_ranges_is_read_from_the_beginning_again() {
    let count = AtomicUsize::new(0);
    let (made, server) = with_layer(move |made, _| {
        let mut whole = answer(200, &[], &made.layers[0]);
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            whole.truncate(700_000);
        }
        whole
    });
    assert!(read(&server).expect("the layer") == made.layers);
}

#[test]
fn a_download_that_does_not_come_forward_ends() {
    let (_, server) = with_layer(|_, asked| match asked.header("range") {
        None => [&head(200, &[("content-length", "4000000")])[..], b"\r\nabc"].concat(),
        Some(_) => Vec::new(),
    });
    let error = read(&server).expect_err("it cannot go on");
    assert!(error.to_string().contains("broke"), "{error}");
    assert!(server.connections() < 20);
}

#[test]
fn the_rest_must_be_the_rest() {
    let (_, server) = with_layer(|made, asked| match asked.header("range") {
        None => {
            let mut whole = honest(made, asked);
            whole.truncate(100_000);
            whole
        }
        Some(_) => answer(206, &[("content-range", "bytes 0-3999999/4000000")], &made.layers[0]),
    });
    let error = read(&server).expect_err("another part");
    assert!(error.to_string().contains("was asked for bytes"), "{error}");
    // Other bytes than those that were named are wrong at the end, however they came.
    let (_, server) = with_layer(|made, asked| match asked.header("range") {
        None => {
            let mut whole = honest(made, asked);
            whole.truncate(100_000);
            whole
        }
        Some(_) => {
            let mut rest = honest(made, asked);
            if let Some(last) = rest.last_mut() {
                *last ^= 1;
            }
            rest
        }
    });
    let error = read(&server).expect_err("another digest");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
}

#[test]
fn case_27_a_layer_is_not_read_beyond_its_length() {
    for length in [3_999_999_usize, 4_000_001, 1 << 40] {
        let (_, server) = with_layer(move |_, _| {
            let length = length.to_string();
            [&head(200, &[("content-length", &length)])[..], b"\r\n"].concat()
        });
        let error = read(&server).expect_err("another length");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    }
    // One that does not say how long it is.
    let (_, server) =
        with_layer(|made, _| [&head(200, &[])[..], b"\r\n", &made.layers[0], b"and more"].concat());
    let error = read(&server).expect_err("longer");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
}

#[test]
fn a_registry_that_is_busy_is_asked_again_and_not_for_ever() {
    let count = AtomicUsize::new(0);
    let made = Made::image("amd64", &[b"x"]);
    let server = Server::start(move |asked| match count.fetch_add(1, Ordering::SeqCst) {
        0 => answer(503, &[("retry-after", "0")], b""),
        1 => answer(429, &[], b""),
        2 => Vec::new(),
        _ => honest(&made, asked),
    });
    image(&format!("{}/x", server.host()), &settings([local(&server)])).expect("an image");
    let server = Server::start(|_| answer(503, &[("retry-after", "86400")], b""));
    let found = image(&format!("{}/x", server.host()), &settings([local(&server)]));
    let is_status = matches!(&found, Err(SourceError::Registry(why)) if matches!(**why, RegistryError::Status { .. }));
    assert!(is_status, "{found:?}");
    let server = Server::start(|_| answer(500, &[], b""));
    image(&format!("{}/x", server.host()), &settings([local(&server)])).expect_err("never");
    assert_eq!(server.connections(), 5);
    let server = Server::start(|_| answer(404, &[], b""));
    image(&format!("{}/x", server.host()), &settings([local(&server)])).expect_err("not there");
    assert_eq!(server.connections(), 1);
}

#[test]
fn no_server_can_hold_us() {
    // It takes connections and says nothing; or says a byte at a time.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let mut given = settings([pe_image::source::registry::policy::Rule::local(authority(&host))]);
    given.waits.answer = Duration::from_millis(50);
    given.waits.connect = Duration::from_millis(50);
    given.waits.all = Duration::from_millis(400);
    let found = image(&format!("{host}/x"), &given);
    let is_late = matches!(&found, Err(SourceError::Registry(why))
        if matches!(**why, RegistryError::Silent { .. } | RegistryError::Late { .. }));
    assert!(is_late, "{found:?}");
    let (_, server) = with_layer(|_, asked| match asked.header("range") {
        None => [&head(200, &[("content-length", "4000000")])[..], b"\r\nabc"].concat(),
        Some(range) => {
            let from: u64 = range[6..range.len() - 1].parse().expect("a number");
            let range = format!("bytes {from}-3999999/4000000");
            [&head(206, &[("content-range", &range)])[..], b"\r\nx"].concat()
        }
    });
    let mut given = settings([local(&server)]);
    given.waits.all = Duration::from_secs(10);
    given.waits.again = Duration::from_millis(50);
    let source = open(&format!("{}/x", server.host()), &given).expect("a source");
    let image = source.image(Arch::X86_64).expect("an image");
    layers(&source, &image).expect_err("a byte at a time is not enough");
}

#[test]
fn a_reader_that_is_dropped_ends_its_download() {
    let (made, server) = with_layer(honest);
    let source =
        open(&format!("{}/x", server.host()), &settings([local(&server)])).expect("a source");
    let image = source.image(Arch::X86_64).expect("an image");
    let mut first = [0; 10];
    source.open(&image.layers[0]).expect("a layer").read_exact(&mut first).expect("its beginning");
    assert_eq!(first, made.layers[0][..10]);
    // Another one begins anew, and is whole.
    assert!(layers(&source, &image).expect("the layer") == made.layers);
}

#[test]
fn a_token_that_is_refused_is_replaced() {
    let made = Made::image("amd64", &[b"x", b"y"]);
    let count = AtomicUsize::new(0);
    let server = Server::start(move |asked| {
        if asked.path.starts_with("/token") {
            let number = count.fetch_add(1, Ordering::SeqCst);
            return answer(
                200,
                &[],
                format!(r#"{{"token":"t{number}","expires_in":60}}"#).as_bytes(),
            );
        }
        let host = asked.header("host").unwrap_or_default().to_owned();
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=x");
        // The first token is taken for the manifest and then no longer: who asks gets another.
        match asked.header("authorization") {
            Some(_) if asked.path.contains("/manifests/") => honest(&made, asked),
            Some(token) if token != "Bearer t0" => honest(&made, asked),
            _ => answer(401, &[("www-authenticate", &challenge)], b""),
        }
    });
    let source =
        open(&format!("{}/x", server.host()), &settings([local(&server)])).expect("a source");
    let image = source.image(Arch::X86_64).expect("an image");
    assert_eq!(layers(&source, &image).expect("layers"), [b"x", b"y"]);
    let tokens = server.asked().iter().filter(|asked| asked.path.starts_with("/token")).count();
    assert_eq!(tokens, 2);
}
