//! What a registry wants before it answers: `WWW-Authenticate` (RFC 9110, 11.6.1).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use http_auth::ChallengeParser;

use super::super::document::printable;
use super::error::BadAuth;

/// How to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a user and a password.
    Basic,
    /// With a token from a service. The scope that the registry names is not looked at: we ask
    /// for what we need, which is to read one repository.
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// Reads an answer's headers; a token rather than a password, if either will do.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, BadAuth> {
        let mut basic = false;
        let mut shown = String::new();
        for header in headers.get_all(WWW_AUTHENTICATE) {
            let text = header.to_str().unwrap_or_default();
            shown.push_str(text);
            for challenge in ChallengeParser::new(text) {
                let Ok(challenge) = challenge else { break };
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = true;
                }
                if !challenge.scheme.eq_ignore_ascii_case("bearer") {
                    continue;
                }
                let param = |wanted: &str| {
                    let mut all = challenge.params.iter();
                    let found = all.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                    found.map(|(_, value)| value.to_unescaped())
                };
                if let Some(realm) = param("realm") {
                    return Ok(Self::Bearer { realm, service: param("service") });
                }
            }
        }
        if basic { Ok(Self::Basic) } else { Err(BadAuth::Challenge(printable(&shown))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_preferred_and_unknown_schemes_are_named() {
        let check = |headers: &[&'static str], expected: Result<Challenge, BadAuth>| {
            let mut map = HeaderMap::new();
            for header in headers {
                map.append(WWW_AUTHENTICATE, header.parse().expect("a header"));
            }
            assert_eq!(Challenge::read(&map), expected, "{headers:?}");
        };
        let bearer = |service: Option<&str>| {
            Ok(Challenge::Bearer {
                realm: "https://a.example/token".to_owned(),
                service: service.map(str::to_owned),
            })
        };
        check(&[r#"Basic realm="x""#], Ok(Challenge::Basic));
        check(
            &[r#"Bearer realm="https://a.example/token",service="r \"x\"",scope="any""#],
            bearer(Some(r#"r "x""#)),
        );
        check(&[r#"Basic realm="x", bearer realm="https://a.example/token""#], bearer(None));
        check(&["Basic realm=x", r#"Bearer realm="https://a.example/token""#], bearer(None));
        check(&["Negotiate"], Err(BadAuth::Challenge("Negotiate".to_owned())));
        check(&["Bearer service=x"], Err(BadAuth::Challenge("Bearer service=x".to_owned())));
        check(&[], Err(BadAuth::Challenge(String::new())));
    }
}
