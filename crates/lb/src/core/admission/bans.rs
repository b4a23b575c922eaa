//! Who is not let in for a while: networks, and holders of keys.
//!
//! A bounded table. An entry is over when its time is; to look somebody up costs one look for
//! each length of prefix that is in use, and nothing when nobody is banned.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::keys;
use crate::core::ids::ClientKey;
use crate::core::moment::Moment;
use crate::limits::{BAN_REASON_CHARS_MAX, BAN_TIME_MAX, BANS_MAX};

/// See the module.
#[derive(Debug, Default)]
pub struct Bans {
    entries: HashMap<Target, Ban>,
    /// How many entries there are of each length.
    lengths: BTreeMap<u8, usize>,
}

/// Who is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Target {
    /// Addresses that begin with the same bits; IPv4 as mapped into IPv6.
    Network { bits: u128, length: u8 },
    /// The holder of a key.
    Key(ClientKey),
}

#[derive(Debug)]
struct Ban {
    /// As it was given.
    text: String,
    until: Moment,
    reason: String,
}

/// A ban, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanRow {
    /// Who, as it was given.
    pub target: String,
    /// For how long yet.
    pub left: Duration,
    /// Why.
    pub reason: String,
}

/// Why nobody was banned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotBanned {
    /// Nobody is meant by it.
    #[error("expected an address, a network such as 192.0.2.0/24, or key:NAME")]
    Target,
    /// It is too long, or no time at all.
    #[error("a ban takes from 1 second to {} days", BAN_TIME_MAX.as_secs() / 86_400)]
    Time,
    /// The table is full.
    #[error("there are {BANS_MAX} bans already; lift some, or ban larger networks")]
    Full,
}

impl Bans {
    /// Bans somebody; a ban that is there already begins anew.
    ///
    /// # Errors
    /// Nobody was banned.
    pub fn ban(
        &mut self,
        text: &str,
        time: Duration,
        reason: &str,
        now: Moment,
    ) -> Result<(), NotBanned> {
        let target = Target::parse(text).ok_or(NotBanned::Target)?;
        if time < Duration::from_secs(1) || time > BAN_TIME_MAX {
            return Err(NotBanned::Time);
        }
        if self.entries.len() >= BANS_MAX && !self.entries.contains_key(&target) {
            self.expire(now);
            if self.entries.len() >= BANS_MAX {
                return Err(NotBanned::Full);
            }
        }
        let reason = reason.chars().take(BAN_REASON_CHARS_MAX).collect();
        let ban = Ban { text: text.trim().to_owned(), until: now.after(time), reason };
        if self.entries.insert(target.clone(), ban).is_none() {
            if let Target::Network { length, .. } = target {
                *self.lengths.entry(length).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Lifts a ban; says whether there was one.
    pub fn unban(&mut self, text: &str) -> bool {
        Target::parse(text).is_some_and(|target| self.remove(&target))
    }

    /// All that hold, the longest first.
    pub fn list(&mut self, now: Moment) -> Vec<BanRow> {
        self.expire(now);
        let row = |ban: &Ban| BanRow {
            target: ban.text.clone(),
            left: ban.until.since(now),
            reason: ban.reason.clone(),
        };
        let mut rows: Vec<BanRow> = self.entries.values().map(row).collect();
        rows.sort_by(|a, b| b.left.cmp(&a.left).then_with(|| a.target.cmp(&b.target)));
        rows
    }

    /// For how long yet an address is not let in.
    pub fn of_address(&self, address: IpAddr, now: Moment) -> Option<Duration> {
        let bits = bits(address);
        let of_length = |length: &u8| {
            let target = Target::Network { bits: bits & mask(*length), length: *length };
            self.entries.get(&target).map(|ban| ban.until.since(now))
        };
        self.lengths.keys().filter_map(of_length).max().filter(|left| !left.is_zero())
    }

    /// For how long yet the holder of a key is not let in.
    pub fn of_key(&self, client: ClientKey, now: Moment) -> Option<Duration> {
        let ban = self.entries.get(&Target::Key(client))?;
        Some(ban.until.since(now)).filter(|left| !left.is_zero())
    }

    fn expire(&mut self, now: Moment) {
        let is_over = |ban: &Ban| ban.until <= now;
        let over = self.entries.iter().filter(|(_, ban)| is_over(ban));
        for target in over.map(|(target, _)| target.clone()).collect::<Vec<_>>() {
            self.remove(&target);
        }
    }

    fn remove(&mut self, target: &Target) -> bool {
        if self.entries.remove(target).is_none() {
            return false;
        }
        if let Target::Network { length, .. } = target {
            if let Some(count) = self.lengths.get_mut(length) {
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(length);
                }
            }
        }
        true
    }
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(name) = text.strip_prefix("key:") {
            return (!name.is_empty()).then(|| Self::Key(keys::client_of(name)));
        }
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        // An IPv4 address is the end of an IPv6 one, so its prefixes are 96 longer.
        let before = if address.is_ipv4() { 96 } else { 0 };
        let length = length.unwrap_or(128 - before);
        if length > 128 - before {
            return None;
        }
        let length = before + length;
        Some(Self::Network { bits: bits(address) & mask(length), length })
    }
}

fn bits(address: IpAddr) -> u128 {
    let v6: Ipv6Addr = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    v6.to_bits()
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_ban_holds_for_what_it_names_and_no_more() {
        let check = |target: &str, inside: &[&str], outside: &[&str]| {
            let mut bans = Bans::default();
            bans.ban(target, HOUR, "", at(0)).unwrap();
            let is_banned = |text: &&str| bans.of_address(text.parse().unwrap(), at(1)).is_some();
            assert!(inside.iter().all(is_banned), "{target}");
            assert!(!outside.iter().any(is_banned), "{target}");
        };
        check("192.0.2.1", &["192.0.2.1", "::ffff:192.0.2.1"], &["192.0.2.2", "::192.0.2.1"]);
        check("192.0.2.77/24", &["192.0.2.0", "192.0.2.255"], &["192.0.3.0", "192.0.1.255"]);
        check("0.0.0.0/0", &["1.2.3.4"], &["2001:db8::1", "::1"]);
        check("2001:db8::/48", &["2001:db8:0:ffff::1"], &["2001:db8:1::"]);
        check("::/0", &["::1", "1.2.3.4"], &[]);
    }

    #[test]
    fn what_names_nobody_or_no_time_is_refused() {
        let mut bans = Bans::default();
        for target in ["", "x", "192.0.2.1/33", "192.0.2/24", "::/129", "1.2.3.4/-1", "key:"] {
            assert_eq!(bans.ban(target, HOUR, "", at(0)), Err(NotBanned::Target), "{target}");
        }
        for time in [Duration::ZERO, BAN_TIME_MAX * 2] {
            assert_eq!(bans.ban("192.0.2.1", time, "", at(0)), Err(NotBanned::Time));
        }
        assert_eq!(bans.list(at(0)), []);
    }

    #[test]
    fn bans_are_listed_lifted_and_forgotten_in_time() {
        let mut bans = Bans::default();
        bans.ban("192.0.2.1", HOUR, "mines", at(0)).unwrap();
        bans.ban("key:ann", HOUR * 2, "", at(0)).unwrap();
        let targets = |bans: &mut Bans, now| -> Vec<String> {
            bans.list(now).into_iter().map(|row| row.target).collect()
        };
        assert_eq!(targets(&mut bans, at(0)), ["key:ann", "192.0.2.1"]);
        assert!(bans.unban("key:ann") && !bans.unban("key:ann"));
        assert_eq!(bans.list(at(60))[0].left, HOUR - Duration::from_secs(60));
        assert_eq!(targets(&mut bans, at(3600)), [""; 0]);
        assert!(bans.lengths.is_empty());
    }

    #[test]
    fn the_table_is_bounded_and_bans_that_are_over_make_room() {
        let mut bans = Bans::default();
        for number in 0..u32::try_from(BANS_MAX).unwrap() {
            let address = core::net::Ipv4Addr::from_bits(number).to_string();
            bans.ban(&address, HOUR, "", at(0)).unwrap();
        }
        assert_eq!(bans.ban("192.0.2.1", HOUR, "", at(0)), Err(NotBanned::Full));
        assert_eq!(bans.ban("0.0.0.1", HOUR, "", at(0)), Ok(()), "that one is there");
        assert_eq!(bans.ban("192.0.2.1", HOUR, "", at(3600)), Ok(()));
        assert_eq!(bans.list(at(3600)).len(), 1);
    }
}
