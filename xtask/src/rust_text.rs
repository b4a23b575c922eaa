//! Rust source without its comments and texts, so that a word in them is not taken for code.
//!
//! This is no parser: it knows just enough of the grammar to tell code from the rest, and keeps
//! every line feed, so that line numbers stay true.

/// The source with everything in comments, strings and character literals made blank.
pub(crate) fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let after_word = out.last().is_some_and(|byte| is_word(*byte));
        let skipped = match rest {
            [b'/', b'/', ..] => line_comment(rest),
            [b'/', b'*', ..] => block_comment(rest),
            [b'"', ..] => string(rest),
            [b'\'', ..] => character(rest),
            [b'r', b'"' | b'#', ..] if !after_word => raw_string(rest, 1),
            [b'b', b'r', b'"' | b'#', ..] if !after_word => raw_string(rest, 2),
            _ => 0,
        };
        let taken = skipped.max(1);
        let piece = rest.get(..taken).unwrap_or(rest);
        if skipped == 0 {
            out.extend_from_slice(piece);
        } else {
            out.extend(piece.iter().map(|&byte| if byte == b'\n' { b'\n' } else { b' ' }));
        }
        at += piece.len();
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether a line of code has this word, whole.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.bytes().last());
        let after = line.get(at + word.len()..).and_then(|text| text.bytes().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn line_comment(rest: &[u8]) -> usize {
    rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match rest.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") if depth == 1 => return at + 2,
            Some(b"*/") => (depth, at) = (depth.saturating_sub(1), at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn string(rest: &[u8]) -> usize {
    let mut escaped = false;
    for (at, &byte) in rest.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal; 0 if it is a lifetime.
fn character(rest: &[u8]) -> usize {
    let text = String::from_utf8_lossy(rest.get(..rest.len().min(16)).unwrap_or_default());
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => {
            let end = text.char_indices().skip(3).find(|(_, char)| *char == '\'');
            end.map_or(0, |(at, _)| at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

fn raw_string(rest: &[u8], prefix: usize) -> usize {
    let opening = rest.get(prefix..).unwrap_or_default();
    let hashes = opening.iter().take_while(|&&byte| byte == b'#').count();
    if opening.get(hashes) != Some(&b'"') {
        return 0; // A raw identifier.
    }
    let mut closing = vec![b'"'];
    closing.resize(hashes + 1, b'#');
    let body = prefix + hashes + 1;
    let found = rest
        .get(body..)
        .unwrap_or_default()
        .windows(closing.len())
        .position(|window| window == closing);
    found.map_or(rest.len(), |at| body + at + closing.len())
}

#[cfg(test)]
mod tests {
    use super::{code_only, has_word};

    fn words(source: &str) -> String {
        code_only(source).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_texts_are_not_code() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), "a c g");
        assert_eq!(words(r#"a("b \" c", "d") e"#), "a( , ) e");
        assert_eq!(words(r##"a(r#"b " c"#, br"d") e"##), "a( , ) e");
        assert_eq!(words(r"'a' '\'' '\u{1f600}' b"), "b");
        assert_eq!(words("'ö' b"), "b");
        assert_eq!(words("fn a<'b>(c: &'b str)"), "fn a<'b>(c: &'b str)");
        assert_eq!(words("r#type for_r\"x\""), "r#type for_r");
    }

    #[test]
    fn lines_stay_where_they_were() {
        let source = "a\n/* b\nc */ d\n\"e\nf\" g\n";
        let lines: Vec<String> =
            code_only(source).lines().map(|line| line.trim().to_owned()).collect();
        assert_eq!(lines, ["a", "", "d", "", "g"]);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("unsafe { }", "unsafe"));
        assert!(has_word("x(unsafe)", "unsafe"));
        assert!(!has_word("deny(unsafe_code)", "unsafe"));
        assert!(!has_word("not_unsafe()", "unsafe"));
    }

    #[test]
    fn text_that_does_not_end_is_text_to_the_end() {
        for source in ["a \"b", "a /* b", "a r#\"b\"", "a '", "a '\\", "a b'"] {
            assert_eq!(code_only(source).len(), source.len());
        }
    }
}
