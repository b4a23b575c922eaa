//! Calls the LB: dials, says hello, and leaves.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use pe_proto::link::Hello;
use pe_proto::{Arch, limits::LABEL_BYTES_MAX};

use super::{DOCTOR_QUICK, Probe};
use crate::config::Config;
use crate::doctor::facts::HostFacts;
use crate::doctor::{Needs, checks};
use crate::host;
use crate::link::{LbAddress, LinkTls, Token, call};

/// How the LB answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LbFacts {
    /// There is none to call.
    NotSet,
    /// No connection.
    Unreachable {
        /// Where it should be.
        lb: String,
        /// Why not.
        reason: String,
    },
    /// Somebody else answers.
    NotAnLb {
        /// Where.
        lb: String,
        /// What is wrong.
        reason: String,
    },
    /// It welcomed us.
    Answers {
        /// Where.
        lb: String,
        /// From dialling to the answer.
        took: Duration,
        /// How far its clock is from ours.
        off: Option<Duration>,
    },
    /// It does not let us in.
    Refuses {
        /// Where.
        lb: String,
        /// From dialling to the answer.
        took: Duration,
        /// Its answer.
        said: String,
        /// How far its clock is from ours.
        off: Option<Duration>,
    },
}

impl LbFacts {
    fn off(&self) -> Option<Duration> {
        match self {
            Self::Answers { off, .. } | Self::Refuses { off, .. } => *off,
            Self::NotSet | Self::Unreachable { .. } | Self::NotAnLb { .. } => None,
        }
    }
}

/// Asks the LB; the clock is judged by its answer.
pub(super) fn probe(config: &Config, facts: &Arc<HostFacts>, needs: &Arc<Needs>) -> Probe {
    let (lb, token_file) = (config.lb.clone(), config.token_file.clone());
    let tls = config.lb_tls.clone();
    let (facts, arch) = (Arc::clone(facts), needs.arch);
    let name = config.name.clone().unwrap_or_else(host::name);
    let deployment = config.deployment.clone();
    let ask = async move {
        let token = token_file
            .as_deref()
            .map(|path| Token::read(path).map_err(|error| format!("{}: {error}", path.display())));
        let (token, error) = match token.transpose() {
            Ok(token) => (token, None),
            Err(error) => (None, Some(error)),
        };
        let is_set = token.is_some();
        let found = match lb {
            Some(lb) => {
                let hello = hello(name, arch.unwrap_or(Arch::X86_64), deployment);
                look(lb, &tls, token, hello).await
            }
            None => LbFacts::NotSet,
        };
        vec![
            checks::time::clock(&facts, found.off()),
            checks::service::lb(&found),
            checks::service::token(&found, is_set, error.as_deref()),
        ]
    };
    let checks = vec![&checks::CLOCK, &checks::LB, &checks::TOKEN];
    Probe { checks, within: DOCTOR_QUICK, ask: ask.boxed() }
}

/// A worker that has nothing to offer: no job can be matched with it.
fn hello(name: String, arch: Arch, deployment: String) -> Hello {
    let mut worker = name;
    if worker.len() + DOCTOR.len() <= LABEL_BYTES_MAX {
        worker.push_str(DOCTOR);
    }
    Hello {
        worker,
        arch,
        cpu: String::new(),
        vmm: "none".to_owned(),
        kernel: String::new(),
        slots: 0,
        labels: Vec::new(),
        images: Vec::new(),
        deployment,
    }
}

/// What the LB's log shows after the worker's name.
const DOCTOR: &str = " (doctor)";

async fn look(lb: LbAddress, tls: &LinkTls, token: Option<Token>, hello: Hello) -> LbFacts {
    let at = lb.to_string();
    let began = tokio::time::Instant::now();
    let called = call::call(lb, tls, token, hello).await;
    let took = began.elapsed();
    let off = |date: Option<SystemTime>| date.map(|date| apart(date, SystemTime::now()));
    match called {
        call::Called::Unreachable(reason) => LbFacts::Unreachable { lb: at, reason },
        call::Called::Odd(reason) => LbFacts::NotAnLb { lb: at, reason },
        call::Called::Welcome { date } => LbFacts::Answers { lb: at, took, off: off(date) },
        call::Called::Refused { said, date } => {
            LbFacts::Refuses { lb: at, took, said, off: off(date) }
        }
    }
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|earlier| earlier.duration())
}
