//! Attributes, which stand behind the inode that has them.

use super::pad;

const HEADER_BYTES: usize = 12;
const UNIT_BYTES: usize = 4;

/// Prefixes of names that have a number. A layer's other attributes are not unpacked.
const PREFIXES: [(&[u8], u8); 2] = [(b"user.", 1), (b"security.", 6)];

/// Whether an attribute is one that packs have.
pub(crate) fn is_kept(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name == b"security.capability"
}

/// All attributes of an inode, in the order of their names; nothing, if there are none. `None` if
/// they have no room in the format, which says lengths in 8 and 16 bits.
pub(crate) fn encode(attributes: &[(Vec<u8>, Vec<u8>)]) -> Option<Vec<u8>> {
    if attributes.is_empty() {
        return Some(Vec::new());
    }
    let mut bytes = vec![0; HEADER_BYTES];
    for (name, value) in attributes {
        let known = PREFIXES
            .iter()
            .find_map(|(prefix, index)| name.strip_prefix(*prefix).map(|rest| (rest, *index)));
        let (rest, index) = known?;
        bytes.push(u8::try_from(rest.len()).ok()?);
        bytes.push(index);
        bytes.extend_from_slice(&u16::try_from(value.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(rest);
        bytes.extend_from_slice(value);
        pad(&mut bytes, UNIT_BYTES);
    }
    count(&bytes).map(|_| bytes)
}

/// How an inode says their length.
pub(crate) fn count(encoded: &[u8]) -> Option<u16> {
    match encoded.len().checked_sub(HEADER_BYTES) {
        None => Some(0),
        Some(rest) => u16::try_from(1 + rest / UNIT_BYTES).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_laid_out_as_the_kernel_reads_them() {
        let pairs =
            [("security.capability", &b"\x01\x02"[..]), ("user.ab", &b"xyz"[..]), ("user.", b"")]
                .map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()));
        let bytes = encode(&pairs).expect("they fit");
        let expected = [
            &[0; 12][..],
            b"\x0a\x06\x02\x00capability\x01\x02",
            b"\x02\x01\x03\x00abxyz\0\0\0",
            b"\x00\x01\x00\x00",
        ]
        .concat();
        assert_eq!(bytes, expected);
        assert_eq!(count(&bytes), Some(9));
        assert_eq!((encode(&[]), count(&[])), (Some(Vec::new()), Some(0)));
    }

    #[test]
    fn what_the_format_cannot_say_is_none() {
        let one = |name: &[u8], bytes: usize| encode(&[(name.to_vec(), vec![0; bytes])]);
        assert!(one(b"user.a", 65_535).is_some());
        assert_eq!(one(b"user.a", 65_536), None);
        assert_eq!(one(&[b"user.".as_slice(), &[b'n'; 256]].concat(), 0), None);
        assert_eq!(one(b"trusted.a", 1), None);
        let many: Vec<_> = (0..5).map(|_| (b"user.a".to_vec(), vec![0; 60_000])).collect();
        assert_eq!(encode(&many), None);
    }

    #[test]
    fn only_those_of_the_policy_are_kept() {
        assert!(is_kept(b"user.a") && is_kept(b"security.capability"));
        assert!(!is_kept(b"security.selinux") && !is_kept(b"trusted.overlay.opaque"));
    }
}
