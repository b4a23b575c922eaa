//! Which addresses are not of the public network. Pure.
//!
//! A registry's name is a stranger's text, and whoever may choose what it means must not reach
//! what only this machine can: itself, its neighbours, the services that clouds answer at
//! link-local addresses. Addresses that carry another one inside are what that one is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is, if it is not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// This machine.
    Loopback,
    /// RFC 1918 and unique local addresses.
    Private,
    /// Between a provider and its customers (RFC 6598).
    Shared,
    /// This link, and where clouds keep credentials of machines.
    LinkLocal,
    /// A cloud's service to its machines, at an address that looks public.
    Metadata,
    /// To many.
    Multicast,
    /// None at all, or kept for other uses.
    Reserved,
}

impl Class {
    /// Whether a registry that is marked as private may have such an address.
    pub fn may_be_allowed(self) -> bool {
        match self {
            Self::Loopback | Self::Private | Self::Shared => true,
            Self::LinkLocal | Self::Metadata | Self::Multicast | Self::Reserved => false,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "this machine's own",
            Self::Private => "of a private network",
            Self::Shared => "of a provider's inner network",
            Self::LinkLocal => "of this link only, where clouds keep secrets",
            Self::Metadata => "of a cloud's own services",
            Self::Multicast => "of many machines",
            Self::Reserved => "not one of a machine",
        })
    }
}

/// Why an address is not connected to, if so. `private` allows what may be allowed.
pub fn refusal(address: IpAddr, private: bool) -> Option<Class> {
    let class = match address {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => class_v6(address),
    };
    class.filter(|class| !(private && class.may_be_allowed()))
}

fn class_v4(address: Ipv4Addr) -> Option<Class> {
    match address.octets() {
        // Where Azure and Oracle's cloud answer their machines.
        [168, 63, 129, 16] | [192, 0, 0, 192] => Some(Class::Metadata),
        // Alibaba's is among the shared ones, which may be allowed.
        [100, 100, 100, 200] => Some(Class::Metadata),
        [0, ..] | [240..=255, ..] => Some(Class::Reserved),
        [127, ..] => Some(Class::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(Class::Private),
        [100, 64..=127, ..] => Some(Class::Shared),
        [169, 254, ..] => Some(Class::LinkLocal),
        [224..=239, ..] => Some(Class::Multicast),
        // Protocol assignments, documentation, relays of 6to4, benchmarks.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] => {
            Some(Class::Reserved)
        }
        [203, 0, 113, _] => Some(Class::Reserved),
        _ => None,
    }
}

fn class_v6(address: Ipv6Addr) -> Option<Class> {
    let inner = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        class_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Class::Loopback),
        // `::ffff:a.b.c.d` is what a resolver gives a socket of IPv6 for an address of IPv4.
        [0, 0, 0, 0, 0, 0xffff, high, low] => inner(high, low),
        // NAT64, by its well-known prefix; the local one may lead anywhere.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inner(high, low),
        // 6to4.
        [0x2002, high, low, ..] => inner(high, low),
        // AWS.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Some(Class::Metadata),
        [0xfc00..=0xfdff, ..] => Some(Class::Private),
        [0xfe80..=0xfebf, ..] => Some(Class::LinkLocal),
        [0xff00..=0xffff, ..] => Some(Class::Multicast),
        // Protocol assignments (Teredo among them) and documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => {
            Some(Class::Reserved)
        }
        [0x2000..=0x3fff, ..] => None,
        // Only 2000::/3 is given to machines of the public network.
        _ => Some(Class::Reserved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_24_only_addresses_of_the_public_network_are_connected_to() {
        let check = |text: &str, expected: Option<Class>| {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(refusal(address, false), expected, "{text}");
            let allowed = expected.filter(|class| !class.may_be_allowed());
            assert_eq!(refusal(address, true), allowed, "{text}, private");
        };
        for public in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "2606:4700::1111"] {
            check(public, None);
        }
        check("127.0.0.1", Some(Class::Loopback));
        check("127.255.255.254", Some(Class::Loopback));
        check("::1", Some(Class::Loopback));
        check("0.0.0.0", Some(Class::Reserved));
        check("0.1.2.3", Some(Class::Reserved));
        check("::", Some(Class::Reserved));
        check("10.0.0.1", Some(Class::Private));
        check("172.16.0.1", Some(Class::Private));
        check("172.31.255.255", Some(Class::Private));
        check("192.168.1.1", Some(Class::Private));
        check("fd12:3456::1", Some(Class::Private));
        check("100.64.0.1", Some(Class::Shared));
        check("169.254.169.254", Some(Class::LinkLocal));
        check("fe80::1", Some(Class::LinkLocal));
        check("168.63.129.16", Some(Class::Metadata));
        check("100.100.100.200", Some(Class::Metadata));
        check("192.0.0.192", Some(Class::Metadata));
        check("fd00:ec2::254", Some(Class::Metadata));
        check("224.0.0.1", Some(Class::Multicast));
        check("ff02::1", Some(Class::Multicast));
        check("255.255.255.255", Some(Class::Reserved));
        check("198.18.0.1", Some(Class::Reserved));
        check("203.0.113.1", Some(Class::Reserved));
        check("2001:db8::1", Some(Class::Reserved));
        check("2001::1", Some(Class::Reserved));
        check("fec0::1", Some(Class::Reserved));
        check("64:ff9b:1::1", Some(Class::Reserved));
    }

    #[test]
    fn case_24_an_address_in_another_is_what_it_is() {
        let check = |text: &str, expected: Option<Class>| {
            assert_eq!(refusal(text.parse().expect("an address"), false), expected, "{text}");
        };
        for (v4, class) in [
            ("127.0.0.1", Some(Class::Loopback)),
            ("169.254.169.254", Some(Class::LinkLocal)),
            ("10.1.2.3", Some(Class::Private)),
            ("100.64.0.1", Some(Class::Shared)),
            ("1.1.1.1", None),
        ] {
            check(&format!("::ffff:{v4}"), class);
            check(&format!("64:ff9b::{v4}"), class);
            let [a, b, c, d] = v4.parse::<Ipv4Addr>().expect("an address").octets();
            check(&format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"), class);
            // The form that was given up; nobody answers there.
            let class = if v4 == "0.0.0.1" { class } else { Some(Class::Reserved) };
            check(&format!("::{v4}"), class);
        }
    }
}
