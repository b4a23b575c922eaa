//! Words of a template and words of a field: what is literal and where a value goes.
//!
//! A template's word is `{name}` as a whole, or literal. Inside the `args` of a field `{}` is where
//! its value goes. Both are looked for in what the author wrote, never in a value.

use std::borrow::Cow;

use super::{Field, Kind};

/// Where a value goes in a word of a field.
pub(super) const HOLE: &str = "{}";

/// A word of a template.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// Stands for a field, if there is one of this name.
    Field(&'a str),
    /// Itself.
    Literal(Cow<'a, str>),
}

impl<'a> Word<'a> {
    pub(super) fn parse(word: &'a str) -> Self {
        let inner = word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match inner {
            Some(inner) if inner.starts_with('{') && inner.ends_with('}') && inner.len() >= 2 => {
                Self::Literal(Cow::Borrowed(inner))
            }
            Some(name) if is_name(name) => Self::Field(name),
            Some(_) | None => Self::Literal(Cow::Borrowed(word)),
        }
    }
}

/// What a field may be called: `[a-z][a-z0-9_]*`.
pub(super) fn is_name(text: &str) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_lowercase();
    let is_later = |byte: &u8| is_first(byte) || byte.is_ascii_digit() || *byte == b'_';
    text.as_bytes().first().is_some_and(is_first) && text.as_bytes().iter().all(is_later)
}

/// Gives the words of a field that has a value that it accepts: each as the author wrote it, and
/// what to put at its holes, if it has such.
pub(super) fn of_field<E>(
    field: &Field,
    value: &str,
    push: &mut impl FnMut(&str, Option<&str>) -> Result<(), E>,
) -> Result<(), E> {
    match &field.kind {
        Kind::Flag { args, .. } if value == "true" => args.iter().try_for_each(|it| push(it, None)),
        Kind::Flag { .. } => Ok(()),
        Kind::Choice { options, .. } => {
            let chosen = options.iter().find(|option| option.value == value);
            let mut args = chosen.into_iter().flat_map(|option| &option.args);
            args.try_for_each(|word| push(word, None))
        }
        Kind::Text { is_words: true, args, .. } => {
            let mut parts = value.split_ascii_whitespace();
            parts.try_for_each(|part| args.iter().try_for_each(|word| push(word, Some(part))))
        }
        Kind::Number { .. } | Kind::Text { .. } | Kind::File { .. } if value.is_empty() => Ok(()),
        Kind::Number { args, .. } | Kind::Text { args, .. } | Kind::File { args, .. } => {
            args.iter().try_for_each(|word| push(word, Some(value)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_field_only_as_a_whole() {
        let literal = |text| Word::Literal(Cow::Borrowed(text));
        assert_eq!(Word::parse("{main}"), Word::Field("main"));
        assert_eq!(Word::parse("{o_2}"), Word::Field("o_2"));
        for text in ["", "{", "}", "{}", "main", "-o{main}", "{main}.o", "{Main}", "{2}", "{a b}"] {
            assert_eq!(Word::parse(text), literal(text), "{text}");
        }
        assert_eq!(Word::parse("{{main}}"), literal("{main}"));
        assert_eq!(Word::parse("{{}}"), literal("{}"));
        assert_eq!(Word::parse("{{{main}}}"), literal("{{main}}"));
        assert_eq!(Word::parse("{{ print }}"), literal("{ print }"));
        assert_eq!(Word::parse("{{main}"), literal("{{main}"));
    }
}
