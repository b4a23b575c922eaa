//! Which part of a body is asked for (RFC 9110, section 14).
//!
//! One range is answered; several are answered with the whole, which the RFC allows, because what
//! they would save is nothing and what they could cost is not.

use std::ops::Range;

/// What a `range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Everything: it asks for nothing that is understood, or for several parts.
    Whole,
    /// This part, which is not empty and lies inside.
    Part(Range<usize>),
    /// Something that is not there.
    Nothing,
}

/// Reads a header against the length of what there is.
pub fn wanted(header: &[u8], length: usize) -> Wanted {
    let Some((first, last)) = std::str::from_utf8(header).ok().and_then(bounds) else {
        return Wanted::Whole;
    };
    let part = match (first, last) {
        // `-5`: the last five bytes.
        (None, Some(last)) => length.saturating_sub(last)..length,
        (Some(first), None) => first..length,
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(_), Some(_)) | (None, None) => return Wanted::Whole,
    };
    if part.is_empty() { Wanted::Nothing } else { Wanted::Part(part) }
}

/// What stands before and after the dash of a single range of bytes.
fn bounds(text: &str) -> Option<(Option<usize>, Option<usize>)> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    Some((number(first)?, number(last)?))
}

/// Nothing, or a number of digits alone; one that is too large means the end.
fn number(text: &str) -> Option<Option<usize>> {
    if text.is_empty() {
        return Some(None);
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Some(text.parse().unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_a_part_and_anything_else_is_all_or_nothing() {
        let check = |header: &str, expected: Wanted| {
            assert_eq!(wanted(header.as_bytes(), 10), expected, "{header}");
        };
        check("bytes=0-0", Wanted::Part(0..1));
        check("bytes=2-5", Wanted::Part(2..6));
        check("Bytes = 2-5", Wanted::Part(2..6));
        check("bytes=2-", Wanted::Part(2..10));
        check("bytes=2-99", Wanted::Part(2..10));
        check("bytes=-3", Wanted::Part(7..10));
        check("bytes=-99", Wanted::Part(0..10));
        check("bytes=9-99999999999999999999999999", Wanted::Part(9..10));
        check("bytes=10-", Wanted::Nothing);
        check("bytes=99999999999999999999999999-", Wanted::Nothing);
        check("bytes=-0", Wanted::Nothing);
        check("bytes=5-2", Wanted::Whole);
        check("bytes=-", Wanted::Whole);
        check("bytes=0-0,2-2", Wanted::Whole);
        check("bytes=+1-2", Wanted::Whole);
        check("bytes=a-b", Wanted::Whole);
        check("lines=0-1", Wanted::Whole);
        check("", Wanted::Whole);
        assert_eq!(wanted(b"bytes=0-", 0), Wanted::Nothing);
        assert_eq!(wanted(b"bytes=\xff-", 10), Wanted::Whole);
    }
}
