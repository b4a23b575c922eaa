//! Tokens of a registry (the distribution project's token specification): asked for to read one
//! repository, of the service that the rule names, and used until they expire.

use std::time::Duration;

use http::HeaderValue;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::Instant;

use super::super::document::printable;
use super::api::read_body;
use super::error::{BadAuth, BadTurn, RegistryError};
use super::url::Url;
use super::{Api, limits};

/// How long a token is good that does not say so (by the specification).
const LIFE_DEFAULT: Duration = Duration::from_secs(60);

/// A token is not used in its last seconds: a request takes a moment, and clocks differ.
const LIFE_MARGIN: Duration = Duration::from_secs(10);

/// Longer than any token lives; keeps sums of times far from overflow.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What to show a registry, until when.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    pub(super) until: Instant,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// Asks a token service. The registry says which; the rule says whether.
pub(super) async fn fetch(
    api: &Api,
    realm: &str,
    service: Option<&str>,
) -> Result<Token, RegistryError> {
    let led = |why| RegistryError::Led { from: api.host(), to: printable(realm), why };
    let realm_url = Url::read(realm).map_err(led)?;
    if !api.rule.is_realm(&realm_url.endpoint) {
        return Err(led(BadTurn::Realm));
    }
    let mut query = format!("scope={}", encoded(&format!("repository:{}:pull", api.repository)));
    if let Some(service) = service {
        query.push_str(&format!("&service={}", encoded(service)));
    }
    let separator = if realm_url.uri.query().is_some() { '&' } else { '?' };
    let url = Url::read(&format!("{}{separator}{query}", realm_url.uri)).map_err(led)?;
    let host = url.endpoint.authority();
    let basic = api.credentials.as_ref().map(super::credentials::Basic::header);
    let response = api.send(&url, basic, &[]).await?;
    let status = response.status();
    if status.is_redirection() {
        return Err(led(BadTurn::TokenService));
    }
    if matches!(status.as_u16(), 401 | 403) {
        let why = BadAuth::Denied(api.whose());
        return Err(RegistryError::Unauthorized { host, why });
    }
    if status != http::StatusCode::OK {
        return Err(RegistryError::Status { host, status, what: "a token".to_owned() });
    }
    let bytes = read_body(api, &host, response.into_body(), limits::TOKEN_BYTES_MAX).await?;
    read(&bytes).map_err(|why| RegistryError::Unauthorized { host, why: BadAuth::Token(why) })
}

fn read(bytes: &[u8]) -> Result<Token, String> {
    let answer: Answer = serde_json::from_slice(bytes)
        .map_err(|why| format!("its answer has a mistake in line {}", why.line()))?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or("there is none in its answer")?;
    let mut header = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| "it has letters that no header may have")?;
    header.set_sensitive(true);
    let life = answer.expires_in.map_or(LIFE_DEFAULT, Duration::from_secs).min(LIFE_MAX);
    Ok(Token { header, until: Instant::now() + life.saturating_sub(LIFE_MARGIN) })
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
