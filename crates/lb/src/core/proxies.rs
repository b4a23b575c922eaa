//! Where a request really comes from, when proxies are in front.
//!
//! Each proxy appends the address that it was dialled from, so a header is believed from its
//! right end, as far as trusted hosts wrote it: the first address from the right that is not a
//! trusted proxy's own is the client. What stands left of it was written by the client itself and
//! means nothing. An element that is no address ends the walk: the last hop that is known is it.
//!
//! Only one header is read, the one that is set: a proxy that appends to one of them passes the
//! other on as its client wrote it.

use ::core::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::client::Peer;
use crate::limits::HOPS_MAX;

/// Which header is believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Believed {
    /// None: a client is whoever connected, or whom the PROXY protocol names.
    Nothing,
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Who may say where requests come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Networks of proxies.
    pub trusted: Vec<IpNet>,
    /// Whether peers of unix sockets are proxies.
    pub trust_local: bool,
    /// What they say it with.
    pub believed: Believed,
}

impl Proxies {
    /// Whether a peer is believed.
    pub fn is_trusted(&self, peer: Peer) -> bool {
        match peer {
            Peer::Ip(address) => self.is_proxy(address.to_canonical()),
            Peer::Local => self.trust_local,
        }
    }

    /// Where a request comes from that came over this peer, with these values of the believed
    /// header in their order.
    pub fn client<'a>(
        &self,
        peer: Peer,
        values: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> IpAddr {
        let mut client = peer.address();
        if !self.is_trusted(peer) {
            return client;
        }
        let read = match self.believed {
            Believed::Nothing => return client,
            Believed::XForwardedFor => node,
            Believed::Forwarded => forwarded_for,
        };
        for element in values.rev().flat_map(Elements).take(HOPS_MAX) {
            let Some(hop) = read(element) else { break };
            client = hop;
            if !self.is_proxy(hop) {
                break;
            }
        }
        client
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&address))
    }
}

/// The elements of a list, from the right. Commas in quotes do not count; whoever writes half a
/// quote to the left of what a proxy appended changes nothing of what the proxy wrote.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let mut is_quoted = false;
        let comma = self.0.iter().rposition(|byte| {
            is_quoted ^= *byte == b'"';
            *byte == b',' && !is_quoted
        });
        let (rest, element) = match comma {
            Some(at) => {
                let (rest, element) = self.0.split_at(at);
                (rest, element.get(1..).unwrap_or_default())
            }
            None => (Default::default(), self.0),
        };
        self.0 = rest;
        Some(element.trim_ascii())
    }
}

/// The address in `for=` of an element of `Forwarded`.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    // No address needs an escape, and with one the quotes may not be what they seem.
    if element.contains(&b'\\') {
        return None;
    }
    let mut found = None;
    for pair in element.split(|byte| *byte == b';') {
        let (name, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
        if name.trim_ascii().eq_ignore_ascii_case(b"for") {
            let value = value.get(1..)?.trim_ascii();
            let bare = match value.strip_prefix(b"\"") {
                Some(quoted) => quoted.strip_suffix(b"\"")?,
                None => value,
            };
            // Said twice, it is not said.
            if found.replace(node(bare)?).is_some() {
                return None;
            }
        }
    }
    found
}

/// An address, with or without a port, and in brackets if it is IPv6 with one.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address: IpAddr = match bare.parse() {
        Ok(address) => address,
        Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests;
