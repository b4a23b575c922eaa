//! Who is on the other end of a connection, as far as the load balancer knows and believes it.

use ::core::net::{IpAddr, Ipv4Addr};

use super::ids::ClientKey;

/// A client: where it really is, and whom it is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its address; behind proxies that are trusted, what they say it is.
    pub address: IpAddr,
    /// Whom limits and fairness count it as.
    pub key: ClientKey,
}

impl Client {
    /// A client that is known by its address alone.
    pub fn at(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, key: ClientKey::of(address) }
    }
}

impl ClientKey {
    /// An IPv4 address, or an IPv6 network of 64 bits, of which one client has as many addresses
    /// as it likes.
    pub fn of(address: IpAddr) -> Self {
        let mut key = match address.to_canonical() {
            IpAddr::V4(v4) => return Self(v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => v6.octets(),
        };
        for byte in key.iter_mut().skip(8) {
            *byte = 0;
        }
        Self(key)
    }
}

/// The other end of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Of a TCP connection.
    Ip(IpAddr),
    /// Of a unix socket: somebody on this machine, without an address.
    Local,
}

impl Peer {
    /// The address that it is known by if nobody tells another.
    pub fn address(self) -> IpAddr {
        match self {
            Self::Ip(address) => address.to_canonical(),
            Self::Local => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Local => f.write_str("local"),
        }
    }
}

/// The DNS names of a certificate (its subject alternative names) that was shown by a peer and
/// verified. A certificate's common name is no identity (RFC 9525) and is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateNames(pub Vec<String>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        let key = |text: &str| Client::at(text.parse().unwrap()).key;
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1:2:3"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    }
}
