//! Extended headers: `LENGTH KEY=VALUE\n`, over and over (POSIX, `pax`, extended header).
//!
//! Read here and not by the tar crate, which splits at line ends, while a file capability is 20
//! bytes of any value.

use super::caps::Cap;
use super::error::LayerError;

/// What extended headers say of the entry that follows them.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
}

/// The records by which GNU tar says that a file has holes.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    /// Form 0.1: offset and length, in turns.
    pub(super) map: Option<Vec<u64>>,
    /// The name that the file has when it is not taken for an archive's makeshift.
    pub(super) name: Option<Vec<u8>>,
    /// Its length with its holes.
    pub(super) size: Option<u64>,
    /// Form 0.0, which repeats its keys; nobody has written it since 2006.
    pub(super) is_ancient: bool,
}

/// Namespaces of attributes that are kept. Others belong to the host that made the layer
/// (`security.selinux`), or would speak to the guest's overlay (`trusted.overlay.*`).
fn is_kept(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name == b"security.capability"
}

impl Pax {
    /// Takes all records of one extended header. Later ones win. `dropped` counts attributes
    /// that are not kept.
    pub(super) fn read(
        &mut self,
        mut text: &[u8],
        xattr_bytes_max: u64,
        dropped: &mut u64,
    ) -> Result<(), LayerError> {
        while !text.is_empty() {
            let (key, value, rest) = record(text).ok_or(LayerError::tar("a broken PAX record"))?;
            text = rest;
            self.take(key, value, dropped)?;
        }
        let bytes: usize = self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        Cap::XattrBytes.check(u64::try_from(bytes).unwrap_or(u64::MAX), xattr_bytes_max)
    }

    fn take(&mut self, key: &[u8], value: &[u8], dropped: &mut u64) -> Result<(), LayerError> {
        // An empty value takes a record back (POSIX); what the plain header says holds again.
        let given = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = given(),
            b"linkpath" => self.link = given(),
            b"size" => self.size = number(value)?,
            b"uid" => self.uid = number(value)?,
            b"gid" => self.gid = number(value)?,
            b"mtime" => self.mtime = time(value)?,
            b"GNU.sparse.major" => self.sparse.major = number(value)?,
            b"GNU.sparse.minor" => self.sparse.minor = number(value)?,
            b"GNU.sparse.name" => self.sparse.name = given(),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.size = number(value)?,
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.is_ancient = true,
            b"GNU.sparse.map" => {
                let numbers = value.split(|&byte| byte == b',').map(|part| {
                    number(part)?.ok_or(LayerError::tar("an empty number in a map of holes"))
                });
                self.sparse.map = Some(numbers.collect::<Result<_, _>>()?);
            }
            _ => {
                let Some(name) = key.strip_prefix(b"SCHILY.xattr.") else {
                    return Ok(());
                };
                if !is_kept(name) {
                    *dropped += 1;
                    return Ok(());
                }
                self.xattrs.retain(|(known, _)| known != name);
                self.xattrs.push((name.to_vec(), value.to_vec()));
            }
        }
        Ok(())
    }
}

/// Key, value, and what follows the record.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().take(20).position(|&byte| byte == b' ')?;
    let length: usize = std::str::from_utf8(text.get(..space)?).ok()?.parse().ok()?;
    let rest = text.get(length..)?;
    let body = text.get(space + 1..length.checked_sub(1)?)?;
    (text.get(length - 1) == Some(&b'\n')).then_some(())?;
    let equals = body.iter().position(|&byte| byte == b'=')?;
    Some((body.get(..equals)?, body.get(equals + 1..)?, rest))
}

fn number(value: &[u8]) -> Result<Option<u64>, LayerError> {
    if value.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(value).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.map(Some).ok_or(LayerError::tar("a PAX number that is none"))
}

/// Seconds with a fraction, both of any length.
fn time(value: &[u8]) -> Result<Option<(i64, u32)>, LayerError> {
    if value.is_empty() {
        return Ok(None);
    }
    let bad = LayerError::tar("a PAX time that is none");
    let Some(text) = std::str::from_utf8(value).ok() else {
        return Err(bad);
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let Ok(seconds) = whole.parse::<i64>() else {
        return Err(bad);
    };
    let mut nanos = 0_u32;
    let mut unit = 100_000_000_u32;
    for digit in fraction.bytes() {
        if !digit.is_ascii_digit() {
            return Err(bad);
        }
        nanos += u32::from(digit - b'0') * unit;
        unit /= 10;
    }
    // -1.25 is 0.75 after -2.
    Ok(Some(if whole.starts_with('-') && nanos > 0 {
        (seconds.saturating_sub(1), 1_000_000_000 - nanos)
    } else {
        (seconds, nanos)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pax(text: &[u8]) -> Result<Pax, LayerError> {
        let mut pax = Pax::default();
        pax.read(text, 1000, &mut 0).map(|()| pax)
    }

    #[test]
    fn values_may_hold_any_bytes() {
        let it = pax(b"12 path=a\nb\n32 SCHILY.xattr.user.x=\n=\0\xff 1 a\n").expect("good");
        assert_eq!(it.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(it.xattrs, [(b"user.x".to_vec(), b"\n=\0\xff 1 a".to_vec())]);
    }

    #[test]
    fn times_are_exact_to_the_nanosecond_before_and_after_the_epoch() {
        for (text, time) in [
            (&b"16 mtime=10.250\n"[..], (10, 250_000_000)),
            (b"15 mtime=-1.25\n", (-2, 750_000_000)),
            (b"28 mtime=1.0000000019999999\n", (1, 1)),
            (b"11 mtime=7\n", (7, 0)),
        ] {
            let it = pax(text).expect("good");
            assert_eq!(it.mtime, Some(time), "{text:?}");
        }
    }

    #[test]
    fn records_that_lie_are_refused() {
        for text in [
            &b"99 path=a\n"[..],
            b"8 path=a\n",
            b"10 path=a",
            b"0 path=a\n",
            b"1 ",
            b"x path=a\n",
            b"18446744073709551616 path=a\n",
            b"10 pathaa\n",
            b"10 size=-\n",
        ] {
            assert!(pax(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn attributes_beyond_their_cap_are_refused_by_name() {
        let text = format!("1030 SCHILY.xattr.user.x={}\n", "v".repeat(1004));
        let refused = pax(text.as_bytes()).expect_err("too much");
        assert!(refused.to_string().contains("xattr"), "{refused}");
    }
}
