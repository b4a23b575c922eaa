//! The worker link: what a worker and the LB say to each other over HTTP/2 (`protocol.md 6`).
//!
//! The worker dials out. Each request's body begins with one codec frame; job and result follow
//! theirs as an archive.
//!
//! | request | body | answer |
//! | --- | --- | --- |
//! | `POST /worker/v1/hello` | [`Hello`] | [`Welcome`] |
//! | `POST /worker/v1/ready` | [`Ready`] | `204`, or [`LeaseHead`] + job archive on a stream that stays open |
//! | `POST /worker/v1/done/{lease}` | [`DoneHead`] + result archive | `204` |
//! | `POST /worker/v1/state` | [`State`] | `204` |
//! | `GET /worker/v1/catalogue` | | the catalogue |
//! | `GET /worker/v1/packs/{digest}` | | a pack, or a part of it |
//! | `POST /worker/v1/fetches` | [`Fetches`] | `204` |
//! | `POST /worker/v1/wants` | [`Wants`] | `204`, or [`Wanted`] |

mod done;
mod fetches;
mod hello;
mod lease;
mod ready;
mod state;
mod wants;

pub use done::DoneHead;
pub use fetches::{Fetches, Fetching};
pub use hello::{Hello, Welcome};
pub use lease::{LeaseHead, LeaseId};
pub use ready::Ready;
pub use state::State;
pub use wants::{Wanted, Wants};

/// Paths of the link.
pub mod paths {
    /// Introduces a worker.
    pub const HELLO: &str = "/worker/v1/hello";
    /// Offers one slot.
    pub const READY: &str = "/worker/v1/ready";
    /// Prefix of the path that takes a result; the lease id follows.
    pub const DONE: &str = "/worker/v1/done/";
    /// Changes of a worker's state.
    pub const STATE: &str = "/worker/v1/state";
    /// The catalogue.
    pub const CATALOGUE: &str = "/worker/v1/catalogue";
    /// Prefix of the path of a pack; the digest's digits follow.
    pub const PACKS: &str = "/worker/v1/packs/";
    /// What a worker could fetch and is fetching.
    pub const FETCHES: &str = "/worker/v1/fetches";
    /// Asks which images are wanted.
    pub const WANTS: &str = "/worker/v1/wants";
}

/// The token in a file of one: its first line, without the white space around it. Workers and LB
/// read their files by this, so that the same file means the same token to both.
pub fn token_in(text: &str) -> Option<&str> {
    let token = text.lines().next().map(str::trim)?;
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then_some(token)
}

/// Media type of every body on the link.
pub const CONTENT_TYPE: &str = "application/vnd.pe.link.v1";

/// Names a worker's visit, from hello until its connection ends. Random: it is also the proof
/// that a later request comes from the worker that said hello.
#[derive(Clone, Copy, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub struct SessionId(pub [u8; 16]);

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionId(..)")
    }
}
