//! Who the job runs as: names resolved by the image's own `/etc/passwd` and `/etc/group`.
//!
//! Pure. Both files are the image's and so are hostile: lines that are not what they should be are
//! passed over, numbers are bounded, and nothing is ever taken to be text that is not.

use crate::limits::{GROUPS_MAX, IDS};

/// Who a process in the container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// User id inside the container.
    pub uid: u32,
    /// Group id inside the container.
    pub gid: u32,
    /// Supplementary groups, sorted, each once.
    pub groups: Vec<u32>,
    /// Home directory, if the image names one.
    pub home: Option<String>,
}

/// Why a user cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownAccount {
    /// Not in /etc/passwd and not a number.
    #[error("the image has no user `{0}` in its /etc/passwd")]
    User(String),
    /// Not in /etc/group and not a number.
    #[error("the image has no group `{0}` in its /etc/group")]
    Group(String),
    /// Outside of what is mapped.
    #[error("id {0} is too large: only ids below {IDS} exist here")]
    TooLarge(u64),
}

impl Account {
    /// Root without anything else: what an image that names no user runs as.
    pub fn root() -> Self {
        Self { uid: 0, gid: 0, groups: Vec::new(), home: None }
    }
}

/// Resolves `name`, `uid`, `name:group`, `uid:gid` and mixtures of them. A name wins over a
/// number that looks the same. With a group given there are no supplementary groups.
pub fn resolve(user: &str, passwd: &[u8], group: &[u8]) -> Result<Account, UnknownAccount> {
    let (user, group_wanted) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let by_name = users(passwd).find(|entry| entry.name == user.as_bytes());
    let number = user.parse::<u64>().ok();
    let entry = by_name.or_else(|| {
        let number = number?;
        users(passwd).find(|entry| u64::from(entry.uid) == number)
    });
    let (uid, gid) = match (&entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid),
        (None, Some(number)) => (bounded(number)?, 0),
        (None, None) => return Err(UnknownAccount::User(user.to_owned())),
    };
    let home = entry.as_ref().and_then(|entry| entry.home.clone());
    let (gid, groups) = match group_wanted {
        Some(wanted) => (group_id(wanted, group)?, Vec::new()),
        None => (gid, memberships(entry.as_ref(), gid, group)),
    };
    Ok(Account { uid: bounded(u64::from(uid))?, gid: bounded(u64::from(gid))?, groups, home })
}

struct User<'file> {
    name: &'file [u8],
    uid: u32,
    gid: u32,
    home: Option<String>,
}

fn users(passwd: &[u8]) -> impl Iterator<Item = User<'_>> {
    lines(passwd).filter_map(|fields| {
        let &[name, _password, uid, gid, _comment, home, ..] = fields.as_slice() else {
            return None;
        };
        let home = std::str::from_utf8(home).ok().filter(|home| home.starts_with('/'));
        Some(User { name, uid: number(uid)?, gid: number(gid)?, home: home.map(str::to_owned) })
    })
}

fn group_id(wanted: &str, group: &[u8]) -> Result<u32, UnknownAccount> {
    let by_name = groups(group).find(|(name, _, _)| *name == wanted.as_bytes());
    match (by_name, wanted.parse::<u64>()) {
        (Some((_, gid, _)), _) => Ok(gid),
        (None, Ok(number)) => bounded(number),
        (None, Err(_)) => Err(UnknownAccount::Group(wanted.to_owned())),
    }
}

/// Groups that list the user, but for ids that do not exist here.
fn memberships(user: Option<&User<'_>>, primary: u32, group: &[u8]) -> Vec<u32> {
    let Some(user) = user else { return Vec::new() };
    let lists_user = |members: &[u8]| members.split(|byte| *byte == b',').any(|m| m == user.name);
    let mut found: Vec<u32> = groups(group)
        .filter(|(_, gid, members)| *gid != primary && *gid < IDS && lists_user(members))
        .map(|(_, gid, _)| gid)
        .take(GROUPS_MAX)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Name, id and members of each group.
fn groups(group: &[u8]) -> impl Iterator<Item = (&[u8], u32, &[u8])> {
    lines(group).filter_map(|fields| match fields.as_slice() {
        &[name, _password, gid, members, ..] => Some((name, number(gid)?, members)),
        _ => None,
    })
}

fn lines(file: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    file.split(|byte| *byte == b'\n')
        .map(|line| line.splitn(8, |byte| *byte == b':').collect::<Vec<_>>())
        .filter(|fields| fields.first().is_some_and(|name| !name.is_empty()))
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn bounded(id: u64) -> Result<u32, UnknownAccount> {
    match u32::try_from(id) {
        Ok(id) if id < IDS => Ok(id),
        Ok(_) | Err(_) => Err(UnknownAccount::TooLarge(id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        broken line\nworse:x:no:1:::\n:x:7:7::/:\n\
        www:x:33:33:www:/var/www:/bin/false\n\
        1000:x:2000:2000:a name of digits:/home/digits:/bin/sh\n\
        user:x:1000:1000::/home/user:/bin/sh\nuser:x:1:1:second:/:/bin/sh\n\
        huge:x:70000:1::/:/bin/sh\nrelative:x:5:5::not/absolute:/bin/sh\n\xff\xfe:x:8:8::/:\n";
    const GROUP: &[u8] = b"root:x:0:\nwww:x:33:user,other\naudio:x:29:user\naudio2:x:29:user\n\
        own:x:1000:user\nfar:x:99999:user\nbad:x:\nlog:x:4:www\n";

    fn check(user: &str) -> Result<(u32, u32, Vec<u32>), UnknownAccount> {
        resolve(user, PASSWD, GROUP).map(|found| (found.uid, found.gid, found.groups))
    }

    #[test]
    fn names_and_numbers_are_found_with_their_groups() {
        assert_eq!(check(""), Ok((0, 0, vec![])));
        assert_eq!(check("root"), Ok((0, 0, vec![])));
        assert_eq!(check("user"), Ok((1000, 1000, vec![29, 33])));
        assert_eq!(check("33"), Ok((33, 33, vec![4])));
        assert_eq!(check("4242"), Ok((4242, 0, vec![])));
    }

    #[test]
    fn a_group_given_leaves_no_other_groups() {
        assert_eq!(check("user:audio"), Ok((1000, 29, vec![])));
        assert_eq!(check("user:7"), Ok((1000, 7, vec![])));
        assert_eq!(check("12:34"), Ok((12, 34, vec![])));
        assert_eq!(check(":audio"), Ok((0, 29, vec![])));
        assert_eq!(check("user:"), Ok((1000, 1000, vec![29, 33])));
    }

    #[test]
    fn a_name_wins_over_a_number_that_looks_the_same() {
        assert_eq!(check("1000"), Ok((2000, 2000, vec![])));
    }

    #[test]
    fn what_does_not_exist_is_refused_by_name() {
        assert_eq!(check("nobody"), Err(UnknownAccount::User("nobody".to_owned())));
        assert_eq!(check("user:nogroup"), Err(UnknownAccount::Group("nogroup".to_owned())));
        assert_eq!(check("worse"), Err(UnknownAccount::User("worse".to_owned())));
        assert_eq!(check("-1"), Err(UnknownAccount::User("-1".to_owned())));
    }

    #[test]
    fn ids_beyond_the_mapping_are_refused_wherever_they_come_from() {
        assert_eq!(check("65536"), Err(UnknownAccount::TooLarge(65536)));
        assert_eq!(check("huge"), Err(UnknownAccount::TooLarge(70000)));
        assert_eq!(check("0:65536"), Err(UnknownAccount::TooLarge(65536)));
        assert_eq!(check("0:far"), Err(UnknownAccount::TooLarge(99999)));
        assert_eq!(
            check("18446744073709551616"),
            Err(UnknownAccount::User("18446744073709551616".to_owned()))
        );
        assert_eq!(check("65535"), Ok((65535, 0, vec![])));
    }

    #[test]
    fn a_home_is_taken_only_if_it_is_an_absolute_path_in_utf8() {
        let home = |user| resolve(user, PASSWD, GROUP).unwrap().home;
        assert_eq!(home("user").as_deref(), Some("/home/user"));
        assert_eq!(home("relative"), None);
        assert_eq!(home("4242"), None);
    }

    #[test]
    fn files_of_garbage_resolve_numbers_and_nothing_else() {
        for file in [&b""[..], b"\0\0\0", b":::::::\n::::", &[0xff; 10_000]] {
            assert_eq!(resolve("7:8", file, file).unwrap().gid, 8);
            assert!(resolve("x", file, file).is_err());
        }
    }
}
