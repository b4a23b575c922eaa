//! Exact bytes in JSON: text where it is text, base64 where it is not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Bytes as a JSON string, or as `{"base64": ".."}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// UTF-8, as it is.
    Text(String),
    /// Anything.
    Base64 {
        /// Standard alphabet, padded (RFC 4648 section 4).
        base64: String,
    },
}

/// A text that is not base64.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not base64 of the standard alphabet with padding: {0}")]
pub struct BadBase64(String);

impl Content {
    /// Text if the bytes are valid UTF-8 that JSON does not blow up, else base64
    /// (`protocol.md 8.2`).
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if !is_mostly_escapes(bytes) => Self::Text(text.to_owned()),
            Ok(_) | Err(_) => Self::Base64 { base64: STANDARD.encode(bytes) },
        }
    }

    /// The bytes it stands for.
    ///
    /// # Errors
    /// Base64 that is none.
    pub fn into_bytes(self) -> Result<Vec<u8>, BadBase64> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64 { base64 } => {
                STANDARD.decode(base64).map_err(|bad| BadBase64(bad.to_string()))
            }
        }
    }
}

/// Whether text is long and has more than one control byte in eight: JSON writes each as six bytes,
/// so 16 MiB of NUL, which is valid UTF-8, would become 96 MiB.
fn is_mostly_escapes(bytes: &[u8]) -> bool {
    let is_escaped = |byte: &&u8| **byte < 0x20 && !matches!(**byte, b'\t' | b'\n' | b'\r');
    bytes.len() > 4096 && bytes.iter().filter(is_escaped).count() > bytes.len() / 8
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            base64: String,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Content;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or {\"base64\": string}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Content, A::Error> {
                let fields = Fields::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Content::Base64 { base64: fields.base64 })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A file in a request: a string, or an object with `text` or `base64` and `executable`, or
/// `{"directory": true}` for a directory with nothing in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// A regular file.
    File {
        /// Its bytes.
        content: Content,
        /// Whether it may be executed.
        executable: bool,
    },
    /// An empty directory.
    Directory,
}

impl<'de> Deserialize<'de> for FileContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = FileContent;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or an object with `text`, `base64` or `directory`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<FileContent, E> {
                self.visit_string(text.to_owned())
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<FileContent, E> {
                Ok(FileContent::File { content: Content::Text(text), executable: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FileContent, A::Error> {
                FileFields::deserialize(MapAccessDeserializer::new(map))?
                    .into_content()
                    .map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for FileContent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = match self.clone() {
            Self::File { content: Content::Text(text), executable: false } => {
                return serializer.serialize_str(&text);
            }
            Self::File { content: Content::Text(text), executable } => {
                FileFields { text: Some(text), executable, ..FileFields::default() }
            }
            Self::File { content: Content::Base64 { base64 }, executable } => {
                FileFields { base64: Some(base64), executable, ..FileFields::default() }
            }
            Self::Directory => FileFields { directory: true, ..FileFields::default() },
        };
        fields.serialize(serializer)
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    executable: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    directory: bool,
}

impl FileFields {
    fn into_content(self) -> Result<FileContent, &'static str> {
        let Self { text, base64, executable, directory } = self;
        match (text, base64, directory) {
            (Some(text), None, false) => {
                Ok(FileContent::File { content: Content::Text(text), executable })
            }
            (None, Some(base64), false) => {
                Ok(FileContent::File { content: Content::Base64 { base64 }, executable })
            }
            (None, None, true) if !executable => Ok(FileContent::Directory),
            _ => Err("expected exactly one of `text`, `base64`, `directory`"),
        }
    }
}
