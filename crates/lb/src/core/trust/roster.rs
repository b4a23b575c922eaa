//! Which workers are let in: by a token of each one's own, by one token for all, or anybody.
//!
//! Tokens are known by their SHA-256 only. They are random and long, so a plain hash is no help
//! to who has the file; and all are compared, each wholly, so that the time an answer takes says
//! nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use pe_proto::link::Hello;
use pe_proto::{Arch, Digest};

use super::Identity;
use crate::limits::WORKER_SLOTS_MAX;

/// One worker's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who it is.
    pub identity: Identity,
    /// SHA-256 of its token.
    pub token: Digest,
    /// What its guests may be; all if empty.
    pub archs: BTreeSet<Arch>,
    /// What it may say of itself.
    pub labels: BTreeSet<String>,
    /// Slots that it may offer.
    pub slots_max: u32,
}

/// Why a hello is not that of the worker whose token came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Another name.
    #[error("the token is of a worker of another name")]
    Name,
    /// An architecture it may not have.
    #[error("the token does not allow this architecture")]
    Arch,
    /// A label it may not have.
    #[error("the token does not allow one of the labels")]
    Label,
    /// More slots than it may have.
    #[error("the token does not allow that many slots")]
    Slots,
    /// Its certificate is of somebody else.
    #[error("the client certificate is not that of the token's worker")]
    Certificate,
}

impl Misfit {
    /// Label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "misfit-name",
            Self::Arch => "misfit-arch",
            Self::Label => "misfit-label",
            Self::Slots => "misfit-slots",
            Self::Certificate => "misfit-certificate",
        }
    }
}

/// Whoever showed a token that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass {
    /// One worker.
    Own(Arc<Entry>),
    /// Some worker of ours: there is one token for all, or none.
    Shared,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    entries: Vec<Arc<Entry>>,
    shared: Option<Digest>,
}

impl Roster {
    /// Those with a token of their own, and the token of all others if there is one. Without
    /// either, anybody is let in.
    pub fn new(entries: Vec<Entry>, shared: Option<Digest>) -> Self {
        Self { entries: entries.into_iter().map(Arc::new).collect(), shared }
    }

    /// Whether nobody needs a token.
    pub fn is_open(&self) -> bool {
        self.entries.is_empty() && self.shared.is_none()
    }

    /// Who shows the token with this digest.
    pub fn find(&self, given: &Digest) -> Option<Pass> {
        if self.is_open() {
            return Some(Pass::Shared);
        }
        let mut found = None;
        for entry in &self.entries {
            if is_same(&entry.token, given) {
                found = Some(Pass::Own(Arc::clone(entry)));
            }
        }
        if self.shared.as_ref().is_some_and(|shared| is_same(shared, given)) {
            found = found.or(Some(Pass::Shared));
        }
        found
    }
}

impl Pass {
    /// Who says this hello, if it may.
    ///
    /// # Errors
    /// What it says that its token does not allow.
    pub fn admit(
        &self,
        hello: &Hello,
        is_certified: impl Fn(&str) -> bool,
    ) -> Result<Identity, Misfit> {
        let entry = match self {
            Self::Own(entry) => entry,
            Self::Shared => {
                // All of them are the operator's.
                let (name, owner) = (hello.worker.as_str().into(), "".into());
                return Ok(Identity { name, owner, is_trusted: true });
            }
        };
        let name = &*entry.identity.name;
        // One that offers nothing, as the doctor's visit, may add to its name.
        let is_visit = hello.slots == 0 && hello.worker.starts_with(name);
        if hello.worker != name && !is_visit {
            Err(Misfit::Name)
        } else if !is_certified(name) {
            Err(Misfit::Certificate)
        } else if !entry.archs.is_empty() && !entry.archs.contains(&hello.arch) {
            Err(Misfit::Arch)
        } else if !hello.labels.iter().all(|label| entry.labels.contains(label)) {
            Err(Misfit::Label)
        } else if hello.slots > entry.slots_max.min(WORKER_SLOTS_MAX) {
            Err(Misfit::Slots)
        } else {
            Ok(entry.identity.clone())
        }
    }
}

/// Compares all bytes whatever they are.
pub fn is_same(a: &Digest, b: &Digest) -> bool {
    a.0.iter().zip(&b.0).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, token: &str) -> Entry {
        Entry {
            identity: Identity { name: name.into(), owner: "ann".into(), is_trusted: false },
            token: Digest::of(token.as_bytes()),
            archs: [Arch::X86_64].into(),
            labels: ["site=cellar".to_owned()].into(),
            slots_max: 4,
        }
    }

    fn hello(name: &str) -> Hello {
        let text = String::new;
        Hello {
            worker: name.to_owned(),
            arch: Arch::X86_64,
            cpu: text(),
            vmm: text(),
            kernel: text(),
            slots: 4,
            labels: vec!["site=cellar".to_owned()],
            images: Vec::new(),
            deployment: text(),
        }
    }

    #[test]
    fn each_token_is_of_one_worker_and_the_shared_one_of_all_others() {
        let roster = Roster::new(vec![entry("a", "1"), entry("b", "2")], Some(Digest::of(b"all")));
        let name = |token: &str| match roster.find(&Digest::of(token.as_bytes()))? {
            Pass::Own(entry) => Some(entry.identity.name.to_string()),
            Pass::Shared => Some("shared".to_owned()),
        };
        assert_eq!(name("1").as_deref(), Some("a"));
        assert_eq!(name("2").as_deref(), Some("b"));
        assert_eq!(name("all").as_deref(), Some("shared"));
        assert_eq!(name("3"), None);
        assert_eq!(Roster::default().find(&Digest::of(b"")), Some(Pass::Shared), "open");
    }

    #[test]
    fn a_hello_may_say_only_what_its_token_allows() {
        let pass = Pass::Own(Arc::new(entry("a", "1")));
        let check = |change: fn(&mut Hello), expected: Result<&str, Misfit>| {
            let mut hello = hello("a");
            change(&mut hello);
            let admitted = pass.admit(&hello, |_| true).map(|identity| identity.name);
            assert_eq!(admitted.as_deref().map_err(|misfit| *misfit), expected, "{hello:?}");
        };
        check(|_| {}, Ok("a"));
        check(|hello| hello.labels.clear(), Ok("a"));
        check(|hello| hello.slots = 5, Err(Misfit::Slots));
        check(|hello| hello.worker = "b".to_owned(), Err(Misfit::Name));
        check(|hello| hello.worker = "a (doctor)".to_owned(), Err(Misfit::Name));
        check(|hello| hello.arch = Arch::Riscv64, Err(Misfit::Arch));
        check(|hello| hello.labels.push("trusted=yes".to_owned()), Err(Misfit::Label));
        let visit = Hello { slots: 0, worker: "a (doctor)".to_owned(), ..hello("a") };
        assert!(pass.admit(&visit, |_| true).is_ok());
        assert_eq!(pass.admit(&hello("a"), |_| false), Err(Misfit::Certificate));
    }

    #[test]
    fn who_has_the_token_of_all_is_trusted_by_any_name() {
        let identity = Pass::Shared.admit(&hello("any"), |_| false).unwrap();
        assert_eq!((&*identity.name, identity.is_trusted), ("any", true));
    }
}
