//! Settings that are refused, and what is said about them.

use super::*;

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        files.write("catalogue.json", r#"{"version":2,"images":[]}"#);
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
    assert_eq!((config.workers.confirm.percent, config.workers.confirm.runs_max), (10, 4));
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
    check("[workers]\nconfirm_percent = 101", &["workers.confirm_percent", "0 to 100, got 101"]);
    check("[workers]\nconfirm_runs_max = 0", &["workers.confirm_runs_max", "1 to 64, got 0"]);
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
    assert!(catalogue(r#"{"version":1,"images":[]}"#).contains("version 2, got 1"));
    let image =
        r#"{"name":"a","tags":["1"],"title":"","description":"","platforms":[],"playground":null}"#;
    let twice = format!(r#"{{"version":2,"images":[{image},{image}]}}"#);
    assert!(catalogue(&twice).contains("`a:1` is there twice"));
    let flaw = image.replace("null", r#"{"command":["{x}"],"wall_ms":0}"#);
    let said = catalogue(&format!(r#"{{"version":2,"images":[{flaw}]}}"#));
    assert!(said.contains("image `a`: playground/wall_ms: expected 1"), "{said}");
    assert!(said.contains("and 1 more"), "{said}");
    let platform = r#"{"arch":"x86_64","digest":"DIGEST","pack":{"digest":"DIGEST","bytes":1,
        "prefix":"../a"},"config":{"entrypoint":[],"cmd":[],"env":[],"workdir":"","user":""}}"#;
    let platform = platform.replace("DIGEST", &"ab".repeat(32));
    let image = image.replace("[],", &format!("[{platform}],"));
    let said = catalogue(&format!(r#"{{"version":2,"images":[{image}]}}"#));
    assert!(said.contains("image `a`: pack prefix `../a`: path has a"), "{said}");

    let short = files.write("token", "short\n");
    assert!(token(&short).unwrap_err().to_string().contains("at least 16"));
    let long = files.write("token", "0123456789abcdef\n");
    assert_eq!(token(&long).unwrap(), Digest::of(b"0123456789abcdef"));
}

#[test]
fn classes_have_their_defaults_and_nothing_in_them_is_zero() {
    let files = Files::new();
    let class = |config: &Config, name: &str| {
        let found = config.admission.classes.iter().find(|class| class.name == name);
        crate::core::admission::class::Class::clone(found.expect("a class"))
    };
    let plain = files.load("").unwrap();
    let (anonymous, local) = (class(&plain, "anonymous"), class(&plain, "local"));
    assert!(anonymous.requests.is_some() && anonymous.runs.is_some() && anonymous.cpu.is_some());
    assert!(local.requests.is_none() && local.runs.is_none() && local.cpu.is_none());
    assert_eq!((anonymous.queued_max, local.queued_max), (32, usize::MAX));
    let set = "[admission.classes.anonymous]\nqueue_jobs_max = 5\n\
               [admission.classes.gold]\npriority = 4\nruns_per_minute = 600\n";
    let set = files.load(set).unwrap();
    assert_eq!(class(&set, "anonymous").queued_max, 5);
    assert_eq!(class(&set, "anonymous").cpu, anonymous.cpu);
    let gold = class(&set, "gold");
    assert!(gold.priority.get() == 4 && gold.runs.is_some() && gold.cpu.is_none());
    let check = |toml: &str, key: &str| {
        let said = files.load(toml).unwrap_err();
        assert!(said.contains("lb.toml") && said.contains(key), "{toml}: {said}");
    };
    check("[admission]\ncpu_window_s = 0", "cpu_window_s: expected 1 to 1000000, got 0");
    check("[admission]\nimage_cpu_s = 2000000", "image_cpu_s: expected 1 to 1000000");
    check("[admission]\nclient_max = 1", "client_max");
    let of_gold = |line: &str| format!("[admission.classes.gold]\n{line}");
    check(&of_gold("cpu_s = 0"), "classes.gold.cpu_s: expected 1 to 1000000, got 0");
    check(&of_gold("cpu_s = -1"), "cpu_s");
    check(&of_gold("priority = 0"), "classes.gold.priority: expected 1 to 255, got 0");
    check(&of_gold("wall_ms_max = 0"), "classes.gold.wall_ms_max: expected 1 to 600000, got 0");
    check(&of_gold("runs_burst = 3"), "classes.gold.runs_burst: expected runs_per_minute");
    check(&of_gold("cpu_ms = 3"), "cpu_ms");
    check("[admission.classes.\"a b\"]\n", "classes.a b: expected a name");
    check("[memory]\nbodies_bytes_max = 1000", "memory.bodies_bytes_max: expected at least");
}

#[test]
fn a_file_of_keys_is_read_and_what_is_wrong_with_it_is_told_with_its_line() {
    let files = Files::new();
    let load = |keys: &str| {
        let path = files.write("keys", keys);
        files.load(&format!("[admission]\nkeys_file = {path:?}\n[admission.classes.gold]\n"))
    };
    let digest = Digest::of(b"secret");
    assert_eq!(load(&format!("ci gold {digest}\n")).unwrap().admission.keys.len(), 1);
    let said = load(&format!("\nci lead {digest}\n")).unwrap_err();
    assert!(said.contains("keys: line 2: there is no class `lead`"), "{said}");
    let said = files.load("[admission]\nkeys_file = \"/nowhere/keys\"").unwrap_err();
    assert!(said.contains("/nowhere/keys: cannot be read"), "{said}");
}
