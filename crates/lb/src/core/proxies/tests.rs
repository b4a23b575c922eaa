//! Headers of honest proxies and of clients that would be somebody else.

use proptest::prelude::*;

use super::*;

fn proxies(believed: Believed) -> Proxies {
    Proxies {
        trusted: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:ffff::/48".parse().unwrap()],
        trust_local: true,
        believed,
    }
}

fn ip(text: &str) -> Peer {
    Peer::Ip(text.parse().unwrap())
}

fn check(believed: Believed, peer: Peer, values: &[&str], client: &str) {
    let found = proxies(believed).client(peer, values.iter().map(|value| value.as_bytes()));
    assert_eq!(found.to_string(), client, "{peer} {values:?}");
}

#[test]
fn the_last_address_that_no_trusted_proxy_owns_is_the_client() {
    let check = |peer, values: &[&str], client| {
        check(Believed::XForwardedFor, peer, values, client);
    };
    check(ip("192.0.2.9"), &["1.1.1.1"], "192.0.2.9");
    check(ip("10.0.0.1"), &[], "10.0.0.1");
    check(ip("10.0.0.1"), &["192.0.2.7"], "192.0.2.7");
    check(ip("::ffff:10.0.0.1"), &["192.0.2.7"], "192.0.2.7");
    check(ip("10.0.0.1"), &["6.6.6.6, 192.0.2.7, 10.0.0.2"], "192.0.2.7");
    check(ip("10.0.0.1"), &["6.6.6.6", "192.0.2.7", "10.0.0.2"], "192.0.2.7");
    check(ip("10.0.0.1"), &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    check(ip("10.0.0.1"), &["192.0.2.7:4711"], "192.0.2.7");
    check(ip("10.0.0.1"), &["[2001:db8::7]:4711"], "2001:db8::7");
    check(ip("10.0.0.1"), &["[2001:db8::7]"], "2001:db8::7");
    check(ip("2001:db8:ffff::1"), &["2001:db8::7"], "2001:db8::7");
    check(Peer::Local, &["192.0.2.7"], "192.0.2.7");
    check(Peer::Local, &[], "0.0.0.0");
}

#[test]
fn what_is_no_address_ends_the_walk_at_the_last_hop_that_is_known() {
    let check = |values: &[&str], client| {
        check(Believed::XForwardedFor, ip("10.0.0.1"), values, client);
    };
    check(&[""], "10.0.0.1");
    check(&[","], "10.0.0.1");
    check(&["unknown"], "10.0.0.1");
    check(&["192.0.2.7, unknown, 10.0.0.2"], "10.0.0.2");
    check(&["192.0.2.7,"], "10.0.0.1");
    check(&["999.1.1.1"], "10.0.0.1");
    check(&["192.0.2.7 10.0.0.2"], "10.0.0.1");
    check(&["\"192.0.2.7"], "10.0.0.1");
    check(&["for=192.0.2.7"], "10.0.0.1");
}

#[test]
fn forwarded_is_read_with_its_quotes_and_only_for_counts() {
    let check = |values: &[&str], client| {
        check(Believed::Forwarded, ip("10.0.0.1"), values, client);
    };
    check(&["for=192.0.2.7"], "192.0.2.7");
    check(&["For=\"192.0.2.7:80\";proto=https;by=10.0.0.1"], "192.0.2.7");
    check(&["for=\"[2001:db8::7]:4711\""], "2001:db8::7");
    check(&["for=6.6.6.6, for=192.0.2.7;host=\"a,b\", for=10.0.0.2"], "192.0.2.7");
    check(&["for=_hidden, for=10.0.0.2"], "10.0.0.2");
    check(&["proto=https"], "10.0.0.1");
    check(&["for=1.1.1.1;for=192.0.2.7"], "10.0.0.1");
    // A quote that a client opened does not swallow what the proxy wrote.
    check(&["for=6.6.6.6, for=\", for=192.0.2.7"], "192.0.2.7");
    // Nor does a host with quotes, escaped as it should be.
    check(&["for=192.0.2.7;host=\"x\\\", for=6.6.6.6\""], "10.0.0.1");
    check(&["192.0.2.7"], "10.0.0.1");
}

#[test]
fn only_the_header_that_is_set_is_believed() {
    check(Believed::Nothing, ip("10.0.0.1"), &["192.0.2.7"], "10.0.0.1");
}

proptest! {
    /// Whatever a client writes, what trusted proxies append decides.
    #[test]
    fn no_prefix_of_a_clients_own_changes_who_it_is(
        lie in "[ -~]{0,80}",
        hops in 0..4_usize,
        is_one_line: bool,
        believed in prop_oneof![Just(Believed::XForwardedFor), Just(Believed::Forwarded)],
    ) {
        let node = |address: &str| match believed {
            Believed::Forwarded => format!("for={address}"),
            Believed::XForwardedFor | Believed::Nothing => address.to_owned(),
        };
        let mut said = vec![node("192.0.2.7")];
        said.extend((0..hops).map(|hop| node(&format!("10.0.0.{hop}"))));
        let said = said.join(", ");
        let joined = format!("{lie}, {said}");
        let values = if is_one_line { vec![joined.as_bytes()] } else {
            vec![lie.as_bytes(), said.as_bytes()]
        };
        let client = proxies(believed).client(ip("10.9.9.9"), values.into_iter());
        prop_assert_eq!(client.to_string(), "192.0.2.7");
    }

    #[test]
    fn no_bytes_make_it_panic_or_believe_an_untrusted_peer(
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..4),
    ) {
        for believed in [Believed::XForwardedFor, Believed::Forwarded] {
            let values = values.iter().map(Vec::as_slice);
            proxies(believed).client(ip("10.0.0.1"), values.clone());
            let client = proxies(believed).client(ip("192.0.2.1"), values);
            prop_assert_eq!(client.to_string(), "192.0.2.1");
        }
    }
}
