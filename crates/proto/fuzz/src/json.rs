//! The JSON of the client API and of the catalogue.

use std::fmt::Debug;

use pe_proto::api::{Answer, CachePolicy, Content, FileContent, PageState, RunConfig, RunRequest};
use pe_proto::catalogue::Catalogue;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads `data` as a [`RunRequest`].
pub fn run_request_json(data: &[u8]) -> bool {
    let Some(request) = json::<RunRequest>(data) else {
        return false;
    };
    let (config, stdin, files) = request.split();
    let text = serde_json::to_vec(&config).expect("a config is plain JSON");
    assert!(run_config_json(&text), "what is left of a request is a config");
    for content in stdin.into_iter().chain(files.into_values().filter_map(bytes_of)) {
        check_content(content);
    }
    true
}

/// Reads `data` as a [`RunConfig`].
pub fn run_config_json(data: &[u8]) -> bool {
    let Some(config) = json::<RunConfig>(data) else {
        return false;
    };
    let as_request = serde_json::to_vec(&config).expect("a config is plain JSON");
    let request: RunRequest = serde_json::from_slice(&as_request).expect("a config is a request");
    assert_eq!(request.split().0, config);
    true
}

/// Reads `data` as an [`Answer`].
pub fn answer_json(data: &[u8]) -> bool {
    let Some(answer) = json::<Answer>(data) else {
        return false;
    };
    check_content(answer.stdout);
    check_content(answer.stderr);
    for file in answer.files.into_values() {
        check_content(file.content.into());
    }
    true
}

/// Reads `data` as a [`PageState`] of the page.
pub fn page_state_json(data: &[u8]) -> bool {
    let Some(state) = json::<PageState>(data) else {
        return false;
    };
    let args = state.command.clone().unwrap_or_default();
    let request = state.into_request(args, Default::default(), CachePolicy::Off);
    let text = serde_json::to_vec(&request).expect("a request is plain JSON");
    assert!(run_request_json(&text), "a state is a job");
    true
}

/// Reads `data` as a [`Catalogue`].
pub fn catalogue_json(data: &[u8]) -> bool {
    let Some(catalogue) = json::<Catalogue>(data) else {
        return false;
    };
    for image in &catalogue.images {
        for platform in &image.platforms {
            let by_digest = catalogue.find(&platform.digest.to_string(), Some(platform.arch));
            assert!(by_digest.is_some_and(|(_, found)| found.digest == platform.digest));
        }
        let _ = catalogue.find(&image.name, None);
    }
    true
}

/// Parses JSON; what is accepted says the same when written and read again.
fn json<T: DeserializeOwned + Serialize + PartialEq + Debug>(data: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(data).ok()?;
    let text = serde_json::to_vec(&value).expect("our types are plain JSON");
    let again: T = serde_json::from_slice(&text).expect("what was written can be read");
    assert_eq!(again, value);
    Some(value)
}

fn bytes_of(file: FileContent) -> Option<Content> {
    match file {
        FileContent::File { content, .. } => Some(content),
        FileContent::Directory => None,
    }
}

/// Bytes survive: text stays text, base64 of text becomes text, all else stays base64.
fn check_content(content: Content) {
    if let Ok(bytes) = content.into_bytes() {
        let again = Content::from_bytes(&bytes);
        assert_eq!(again.into_bytes().as_ref(), Ok(&bytes));
    }
}
