//! The state of the page as links carry it (`protocol.md 8.11`).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::strict::{object_only, unique_keys};
use super::{CachePolicy, Content, FileContent, LimitsRequest, RunRequest};

/// The only version of the state.
pub const STATE_VERSION: u32 = 1;

/// What was on the page: all that a run needs, and what it gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct PageState {
    /// [`STATE_VERSION`].
    #[serde(deserialize_with = "known_version")]
    pub v: u32,
    /// See [`RunRequest::image`].
    pub image: String,
    /// See [`RunRequest::files`].
    #[serde(default, deserialize_with = "unique_keys")]
    pub files: BTreeMap<String, FileContent>,
    /// See [`RunRequest::stdin`].
    #[serde(default = "empty")]
    pub stdin: Content,
    /// Of the image's form, over its defaults.
    #[serde(default, deserialize_with = "unique_keys")]
    pub values: BTreeMap<String, String>,
    /// The command line; what the form makes of the values, if absent.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// See [`RunRequest::outputs`].
    #[serde(default)]
    pub outputs: Vec<String>,
    /// See [`RunRequest::limits`].
    #[serde(default)]
    pub limits: LimitsRequest,
    /// Digest of the job whose result was on the page.
    #[serde(default)]
    pub job: Option<String>,
}

object_only!(PageState);

impl PageState {
    /// The job that it stands for, with the command and environment that the form of its image
    /// makes of its values.
    pub fn into_request(
        self,
        args: Vec<String>,
        env: BTreeMap<String, String>,
        cache: CachePolicy,
    ) -> RunRequest {
        RunRequest {
            image: self.image,
            entrypoint: None,
            args: Some(args),
            env,
            cwd: None,
            stdin: Some(self.stdin),
            files: self.files,
            outputs: self.outputs,
            limits: self.limits,
            requires: Default::default(),
            cache,
        }
    }
}

fn empty() -> Content {
    Content::Text(String::new())
}

fn known_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let version = u32::deserialize(deserializer)?;
    if version == STATE_VERSION {
        return Ok(version);
    }
    let problem = format!("expected version {STATE_VERSION} of the state, got {version}");
    Err(serde::de::Error::custom(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(text: &str) -> Result<PageState, String> {
        serde_json::from_str(text).map_err(|bad| bad.to_string())
    }

    #[test]
    fn a_state_as_the_page_writes_it_becomes_a_job() {
        let text = r#"{"v":1,"image":"gcc:12","files":{"main.c":"int main;","run":{"base64":"AA==","executable":true}},
            "stdin":"in","values":{"optimise":"2"},"command":["gcc","main.c"],"outputs":["*.o"],
            "limits":{"wall_ms":5000},"job":null}"#;
        let state = state(text).expect("a state");
        assert_eq!(state.values.get("optimise").map(String::as_str), Some("2"));
        let args = state.command.clone().expect("a command");
        let request = state.into_request(args, BTreeMap::new(), CachePolicy::Off);
        let expected = serde_json::json!({
            "image": "gcc:12", "args": ["gcc", "main.c"], "env": {}, "stdin": "in",
            "files": {"main.c": "int main;", "run": {"base64": "AA==", "executable": true}},
            "outputs": ["*.o"], "limits": {"wall_ms": 5000}, "requires": {}, "cache": "off",
        });
        assert_eq!(serde_json::to_value(&request).expect("JSON"), expected);
    }

    #[test]
    fn what_is_no_state_of_this_version_is_refused() {
        for (text, told) in [
            ("[]", "an object"),
            (r#"{"image":"x"}"#, "missing field `v`"),
            (r#"{"v":2,"image":"x"}"#, "expected version 1 of the state, got 2"),
            (r#"{"v":1}"#, "missing field `image`"),
            (r#"{"v":1,"image":"x","arch":"x86_64"}"#, "unknown field `arch`"),
            (r#"{"v":1,"image":"x","files":{"a":"1","a":"2"}}"#, "`a` is there twice"),
            (r#"{"v":1,"image":"x","values":{"a":1}}"#, "expected a string"),
            (r#"{"v":1,"image":"x","command":"ls"}"#, "expected a sequence"),
        ] {
            let refused = state(text).expect_err(text);
            assert!(refused.contains(told), "{text}: {refused}");
        }
    }
}
