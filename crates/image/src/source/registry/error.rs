//! What goes wrong between us and a registry.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use pe_proto::Digest;
use rustls::CertificateError;

use crate::limits::REDIRECTS_MAX;
use crate::reference::Authority;

use super::addresses::Class;
use super::credentials::BadCredentials;

/// Why a registry does not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No rule names it. Nothing was asked of it.
    #[error(
        "the registry {0} is not on the list of those that may be asked; --allow-registry {0} \
         allows it, and `--registries FILE` a whole list"
    )]
    NotAllowed(Authority),
    /// A connection, for whatever reason there is none.
    #[error("{host} cannot be reached: {why}")]
    Connect {
        /// Whom.
        host: Authority,
        /// Why.
        why: Arc<ConnectError>,
    },
    /// It sends us somewhere we do not go.
    #[error("{from} sends us to `{to}`: {why}")]
    Led {
        /// Who.
        from: Authority,
        /// Where to; printable.
        to: String,
        /// Why we do not go there.
        why: BadTurn,
    },
    /// It does not let us in.
    #[error("{host} {why}")]
    Unauthorized {
        /// Who.
        host: Authority,
        /// Why.
        why: BadAuth,
    },
    /// Credentials that are there and cannot be used.
    #[error("{0}")]
    Credentials(#[from] BadCredentials),
    /// It says no.
    #[error("{host} answers {status} when asked for {what}{}", match .status.as_u16() {
        404 => ": it is not there, or is private",
        429 => ": we asked too often; credentials may raise its limit",
        _ => "",
    })]
    Status {
        /// Who.
        host: Authority,
        /// Its answer.
        status: StatusCode,
        /// What was asked for.
        what: String,
    },
    /// The connection broke.
    #[error("the connection to {host} broke: {why}")]
    Broken {
        /// Whose.
        host: Authority,
        /// How.
        why: String,
    },
    /// It answers, but not as HTTP or the distribution specification say.
    #[error("{host} does not answer as a registry does: {why}")]
    Answer {
        /// Who.
        host: Authority,
        /// How.
        why: String,
    },
    /// Time is over.
    #[error("{host} {what} within {} seconds", .waited.as_secs())]
    Silent {
        /// Who.
        host: Authority,
        /// What did not happen.
        what: &'static str,
        /// How long we waited.
        waited: Duration,
    },
    /// The time for everything is over.
    #[error("{host} {what} within {} seconds", .waited.as_secs())]
    Late {
        /// Who.
        host: Authority,
        /// What did not happen.
        what: &'static str,
        /// How long we waited.
        waited: Duration,
    },
    /// Another manifest than the one that was named.
    #[error("the registry has another manifest than it should: {got}, and {named} was named")]
    OtherManifest {
        /// By the reference or a header.
        named: Digest,
        /// Of what came.
        got: Digest,
    },
    /// This machine is out of something.
    #[error("no thread for downloads: {0}")]
    Runtime(io::Error),
}

impl RegistryError {
    /// Whether the same may work a moment later. Answers that may are repeated where they come.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Broken { .. } => true,
            Self::NotAllowed(_)
            | Self::Connect { .. }
            | Self::Led { .. }
            | Self::Unauthorized { .. }
            | Self::Credentials(_)
            | Self::Status { .. }
            | Self::Answer { .. }
            | Self::Late { .. }
            | Self::OtherManifest { .. }
            | Self::Runtime(_) => false,
        }
    }

    /// Whether it may in the middle of a download, when all was well a moment ago.
    pub(super) fn may_pass_midway(&self) -> bool {
        let Self::Connect { why, .. } = self else {
            return self.may_pass();
        };
        match &**why {
            ConnectError::Resolve(_)
            | ConnectError::Tcp(_)
            | ConnectError::Tls(_)
            | ConnectError::Silent(_) => true,
            ConnectError::Address { .. }
            | ConnectError::Addresses
            | ConnectError::Plain
            | ConnectError::Host(_) => false,
        }
    }
}

/// Whether an answer is of the kind that changes by itself.
pub(super) fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An address that is not of the public network.
    #[error(
        "its address {address} is {class}{}",
        if .class.may_be_allowed() { "; a registry that is meant to be there is marked `private`" } else { "" }
    )]
    Address {
        /// Which.
        address: IpAddr,
        /// What it is.
        class: Class,
    },
    /// No address.
    #[error("its name has no address ({0})")]
    Resolve(io::Error),
    /// A name with more addresses than are looked at.
    #[error("its name has more addresses than are looked at")]
    Addresses,
    /// TCP.
    #[error("{0}")]
    Tcp(io::Error),
    /// TLS.
    #[error("TLS: {0}{hint}", hint = whom_to_believe(.0))]
    Tls(io::Error),
    /// Time is over.
    #[error("no connection within {} seconds", .0.as_secs())]
    Silent(Duration),
    /// Neither it nor one of those its rule names, and not over TLS.
    #[error("no rule allows it without TLS")]
    Plain,
    /// Not a host that a URL of ours has.
    #[error("`{0}` is not a host")]
    Host(String),
}

/// What to do about a certificate that nobody vouches for who is believed.
fn whom_to_believe(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => {
            "; whom to believe in place of the system's authorities is `ca` of its rule in a file \
             of --registries"
        }
        _ => "",
    }
}

/// Why we do not go where we are sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTurn {
    /// Not a URL that we read.
    #[error("that is not a URL of http or https with a plain host")]
    Url,
    /// In the clear, or from TLS to clear text.
    #[error("it is not https, and no rule of the registry names it as plain")]
    Plain,
    /// Tokens come from elsewhere than the rule says.
    #[error(
        "tokens of this registry are not taken from there; `realms` of its rule name the hosts \
         that they are taken from"
    )]
    Realm,
    /// A token service that sends us on.
    #[error("a token service must answer itself")]
    TokenService,
    /// Round in circles.
    #[error("that would be more than {REDIRECTS_MAX} redirects")]
    Often,
}

/// Why it does not let us in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAuth {
    /// Neither Basic nor Bearer.
    #[error("asks for a way to log in that is not known: `{0}`")]
    Challenge(String),
    /// It wants to know who asks.
    #[error(
        "wants to know who asks, and there are no credentials for it: `docker login` or an \
         --auth-file give them"
    )]
    Anonymous,
    /// It knows who asks and does not let them in, or does not know the image.
    #[error("does not let us read this image with {0}: it is not there, or is private")]
    Denied(&'static str),
    /// A token that cannot be one.
    #[error("gives a token that cannot be used: {0}")]
    Token(String),
}
