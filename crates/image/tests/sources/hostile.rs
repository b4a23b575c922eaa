//! Registries that want to be led elsewhere: threat cases 24 to 27, over real sockets.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pe_image::reference::Authority;
use pe_image::source::registry::addresses::Class;
use pe_image::source::registry::credentials::Credentials;
use pe_image::source::registry::policy::{Policy, Rule};
use pe_image::source::registry::{
    BadAuth, BadTurn, ConnectError, RegistryError, RegistrySource, Resolve, Settings, Waits,
};
use pe_image::{OciImage, Source, SourceError};
use pe_proto::{Arch, Digest};
use serde_json::json;

use super::files::layers;
use super::made::{INDEX, Made, descriptor, index, text};
use super::server::{Server, answer, head, honest};

pub(crate) fn authority(text: &str) -> Authority {
    text.parse().expect("an authority")
}

/// Settings for these rules, with the patience of a test.
pub(crate) fn settings(rules: impl IntoIterator<Item = Rule>) -> Settings {
    let mut policy = Policy::default();
    rules.into_iter().for_each(|rule| policy.allow(rule));
    let waits = Waits {
        connect: Duration::from_secs(10),
        answer: Duration::from_secs(10),
        silence: Duration::from_secs(10),
        all: Duration::from_secs(60),
        again: Duration::from_millis(1),
    };
    Settings { waits, ..Settings::new(policy) }
}

pub(crate) fn open(reference: &str, settings: &Settings) -> Result<RegistrySource, SourceError> {
    RegistrySource::new(reference.parse().expect("a reference"), settings)
}

pub(crate) fn image(reference: &str, settings: &Settings) -> Result<OciImage, SourceError> {
    open(reference, settings)?.image(Arch::X86_64)
}

/// The registry's error, of those that are one.
fn refused(found: Result<OciImage, SourceError>) -> RegistryError {
    match found {
        Err(SourceError::Registry(why)) => *why,
        other => panic!("{other:?}"),
    }
}

/// The rule for a server, in clear text on this machine.
pub(crate) fn local(server: &Server) -> Rule {
    Rule::local(authority(&server.host()))
}

/// A resolver with its own mind.
#[derive(Debug, Default)]
struct Names {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Names {
    /// Each look-up gets the next answer, and the last one for ever.
    fn of(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |text: &&str| text.parse().expect("an address");
        let answers = answers.iter().rev().map(|list| list.iter().map(parse).collect()).collect();
        Arc::new(Self { answers: Mutex::new(answers), asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Names {
    fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().expect("no panic");
        let next = if answers.len() > 1 { answers.pop() } else { answers.last().cloned() };
        next.ok_or_else(|| io::Error::other("no such name"))
    }
}

#[test]
fn case_24_a_registry_that_no_rule_names_is_not_asked() {
    let server = Server::of(Made::image("amd64", &[b"x"]));
    let host = server.host();
    let mut settings = settings([Rule::local(authority("127.0.0.1:1"))]);
    let names = Names::of(&[&["127.0.0.1"]]);
    settings.resolver = Arc::clone(&names) as Arc<dyn Resolve>;
    for reference in [format!("{host}/x"), "gcc".to_owned(), "registry.example/x".to_owned()] {
        let why = refused(image(&reference, &settings));
        assert!(matches!(why, RegistryError::NotAllowed(_)), "{why}");
    }
    assert_eq!((server.connections(), names.asked.load(Ordering::SeqCst)), (0, 0));
}

#[test]
fn case_24_no_connection_is_made_to_an_address_that_is_not_public() {
    let server = Server::of(Made::image("amd64", &[b"x"]));
    let port = server.address.port();
    let check = |host: &str, answers: &[&str], expected: Class| {
        let registry = format!("{host}:{port}");
        let mut settings = settings([Rule::public(authority(&registry))]);
        settings.resolver = Names::of(&[answers]);
        match refused(image(&format!("{registry}/x"), &settings)) {
            RegistryError::Connect { why, .. } => match &*why {
                ConnectError::Address { class, .. } => assert_eq!(*class, expected, "{host}"),
                other => panic!("{host}: {other}"),
            },
            other => panic!("{host}: {other}"),
        }
    };
    check("127.0.0.1", &[], Class::Loopback);
    check("[::1]", &[], Class::Loopback);
    check("[::ffff:127.0.0.1]", &[], Class::Loopback);
    check("[64:ff9b::127.0.0.1]", &[], Class::Loopback);
    check("169.254.169.254", &[], Class::LinkLocal);
    check("10.0.0.1", &[], Class::Private);
    check("localhost", &["127.0.0.1", "::1"], Class::Loopback);
    check("metadata.google.internal", &["169.254.169.254"], Class::LinkLocal);
    // A name with a good and a bad address is not tried at the good one.
    check("rebinding.example", &["192.0.1.1", "127.0.0.1"], Class::Loopback);
    check("many.example", &["2002:7f00:1::1"], Class::Loopback);
    assert_eq!(server.connections(), 0);
    // Being private does not make a registry anybody's neighbour.
    let mut settings = settings([Rule::local(authority("169.254.169.254:80"))]);
    settings.resolver = Names::of(&[]);
    let why = refused(image("169.254.169.254:80/x", &settings));
    assert!(matches!(why, RegistryError::Connect { .. }), "{why}");
}

#[test]
fn case_24_a_name_is_looked_up_once_for_a_connection_and_each_time_looked_at() {
    let server = Server::of(Made::image("amd64", &[b"x"]));
    let registry = format!("rebinding.example:{}", server.address.port());
    let mut settings = settings([Rule::local(authority(&registry))]);
    let names = Names::of(&[&["127.0.0.1"], &["127.0.0.1"], &["169.254.169.254"]]);
    settings.resolver = Arc::clone(&names) as Arc<dyn Resolve>;
    let source = open(&format!("{registry}/x"), &settings).expect("a source");
    let image = source.image(Arch::X86_64).expect("an image");
    assert_eq!((server.connections(), names.asked.load(Ordering::SeqCst)), (2, 2));
    let error = layers(&source, &image).expect_err("the name has changed its meaning");
    assert!(error.to_string().contains("169.254.169.254"), "{error}");
    assert_eq!((server.connections(), names.asked.load(Ordering::SeqCst)), (2, 3));
}

#[test]
fn case_24_redirects_lead_to_no_address_that_is_not_public() {
    let bystander = Server::of(Made::image("amd64", &[b"x"]));
    let port = bystander.address.port();
    for (location, is_turn) in [
        (format!("https://127.0.0.1:{port}/x"), false),
        (format!("https://[::ffff:127.0.0.1]:{port}/x"), false),
        ("https://169.254.169.254/latest".to_owned(), false),
        (format!("https://bystander.example:{port}/x"), false),
        (format!("http://127.0.0.1:{port}/x"), true),
        ("http://169.254.169.254/latest".to_owned(), true),
        (format!("https://2130706433:{port}/x"), true),
        (format!("https://user@127.0.0.1:{port}/x"), true),
        (format!("//127.0.0.1:{port}/x"), true),
        ("file:///etc/passwd".to_owned(), true),
        (String::new(), true),
    ] {
        let to = location.clone();
        let server = Server::start(move |_| answer(307, &[("location", &to)], b""));
        let mut settings = settings([local(&server)]);
        settings.resolver = Names::of(&[&["127.0.0.1"]]);
        match refused(image(&format!("{}/x", server.host()), &settings)) {
            RegistryError::Connect { why, .. } => {
                assert!(
                    matches!(&*why, ConnectError::Address { .. }) && !is_turn,
                    "{location}: {why}"
                );
            }
            RegistryError::Led { why, .. } => assert!(is_turn, "{location}: {why}"),
            other => panic!("{location}: {other}"),
        }
        assert_eq!(server.connections(), 1, "{location}");
    }
    assert_eq!(bystander.connections(), 0);
}

#[test]
fn redirects_end() {
    let server = Server::start(|asked| answer(302, &[("location", &asked.path)], b""));
    match refused(image(&format!("{}/x", server.host()), &settings([local(&server)]))) {
        RegistryError::Led { why: BadTurn::Often, .. } => assert_eq!(server.connections(), 6),
        other => panic!("{other}"),
    }
}

fn secret(server: &Server) -> Credentials {
    let auths = json!({"auths": {server.host(): {"username": "me", "password": "secret"}}});
    Credentials::read(&text(&auths)).expect("credentials")
}

#[test]
fn case_25_a_realm_elsewhere_gets_neither_credentials_nor_a_request() {
    let thief = Server::start(|_| answer(200, &[], br#"{"token":"x"}"#));
    let port = thief.address.port();
    for realm in [
        format!("http://{}/token", thief.host()),
        format!("http://localhost:{port}/token"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://auth.example/token".to_owned(),
        "file:///etc/passwd".to_owned(),
        "/token".to_owned(),
    ] {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"x\"");
        let server = Server::start(move |_| answer(401, &[("www-authenticate", &challenge)], b""));
        let mut settings = settings([local(&server)]);
        settings.credentials = secret(&server);
        settings.resolver = Names::of(&[&["127.0.0.1"]]);
        match refused(image(&format!("{}/x", server.host()), &settings)) {
            RegistryError::Led { why: BadTurn::Realm | BadTurn::Url, .. } => {}
            other => panic!("{realm}: {other}"),
        }
        assert_eq!(server.connections(), 1);
        assert_eq!(server.asked()[0].header("authorization"), None);
    }
    assert_eq!(thief.connections(), 0);
}

#[test]
fn case_25_a_realm_of_the_rule_must_be_public_too_and_does_not_send_us_on() {
    // A public registry's realm at a private address.
    let realm = Server::start(|_| answer(302, &[("location", "http://169.254.169.254/")], b""));
    let challenge = format!("Bearer realm=\"http://{}/token\"", realm.host());
    let server = Server::start(move |_| answer(401, &[("www-authenticate", &challenge)], b""));
    let mut given = settings([local(&server).with_realm(authority(&realm.host()))]);
    given.credentials = secret(&server);
    match refused(image(&format!("{}/x", server.host()), &given)) {
        RegistryError::Led { why: BadTurn::TokenService, .. } => {}
        other => panic!("{other}"),
    }
    assert_eq!(realm.connections(), 1);
}

#[test]
fn case_25_credentials_are_shown_to_the_registry_and_its_realm_only() {
    let made = Made::image("amd64", &[b"layer"]);
    let storage = Server::of(made.clone());
    let realm = Server::start(|_| {
        answer(200, &[], br#"{"access_token":"good","expires_in":3600,"more":[]}"#)
    });
    let challenge = format!(
        "Bearer realm=\"http://{}/token?a=b\",service=\"it & me\",scope=\"*\"",
        realm.host()
    );
    let to = storage.host();
    let server = Server::start(move |asked| {
        if asked.header("authorization") != Some("Bearer good") {
            return answer(401, &[("www-authenticate", &challenge)], b"");
        }
        match asked.path.contains("/blobs/") {
            true => {
                let location = format!("http://{to}{}?signature=x", asked.path);
                answer(307, &[("location", &location.replace("?signature=x", ""))], b"")
            }
            false => honest(&made, asked),
        }
    });
    let rule = local(&server)
        .with_realm(authority(&realm.host()))
        .with_storage(authority(&storage.host()));
    let mut settings = settings([rule]);
    settings.credentials = secret(&server);
    let source = open(&format!("{}/team/x:1", server.host()), &settings).expect("a source");
    let image = source.image(Arch::X86_64).expect("an image");
    assert_eq!(layers(&source, &image).expect("layers"), [b"layer"]);
    // The user and the password went to the realm, once, for reading this repository.
    let asked = realm.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), Some("Basic bWU6c2VjcmV0"));
    let query = "/token?a=b&scope=repository%3Ateam%2Fx%3Apull&service=it%20%26%20me";
    assert_eq!(asked[0].path, query);
    assert!(storage.asked().iter().all(|asked| asked.header("authorization").is_none()));
    assert_eq!(storage.connections(), 2);
    let shown: Vec<_> =
        server.asked().iter().map(|it| it.header("authorization").map(str::to_owned)).collect();
    assert_eq!(shown[0], None);
    assert!(shown[1..].iter().all(|shown| shown.as_deref() == Some("Bearer good")), "{shown:?}");
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let check = |challenge: &'static str, known: bool, wanted: fn(&BadAuth) -> bool| {
        let server = Server::start(move |_| answer(401, &[("www-authenticate", challenge)], b""));
        let mut settings = settings([local(&server)]);
        if known {
            settings.credentials = secret(&server);
        }
        match refused(image(&format!("{}/x", server.host()), &settings)) {
            RegistryError::Unauthorized { why, .. } => assert!(wanted(&why), "{why}"),
            other => panic!("{other}"),
        }
        assert!(server.connections() <= 2);
    };
    check("Basic realm=\"x\"", false, |why| matches!(why, BadAuth::Anonymous));
    check("Basic realm=\"x\"", true, |why| matches!(why, BadAuth::Denied(_)));
    check("Negotiate", true, |why| matches!(why, BadAuth::Challenge(_)));
}

#[test]
fn case_26_places_that_a_manifest_names_are_not_asked() {
    let elsewhere = Server::of(Made::image("amd64", &[b"x"]));
    let url = format!("http://{}/layer", elsewhere.host());
    let foreign = Made::image("amd64", &[b"x"]).with(|manifest| {
        manifest["layers"][0]["urls"] = json!([url]);
    });
    let server = Server::of(foreign);
    let found = image(&format!("{}/x", server.host()), &settings([local(&server)]));
    assert!(matches!(found, Err(SourceError::Document { .. })), "{found:?}");
    assert_eq!((elsewhere.connections(), server.connections()), (0, 1));
}

#[test]
fn case_27_what_a_registry_says_must_agree() {
    let reference = |server: &Server| format!("{}/x", server.host());
    let ask = |server: &Server| image(&reference(server), &settings([local(server)]));
    let made = Made::image("amd64", &[b"x"]);
    // A manifest that is served as an index, and one that is both.
    let bytes = made.manifest.clone();
    let server = Server::start(move |_| answer(200, &[("content-type", INDEX)], &bytes));
    let found = ask(&server);
    assert!(matches!(found, Err(SourceError::Document { .. })), "{found:?}");
    let server = Server::of(made.clone().with(|manifest| manifest["manifests"] = json!([])));
    let found = ask(&server);
    assert!(matches!(found, Err(SourceError::Document { .. })), "{found:?}");
    // Another manifest than the reference names, and than the registry says it gives.
    let server = Server::of(made.clone());
    let named = format!("{}/x@{}", server.host(), Digest::of(b"another"));
    let why = refused(image(&named, &settings([local(&server)])));
    assert!(matches!(why, RegistryError::OtherManifest { .. }), "{why}");
    let (bytes, digest) = (made.manifest.clone(), Digest::of(b"another").to_string());
    let server = Server::start(move |_| answer(200, &[("docker-content-digest", &digest)], &bytes));
    let why = refused(ask(&server));
    assert!(matches!(why, RegistryError::OtherManifest { .. }), "{why}");
    // An index that names a manifest by a digest that it does not have.
    let mut lying = made.clone();
    let mut entry = descriptor(super::made::MANIFEST, &made.manifest);
    entry["digest"] = json!(Digest::of(b"another"));
    lying.blobs.insert(Digest::of(b"another"), made.manifest.iter().rev().copied().collect());
    lying.manifest = text(&index(vec![entry]));
    let server = Server::of(lying);
    let found = ask(&server);
    assert!(matches!(found, Err(SourceError::Document { .. })), "{found:?}");
}

#[test]
fn case_27_no_document_is_read_beyond_its_limit() {
    // It says it is short, says nothing, or never ends: no more than the limit is taken.
    let endless = |with_length: bool| {
        move |_: &super::server::Asked| {
            let mut bytes = head(200, &[("content-type", super::made::MANIFEST)]);
            if with_length {
                bytes.extend_from_slice(b"content-length: 1099511627776\r\n");
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend(std::iter::repeat_n(b' ', 6 << 20));
            bytes
        }
    };
    for with_length in [true, false] {
        let server = Server::start(endless(with_length));
        let found = image(&format!("{}/x", server.host()), &settings([local(&server)]));
        match found {
            Err(SourceError::Limit { what: "bytes of a manifest", .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    // Headers have a limit of their own.
    let server = Server::start(|_| {
        let long = "x".repeat(1 << 20);
        answer(200, &[("x-long", &long)], b"{}")
    });
    let why = refused(image(&format!("{}/x", server.host()), &settings([local(&server)])));
    assert!(matches!(why, RegistryError::Answer { .. }), "{why}");
}
