//! Callers with a clock that is only told.

use std::num::NonZeroU32;

use super::*;

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rate(burst: u32, seconds: u64) -> Rate {
    Rate::new(NonZeroU32::new(burst).unwrap(), secs(seconds))
}

fn client(address: &str) -> Client {
    Client::at(address.parse().unwrap())
}

fn image(number: u8) -> Digest {
    Digest([number; 32])
}

/// Anonymous: 100 requests, 20 runs, 10 s of CPU in 100 s. Gold: no limit but 5 s of CPU.
fn policy() -> Policy {
    let anonymous = Class {
        name: ANONYMOUS.to_owned(),
        requests: Some(rate(100, 1)),
        runs: Some(rate(20, 60)),
        cpu: Some(rate(10_000, 100)),
        ..Class::default()
    };
    let local = Class { name: LOCAL.to_owned(), ..Class::default() };
    let gold = Class { name: "gold".to_owned(), cpu: Some(rate(5_000, 100)), ..Class::default() };
    let line = |name: &str, key: &str| format!("{name} gold {}\n", Digest::of(key.as_bytes()));
    let keys = [line("ann", "key of ann"), line("bob", "key of bob")].concat();
    Policy {
        classes: [anonymous, local, gold].map(Arc::new).into(),
        keys: Keys::parse(&keys, |class| class == "gold").unwrap(),
        network_cpu: Some(rate(15_000, 100)),
        image_cpu: Some(rate(40_000, 100)),
        reserve: secs(1),
        clients_max: 1000,
    }
}

fn caller(admission: &mut Admission, address: &str, now: Moment) -> Caller {
    admission.arrive(&client(address), None, now).unwrap()
}

/// Runs a job to its end, which uses so much.
fn run(
    admission: &mut Admission,
    caller: &Caller,
    image: Digest,
    used: Duration,
    now: Moment,
) -> Result<(), Denied> {
    let reservation = admission.admit(caller, image, secs(10), now)?;
    admission.settle(reservation, used, now);
    Ok(())
}

#[test]
fn case_44_a_client_that_burns_its_cpu_budget_is_refused_until_it_came_back() {
    let mut admission = Admission::new(policy());
    let miner = caller(&mut admission, "192.0.2.1", at(0));
    assert_eq!(run(&mut admission, &miner, image(1), secs(9), at(0)), Ok(()));
    assert_eq!(run(&mut admission, &miner, image(1), secs(4), at(0)), Ok(()), "it is owed");
    // 13 s were used of 10; the reserve of 1 s is there again after 40 s.
    let spent = Err(Denied::Spent(Limit::ClientCpu, secs(40)));
    assert_eq!(run(&mut admission, &miner, image(1), secs(1), at(0)), spent);
    for second in 0..40 {
        let arrived = admission.arrive(&client("192.0.2.1"), None, at(second));
        assert!(arrived.is_ok(), "what is known is still answered");
        assert!(run(&mut admission, &miner, image(1), secs(1), at(second)).is_err());
    }
    assert_eq!(run(&mut admission, &miner, image(1), secs(1), at(40)), Ok(()));
}

#[test]
fn case_44_clients_of_one_network_share_a_budget() {
    let mut admission = Admission::new(policy());
    for (host, used) in [(1, 9), (2, 5)] {
        let one = caller(&mut admission, &format!("192.0.2.{host}"), at(0));
        assert_eq!(run(&mut admission, &one, image(1), secs(used), at(0)), Ok(()));
    }
    let third = caller(&mut admission, "192.0.2.3", at(0));
    assert_eq!(run(&mut admission, &third, image(1), secs(1), at(0)), Ok(()));
    let spent = run(&mut admission, &third, image(1), secs(1), at(0));
    assert!(matches!(spent, Err(Denied::Spent(Limit::NetworkCpu, _))), "{spent:?}");
    let elsewhere = caller(&mut admission, "192.0.3.1", at(0));
    assert_eq!(run(&mut admission, &elsewhere, image(1), secs(1), at(0)), Ok(()));
    // Refused by its network, it lost nothing of its own.
    let wait = spent.map(|()| secs(0)).unwrap_err();
    let Denied::Spent(_, wait) = wait else { panic!("{wait:?}") };
    let later = Moment::START.after(wait);
    assert_eq!(run(&mut admission, &third, image(1), secs(1), later), Ok(()));
}

#[test]
fn case_44_networks_of_ipv6_are_48_bits_and_clients_64() {
    let key = |address: &str| client(address).key;
    assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::"));
    assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
    let of = |address: &str| network(address.parse().unwrap());
    assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:ffff::1"));
    assert_ne!(of("2001:db8:0::1"), of("2001:db8:1::1"));
    assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.254"));
    assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
}

#[test]
fn case_44_an_image_burns_its_budget_wherever_its_jobs_come_from() {
    let mut admission = Admission::new(policy());
    for network in 0..5 {
        let one = caller(&mut admission, &format!("198.51.{network}.1"), at(0));
        assert_eq!(run(&mut admission, &one, image(1), secs(8), at(0)), Ok(()));
    }
    let next = caller(&mut admission, "198.51.100.1", at(0));
    let spent = run(&mut admission, &next, image(1), secs(1), at(0));
    assert!(matches!(spent, Err(Denied::Spent(Limit::ImageCpu, _))), "{spent:?}");
    assert_eq!(run(&mut admission, &next, image(2), secs(1), at(0)), Ok(()), "another image");
}

#[test]
fn a_key_has_a_budget_of_its_own_wherever_it_is_used_from() {
    let mut admission = Admission::new(policy());
    let arrive = |admission: &mut Admission, address: &str, key: &[u8]| {
        admission.arrive(&client(address), Some(key), at(0))
    };
    let ann = arrive(&mut admission, "192.0.2.1", b"key of ann").unwrap();
    assert_eq!((ann.name.as_deref(), ann.class.name.as_str()), (Some("ann"), "gold"));
    assert_eq!(run(&mut admission, &ann, image(1), secs(5), at(0)), Ok(()));
    let elsewhere = arrive(&mut admission, "203.0.113.9", b"key of ann").unwrap();
    let spent = run(&mut admission, &elsewhere, image(1), secs(1), at(0));
    assert!(matches!(spent, Err(Denied::Spent(Limit::ClientCpu, _))), "{spent:?}");
    let bob = arrive(&mut admission, "192.0.2.1", b"key of bob").unwrap();
    assert_eq!(run(&mut admission, &bob, image(1), secs(5), at(0)), Ok(()));
    let stranger = caller(&mut admission, "192.0.2.1", at(0));
    assert_eq!(run(&mut admission, &stranger, image(1), secs(9), at(0)), Ok(()));
}

#[test]
fn an_unknown_key_is_never_served_and_guessing_costs_requests() {
    let mut admission = Admission::new(policy());
    let guess = |admission: &mut Admission, now| {
        admission.arrive(&client("192.0.2.1"), Some(b"a guess"), now).map(|_| ())
    };
    for _ in 0..100 {
        assert_eq!(guess(&mut admission, at(0)), Err(Denied::UnknownKey));
    }
    assert!(matches!(guess(&mut admission, at(0)), Err(Denied::Spent(Limit::Requests, _))));
}

#[test]
fn a_key_is_revoked_by_a_reload_and_what_was_used_is_not_forgotten() {
    let mut admission = Admission::new(policy());
    let ann = admission.arrive(&client("192.0.2.1"), Some(b"key of ann"), at(0)).unwrap();
    assert_eq!(run(&mut admission, &ann, image(1), secs(5), at(0)), Ok(()));
    let keys = format!("ann gold {}", Digest::of(b"key of ann"));
    admission.reload(Policy { keys: Keys::parse(&keys, |_| true).unwrap(), ..policy() });
    let bob = admission.arrive(&client("192.0.2.1"), Some(b"key of bob"), at(0));
    assert_eq!(bob.map(|_| ()), Err(Denied::UnknownKey));
    let ann = admission.arrive(&client("192.0.2.1"), Some(b"key of ann"), at(0)).unwrap();
    assert!(run(&mut admission, &ann, image(1), secs(1), at(0)).is_err());
}

#[test]
fn who_is_banned_is_not_let_in_until_the_ban_is_over() {
    let mut admission = Admission::new(policy());
    let arrive = |admission: &mut Admission, address: &str, key: Option<&[u8]>, now| {
        admission.arrive(&client(address), key, now).map(|_| ())
    };
    admission.bans().ban("192.0.2.0/24", secs(60), "floods", at(0)).unwrap();
    admission.bans().ban("key:ann", secs(60), "leaked", at(0)).unwrap();
    let banned = |seconds| Err(Denied::Banned(secs(seconds)));
    assert_eq!(arrive(&mut admission, "192.0.2.7", None, at(10)), banned(50));
    assert_eq!(arrive(&mut admission, "192.0.2.7", Some(b"key of bob"), at(10)), banned(50));
    assert_eq!(arrive(&mut admission, "192.0.3.7", Some(b"key of ann"), at(10)), banned(50));
    assert_eq!(arrive(&mut admission, "192.0.3.7", Some(b"key of bob"), at(10)), Ok(()));
    assert_eq!(arrive(&mut admission, "192.0.2.7", None, at(60)), Ok(()));
}

#[test]
fn this_machine_is_limited_only_if_it_is_said() {
    let mut admission = Admission::new(policy());
    for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"] {
        let local = caller(&mut admission, address, at(0));
        assert_eq!(local.class.name, LOCAL, "{address}");
        for _ in 0..200 {
            assert_eq!(run(&mut admission, &local, image(1), secs(10), at(0)), Ok(()));
        }
    }
}

#[test]
fn runs_have_a_rate_of_their_own_below_that_of_requests() {
    let mut admission = Admission::new(policy());
    let one = caller(&mut admission, "192.0.2.1", at(0));
    for _ in 0..20 {
        assert_eq!(run(&mut admission, &one, image(1), Duration::ZERO, at(0)), Ok(()));
    }
    let spent = Err(Denied::Spent(Limit::Runs, secs(3)));
    assert_eq!(run(&mut admission, &one, image(1), Duration::ZERO, at(0)), spent);
    assert!(admission.arrive(&client("192.0.2.1"), None, at(0)).is_ok());
    assert_eq!(run(&mut admission, &one, image(1), Duration::ZERO, at(3)), Ok(()));
}
