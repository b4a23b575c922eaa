//! Who a request comes from, as far as its connection tells.

use core::net::IpAddr;

use super::ids::ClientKey;

/// The other end of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its address: of the socket, or as told by a front that is trusted.
    pub address: IpAddr,
    /// Whom it is counted for.
    pub key: ClientKey,
}

impl Client {
    /// A client at an address. It is counted for an IPv4 address, or an IPv6 network of 64 bits,
    /// of which one client has as many addresses as it likes.
    pub fn at(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let key = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => {
                let mut key = v6.octets();
                for byte in key.iter_mut().skip(8) {
                    *byte = 0;
                }
                key
            }
        };
        Self { address, key: ClientKey(key) }
    }
}
