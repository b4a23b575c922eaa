//! What holds of the isolation, and what does not and why: one line in the log, and `doctor`.

use serde::Serialize;

/// Whether one measure holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "reason")]
pub enum Hold {
    /// It holds.
    Held,
    /// It does not, for this reason.
    Missing(String),
}

impl Hold {
    /// Holds, or is missing because of an error.
    pub fn of<T, E: std::fmt::Display>(result: Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Held,
            Err(error) => Self::Missing(error.to_string()),
        }
    }

    /// Whether it holds.
    pub fn is_held(&self) -> bool {
        *self == Self::Held
    }
}

/// What confines VMMs on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// No network, no IPC, no host name and no mounts of the host.
    pub namespaces: Hold,
    /// The kernel refuses every path that a VMM has no business with.
    pub landlock: Hold,
    /// A VMM that takes more memory than its guest may use is ended.
    pub cgroup_memory: Hold,
    /// A VMM can start only so many threads.
    pub cgroup_pids: Hold,
    /// A VMM gets only its share of the processors.
    pub cgroup_cpu: Hold,
    /// Each VMM is a user of its own.
    pub own_uids: Hold,
    /// Each VMM has a core that no other VMM uses.
    pub pinning: Hold,
    /// System calls are filtered: by our list, and by the VMM's own.
    pub seccomp: Hold,
}

impl Report {
    /// All measures by name, in the order of their weight.
    pub fn measures(&self) -> [(&'static str, &Hold); 8] {
        [
            ("own_uids", &self.own_uids),
            ("seccomp", &self.seccomp),
            ("namespaces", &self.namespaces),
            ("landlock", &self.landlock),
            ("cgroup_memory", &self.cgroup_memory),
            ("cgroup_pids", &self.cgroup_pids),
            ("cgroup_cpu", &self.cgroup_cpu),
            ("pinning", &self.pinning),
        ]
    }

    /// What does not hold, with reasons.
    pub fn missing(&self) -> Vec<(&'static str, &str)> {
        self.measures()
            .into_iter()
            .filter_map(|(name, hold)| match hold {
                Hold::Held => None,
                Hold::Missing(reason) => Some((name, reason.as_str())),
            })
            .collect()
    }

    /// What `require_isolation` insists on and is not there: all but pinning and the share of the
    /// processors, which are about fairness.
    pub fn lacks(&self) -> Vec<&'static str> {
        let fair = ["pinning", "cgroup_cpu"];
        self.missing().into_iter().map(|(name, _)| name).filter(|it| !fair.contains(it)).collect()
    }

    /// One line for what holds, one for each reason why something does not.
    pub fn log(&self) {
        let held = self.measures().into_iter().filter(|(_, hold)| hold.is_held());
        let held: Vec<&str> = held.map(|(name, _)| name).collect();
        tracing::info!(held = held.join(" "), "isolation of vmms");
        for (reason, what) in self.by_reason() {
            tracing::warn!(missing = what.join(" "), reason, "isolation is incomplete");
        }
    }

    fn by_reason(&self) -> Vec<(&str, Vec<&'static str>)> {
        let mut reasons: Vec<(&str, Vec<&'static str>)> = Vec::new();
        for (name, reason) in self.missing() {
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, names)) => names.push(name),
                None => reasons.push((reason, vec![name])),
            }
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let gone = Hold::Missing("no cgroup v2".to_owned());
        Report {
            namespaces: Hold::Held,
            landlock: Hold::Held,
            cgroup_memory: gone.clone(),
            cgroup_pids: gone.clone(),
            cgroup_cpu: gone,
            own_uids: Hold::Held,
            pinning: Hold::Missing("few cores".to_owned()),
            seccomp: Hold::Held,
        }
    }

    #[test]
    fn each_reason_is_said_once() {
        let cgroup = vec!["cgroup_memory", "cgroup_pids", "cgroup_cpu"];
        let expected = [("no cgroup v2", cgroup), ("few cores", vec!["pinning"])];
        assert_eq!(report().by_reason(), expected);
    }

    #[test]
    fn fairness_is_not_required() {
        assert_eq!(report().lacks(), ["cgroup_memory", "cgroup_pids"]);
    }

    #[test]
    fn doctor_and_scripts_read_it_as_json() {
        let json = serde_json::to_value(report()).expect("json");
        assert_eq!(json["namespaces"], serde_json::json!({"state": "held"}));
        let missing = serde_json::json!({"state": "missing", "reason": "few cores"});
        assert_eq!(json["pinning"], missing);
    }
}
