//! Settings that are refused, and what is said about them.

use super::*;

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        files.write("catalogue.json", r#"{"version":1,"images":[]}"#);
        files
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn load(&self, toml: &str) -> Result<Config, String> {
        let catalogue = Some(self.dir.path().join("catalogue.json"));
        let file = self.write("lb.toml", toml);
        let flags = Overrides { catalogue, ..Overrides::default() };
        Config::load(Some(&file), flags).map_err(|bad| bad.to_string())
    }
}

#[test]
fn everything_has_a_default_but_the_catalogue() {
    let config = Files::new().load("").unwrap();
    assert_eq!(config.listen, [Listen::local(8080)]);
    assert_eq!(config.listen_workers, [Listen::local(8081)]);
    assert_eq!(config.listen_admin, [Listen::local(8082)]);
    assert_eq!(config.grants.wall_ms_default, 10_000);
    assert_eq!(config.terms.queue_jobs_max, 256);
    let bad = Config::load(None, Overrides::default()).unwrap_err();
    assert_eq!(bad.to_string(), "flags: catalogue: expected the path of a catalogue file");
}

#[test]
fn flags_go_before_the_file() {
    let files = Files::new();
    let file = files.write("lb.toml", "listen = \"127.0.0.1:1\"\nwall_ms_max = 1000\n");
    let flags = Overrides {
        listen: vec!["127.0.0.1:2".parse().unwrap()],
        catalogue: Some(files.dir.path().join("catalogue.json")),
        ..Overrides::default()
    };
    let config = Config::load(Some(&file), flags).unwrap();
    assert_eq!(config.listen, [Listen::local(2)]);
    assert_eq!((config.grants.wall_ms_max, config.grants.wall_ms_default), (1000, 1000));
}

#[test]
fn what_is_wrong_is_told_with_file_key_and_reason() {
    let files = Files::new();
    let check = |toml: &str, parts: &[&str]| {
        let said = files.load(toml).unwrap_err();
        for part in parts.iter().chain(&["lb.toml"]) {
            assert!(said.contains(part), "{toml}: {said}");
        }
    };
    check("lissten = 1", &["lissten", "unknown field"]);
    check("[queue]\njobs_maxx = 1", &["jobs_maxx", "unknown field"]);
    check("listen = \"nowhere\"", &["listen"]);
    check("wall_ms_max = 0", &["wall_ms_max", "expected 1 to 600000, got 0"]);
    check("wall_ms_max = -1", &["wall_ms_max"]);
    check("wall_ms_default = 70000", &["wall_ms_default", "wall_ms_max (60000)"]);
    check("[queue]\njobs_max = 0", &["queue.jobs_max", "expected 1 to 16384, got 0"]);
    check("[queue]\nwait_ms = 0", &["queue.wait_ms"]);
    check("[times]\npoll_ms = 50001", &["times.poll_ms", "at most 50000"]);
}

#[test]
fn a_bad_catalogue_or_token_is_refused() {
    let files = Files::new();
    let catalogue = |text: &str| {
        files.write("catalogue.json", text);
        let said = files.load("").unwrap_err();
        assert!(said.contains("catalogue.json"), "{said}");
        said
    };
    catalogue("{");
    assert!(catalogue(r#"{"version":2,"images":[]}"#).contains("version 1, got 2"));
    let image = r#"{"name":"a","tags":["1"],"title":"","description":"","platforms":[]}"#;
    let twice = format!(r#"{{"version":1,"images":[{image},{image}]}}"#);
    assert!(catalogue(&twice).contains("`a:1` is there twice"));

    let short = files.write("token", "short\n");
    assert!(token(&short).unwrap_err().to_string().contains("at least 16"));
    let long = files.write("token", "0123456789abcdef\n");
    assert_eq!(token(&long).unwrap(), Digest::of(b"0123456789abcdef"));
}
