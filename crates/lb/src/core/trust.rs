//! Whose word counts, and for how long: who a worker is by its token ([`roster`]), how often it
//! answered wrongly ([`ledger`]), and who else says what it said ([`confirm`]).
//!
//! Nothing here knows a connection: strikes belong to who a worker is, and stay when it dials
//! again.

pub mod confirm;
pub mod ledger;
pub mod roster;

use std::sync::Arc;

use pe_proto::Digest;

use super::ids::OwnerKey;

/// Who a worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name: that of its token, or what it calls itself where all have one token.
    pub name: Arc<str>,
    /// Whose it is.
    pub owner: Arc<str>,
    /// Whether its results count without another's word.
    pub is_trusted: bool,
}

impl Identity {
    /// Its owner, in short.
    pub fn owner_key(&self) -> OwnerKey {
        let Digest(digest) = Digest::of(self.owner.as_bytes());
        let mut key = [0; 16];
        for (to, from) in key.iter_mut().zip(digest) {
            *to = from;
        }
        OwnerKey(key)
    }

    /// What its results are worth.
    pub fn standing(&self) -> Standing {
        if self.is_trusted {
            Standing::Trusted
        } else {
            Standing::Untrusted { owner: self.owner_key() }
        }
    }
}

/// What a result is worth by who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be given to anybody who asks for the same job.
    Trusted,
    /// Only to who asked for this run, unless a worker of another owner says the same.
    Untrusted {
        /// Whose worker it was.
        owner: OwnerKey,
    },
}
