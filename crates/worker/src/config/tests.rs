use super::*;

fn load(text: &str, flags: RawConfig) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("worker.toml");
    std::fs::write(&path, text).expect("write");
    Config::load(Some(&path), flags, 4)
}

fn dirs() -> RawConfig {
    RawConfig { images: Some("i".into()), vm_assets: Some("v".into()), ..RawConfig::default() }
}

fn check_refused(text: &str, expected: &[&str]) {
    let error = crate::chain(&load(text, dirs()).expect_err("refused"));
    for part in expected {
        assert!(error.contains(part), "`{error}` should contain `{part}`");
    }
    assert!(error.contains("worker.toml"), "{error}");
}

#[test]
fn flags_win_over_the_file_and_the_rest_has_defaults() {
    let flags = RawConfig { slots: Some(7), ..dirs() };
    let config = load("slots = 2\nname = \"w\"\nlb = \"http://lb:81\"", flags).expect("good");
    assert_eq!((config.slots, config.name.as_deref()), (7, Some("w")));
    assert_eq!(config.lb.map(|lb| lb.to_string()).as_deref(), Some("http://lb:81"));
    assert_eq!(config.vm_user, "nobody");
    assert_eq!(config.accel, AccelChoice::Auto);
}

#[test]
fn slots_follow_the_cores() {
    assert_eq!(load("", dirs()).expect("good").slots, 3);
    assert_eq!(load("spare_cores = 9", dirs()).expect("good").slots, 1);
}

#[test]
fn a_wrong_setting_is_named_with_its_file() {
    check_refused("slots = 0", &["slots", "from 1 to"]);
    check_refused("memory_mib = 1", &["memory_mib", "from 128"]);
    check_refused("slotz = 1", &["slotz", "unknown field"]);
    check_refused("slots = \"x\"", &["line 1", "expected"]);
    check_refused("lb = \"ftp://x:1\"", &["lb", "http://host:port"]);
    check_refused(
        "coldplug = [\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]",
        &["coldplug"],
    );
    check_refused("vmm = \"cloud-hypervisor\"\naccel = \"tcg\"", &["vmm", "cannot emulate"]);
    check_refused("restore = \"always\"", &["line 1", "expected"]);
    check_refused("boot_ms = 0", &["boot_ms", "from 1"]);
    check_refused("[labels]\n\"\" = \"x\"", &["labels"]);
}

#[test]
fn what_is_missing_is_named() {
    let error = load("", RawConfig::default()).expect_err("refused").to_string();
    assert!(error.contains("images") && error.contains("not set"), "{error}");
}

#[test]
fn the_sample_in_the_documentation_is_a_config() {
    let sample = include_str!("../../worker.example.toml");
    let config = load(sample, RawConfig::default()).expect("good");
    assert_eq!(config.slots, 4);
}

/// Its fields are those that the complaint about one that there is not lists.
#[test]
fn the_sample_has_every_field() {
    let told = load("nobody_has_this = 1", RawConfig::default()).expect_err("refused").to_string();
    let (_, fields) = told.split_once("expected one of ").expect("a list");
    let fields: Vec<&str> = fields.split('`').skip(1).step_by(2).collect();
    assert!(fields.len() > 30, "{told}");
    let sample = include_str!("../../worker.example.toml");
    let is_there = |field: &str| {
        sample.lines().any(|line| {
            let line = line.strip_prefix('#').unwrap_or(line).trim_start();
            line == format!("[{field}]") || line.starts_with(&format!("{field} = "))
        })
    };
    let missing: Vec<&str> = fields.into_iter().filter(|field| !is_there(field)).collect();
    assert_eq!(missing, [""; 0], "worker.example.toml lacks these");
}

#[test]
fn configs_in_the_documentation_are_configs() {
    let pages =
        [include_str!("../../../../deploy/README.md"), include_str!("../../../../docs/doctor.md")];
    for page in pages {
        let samples: Vec<&str> =
            page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        // Others on these pages are the load balancer's.
        let of_workers: Vec<&str> =
            samples.into_iter().filter(|sample| sample.contains("public = true")).collect();
        assert!(!of_workers.is_empty());
        for sample in of_workers {
            assert!(load(sample, dirs()).expect("good").public);
        }
    }
}

#[test]
fn risks_are_accepted_by_name() {
    let config = load("public = true\naccept = [\"smt\", \"swap\"]", dirs()).expect("good");
    assert_eq!(config.accept, [Risk::Smt, Risk::Swap]);
    check_refused("accept = [\"everything\"]", &["accept", "ksm"]);
}
