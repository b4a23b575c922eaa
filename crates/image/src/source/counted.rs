//! Lists and maps of strangers' JSON: no more than so many entries are kept, and all are counted.
//!
//! Four megabytes of `{}` would be a hundred of empty structs; so what is beyond the bound is
//! skipped as it is read, and the reader says how much there was.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::SourceError;

/// A list of which at most `MAX` entries are kept. `null` is an empty one.
#[derive(Debug, Clone)]
pub(super) struct List<T, const MAX: usize> {
    kept: Vec<T>,
    there: usize,
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self { kept: Vec::new(), there: 0 }
    }
}

impl<T, const MAX: usize> List<T, MAX> {
    /// All entries, if there are not too many.
    pub(super) fn all(self, what: &'static str) -> Result<Vec<T>, SourceError> {
        within(what, self.there, MAX)?;
        Ok(self.kept)
    }
}

/// A map of texts of which at most `MAX` entries are kept. `null` is an empty one.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts<const MAX: usize> {
    kept: BTreeMap<String, String>,
    there: usize,
}

impl<const MAX: usize> Texts<MAX> {
    /// All entries, if there are not too many.
    pub(super) fn all(self, what: &'static str) -> Result<BTreeMap<String, String>, SourceError> {
        within(what, self.there, MAX)?;
        Ok(self.kept)
    }
}

/// `Limit` if there is more of something than there may be.
pub(super) fn within(what: &'static str, got: usize, limit: usize) -> Result<(), SourceError> {
    if got <= limit {
        return Ok(());
    }
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Err(SourceError::Limit { what, got: wide(got), limit: wide(limit) })
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Entries<T, MAX> {
            type Value = List<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(List::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = List::default();
                while list.kept.len() < MAX {
                    let Some(entry) = seq.next_element()? else { break };
                    list.kept.push(entry);
                }
                list.there = list.kept.len();
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    list.there += 1;
                }
                Ok(list)
            }
        }
        deserializer.deserialize_any(Entries(PhantomData))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Texts<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<const MAX: usize>;
        impl<'de, const MAX: usize> Visitor<'de> for Entries<MAX> {
            type Value = Texts<MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Texts::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut texts = Texts::default();
                while texts.there < MAX {
                    let Some((key, value)) = map.next_entry::<String, String>()? else {
                        return Ok(texts);
                    };
                    texts.there += 1;
                    if texts.kept.insert(key, value).is_some() {
                        return Err(serde::de::Error::custom("a key is there twice"));
                    }
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    texts.there += 1;
                }
                Ok(texts)
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_bound_is_counted_and_not_kept() {
        let check = |json: &str, expected: Result<usize, u64>| {
            let list: List<u8, 3> = serde_json::from_str(json).expect("a list");
            match (list.all("things"), expected) {
                (Ok(kept), Ok(length)) => assert_eq!(kept.len(), length),
                (Err(SourceError::Limit { got, limit: 3, .. }), Err(there)) => {
                    assert_eq!(got, there);
                }
                (found, _) => panic!("{json}: {found:?}"),
            }
        };
        check("null", Ok(0));
        check("[1,2,3]", Ok(3));
        check("[1,2,3,{\"what\":[\"ever\"]}]", Err(4));
        let texts: Texts<1> = serde_json::from_str(r#"{"a":"b","c":"d"}"#).expect("a map");
        assert!(matches!(texts.all("labels"), Err(SourceError::Limit { got: 2, .. })));
        assert!(serde_json::from_str::<Texts<9>>(r#"{"a":"b","a":"d"}"#).is_err());
    }
}
