//! `[admission]`: what callers may have, and who has a key.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroU32};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pe_proto::limits::WALL_MS_MAX;
use serde::Deserialize;

use super::{BadConfig, read};
use crate::core::admission::class::Class;
use crate::core::admission::keys::Keys;
use crate::core::admission::limiter::Rate;
use crate::core::admission::{ANONYMOUS, LOCAL, Policy};
use crate::limits;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Admission {
    keys_file: Option<PathBuf>,
    clients_max: Option<u32>,
    cpu_window_s: Option<u32>,
    cpu_reserve_ms: Option<u32>,
    network_cpu_s: Option<u32>,
    image_cpu_s: Option<u32>,
    classes: BTreeMap<String, RawClass>,
}

/// A number that is absent is the default in class `anonymous`, and no limit in others.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawClass {
    requests_per_s: Option<u32>,
    requests_burst: Option<u32>,
    runs_per_minute: Option<u32>,
    runs_burst: Option<u32>,
    share_kib_per_minute: Option<u32>,
    share_kib_burst: Option<u32>,
    cpu_s: Option<u32>,
    wall_ms_max: Option<u64>,
    queue_jobs_max: Option<u32>,
    priority: Option<u8>,
}

/// What is wrong with a value: its key, and why.
type Wrong = (String, String);

impl Admission {
    /// Checks everything, and reads the keys.
    pub(super) fn check(self, origin: &str) -> Result<Policy, BadConfig> {
        let keys_file = self.keys_file.clone();
        let mut policy = self.policy().map_err(|(key, problem)| BadConfig::Value {
            origin: origin.to_owned(),
            key: "admission",
            problem: format!("{key}: {problem}"),
        })?;
        if let Some(file) = keys_file {
            let is_class = |name: &str| policy.classes.iter().any(|class| class.name == name);
            let keys = Keys::parse(&read(&file)?, is_class);
            policy.keys = keys.map_err(|bad| BadConfig::Syntax {
                file: file.clone(),
                problem: bad.to_string(),
            })?;
        }
        Ok(policy)
    }

    fn policy(self) -> Result<Policy, Wrong> {
        let count = |key: &str, given: Option<u32>, default: u32| -> Result<NonZeroU32, Wrong> {
            let given = given.unwrap_or(default);
            number(key, given)
        };
        let window = count("cpu_window_s", self.cpu_window_s, seconds(limits::CPU_WINDOW))?;
        let window = Duration::from_secs(window.get().into());
        let reserve = count("cpu_reserve_ms", self.cpu_reserve_ms, millis(limits::CPU_RESERVE))?;
        let network = count("network_cpu_s", self.network_cpu_s, limits::NETWORK_CPU_S)?;
        let image = count("image_cpu_s", self.image_cpu_s, limits::IMAGE_CPU_S)?;
        let clients_default = u32::try_from(limits::CLIENTS_MAX).unwrap_or(u32::MAX);
        let clients_max = count("clients_max", self.clients_max, clients_default)?;
        let mut raw = self.classes;
        for name in [ANONYMOUS, LOCAL] {
            raw.entry(name.to_owned()).or_default();
        }
        if raw.len() > limits::CLASSES_MAX {
            let problem = format!("expected at most {} classes", limits::CLASSES_MAX);
            return Err(("classes".to_owned(), problem));
        }
        let mut classes = Vec::new();
        for (name, raw) in raw {
            classes.push(Arc::new(raw.check(name, window)?));
        }
        Ok(Policy {
            classes,
            keys: Keys::default(),
            network_cpu: Some(cpu_rate(network, window)),
            image_cpu: Some(cpu_rate(image, window)),
            reserve: Duration::from_millis(reserve.get().into()),
            clients_max: usize::try_from(clients_max.get()).unwrap_or(usize::MAX),
        })
    }
}

impl RawClass {
    fn check(self, name: String, window: Duration) -> Result<Class, Wrong> {
        let is_anonymous = name == ANONYMOUS;
        let path = |key: &str| format!("classes.{name}.{key}");
        let limit = |key: &str, given: Option<u32>, default: u32| {
            let given = given.or(is_anonymous.then_some(default));
            given.map(|given| number(&path(key), given)).transpose()
        };
        let rate = |of: [&str; 2], given: [Option<u32>; 2], defaults: [u32; 2], per: Duration| {
            let [pace_key, burst_key] = of;
            let [pace, burst] = given;
            let [pace_default, burst_default] = defaults;
            let pace = limit(pace_key, pace, pace_default)?;
            let burst = limit(burst_key, burst, burst_default)?;
            match (pace, burst) {
                (Some(pace), burst) => {
                    Ok(Some(Rate::new(pace, per).with_burst(burst.unwrap_or(pace))))
                }
                (None, None) => Ok(None),
                (None, Some(_)) => Err((path(burst_key), format!("expected {pace_key} beside it"))),
            }
        };
        let requests = rate(
            ["requests_per_s", "requests_burst"],
            [self.requests_per_s, self.requests_burst],
            [limits::REQUESTS_PER_S, limits::REQUESTS_BURST],
            Duration::from_secs(1),
        )?;
        let runs = rate(
            ["runs_per_minute", "runs_burst"],
            [self.runs_per_minute, self.runs_burst],
            [limits::RUNS_PER_MINUTE, limits::RUNS_BURST],
            Duration::from_secs(60),
        )?;
        let shares = rate(
            ["share_kib_per_minute", "share_kib_burst"],
            [self.share_kib_per_minute, self.share_kib_burst],
            [limits::SHARE_KIB_PER_MINUTE, limits::SHARE_KIB_BURST],
            Duration::from_secs(60),
        )?;
        let cpu = limit("cpu_s", self.cpu_s, limits::CLIENT_CPU_S)?;
        let queued_default = u32::try_from(limits::CLIENT_QUEUE_JOBS_MAX).unwrap_or(u32::MAX);
        let queued_max = limit("queue_jobs_max", self.queue_jobs_max, queued_default)?;
        if let Some(wall) = self.wall_ms_max.filter(|wall| !(1..=WALL_MS_MAX).contains(wall)) {
            return Err((path("wall_ms_max"), format!("expected 1 to {WALL_MS_MAX}, got {wall}")));
        }
        let priority = match self.priority {
            None => NonZeroU8::MIN,
            Some(given) => NonZeroU8::new(given)
                .ok_or_else(|| (path("priority"), "expected 1 to 255, got 0".to_owned()))?,
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > limits::NAME_BYTES_MAX || !name.bytes().all(is_name) {
            let problem = "expected a name of 1 to 64 letters, digits, `-` and `_`";
            return Err((format!("classes.{name}"), problem.to_owned()));
        }
        Ok(Class {
            name,
            requests,
            runs,
            shares,
            cpu: cpu.map(|cpu| cpu_rate(cpu, window)),
            wall_ms_max: self.wall_ms_max,
            queued_max: queued_max
                .map_or(usize::MAX, |most| usize::try_from(most.get()).unwrap_or(usize::MAX)),
            priority,
        })
    }
}

fn number(key: &str, given: u32) -> Result<NonZeroU32, Wrong> {
    let most = limits::LIMIT_MAX;
    NonZeroU32::new(given)
        .filter(|given| given.get() <= most)
        .ok_or_else(|| (key.to_owned(), format!("expected 1 to {most}, got {given}")))
}

/// So many seconds of CPU time in a window, counted in milliseconds.
fn cpu_rate(seconds: NonZeroU32, window: Duration) -> Rate {
    const MILLIS: NonZeroU32 = NonZeroU32::new(1000).expect("1000 is not 0");
    Rate::new(seconds.saturating_mul(MILLIS), window)
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
