//! Who may ask on the admin listener.
//!
//! With a token: whoever shows it. Without one the listener is as open as its address or socket
//! is, so what remains is to keep out the browsers of people at this machine. A page that
//! anybody wrote can make them send requests here, in its own name (`origin`), or under a name of
//! its own that suddenly means this machine (DNS rebinding, `host`); and it can do so without
//! asking first only as long as the request looks like a form (`content-type`).

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderName, Method, Request};
use pe_proto::Digest;
use pe_proto::api::ProblemKind;

use crate::config::AdminTerms;
use crate::respond::Failure;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether this may be asked.
pub(super) fn check<B>(terms: &AdminTerms, request: &Request<B>) -> Result<(), Failure> {
    let headers = request.headers();
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(expected) = &terms.token {
        let given = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        // Digests are compared, so the time that it takes tells nothing about the token.
        if Digest::of(given.unwrap_or_default().as_bytes()) != *expected {
            let detail = "expected `authorization: Bearer` and the token of [admin] token_file";
            return Err(Failure::new(ProblemKind::Unauthorized, detail));
        }
    } else if !host(request).is_some_and(|host| is_ours(&host, terms)) {
        let detail = "expected an address, `localhost` or a name of [admin] hosts as host";
        return Err(Failure::new(ProblemKind::Forbidden, detail));
    }
    let is_of_a_page =
        text(ORIGIN).is_some() || text(SEC_FETCH_SITE).is_some_and(|site| site != "none");
    if is_of_a_page {
        let detail = "pages in browsers may not ask here";
        return Err(Failure::new(ProblemKind::Forbidden, detail));
    }
    let media_type = text(CONTENT_TYPE).map(|value| value.split(';').next().unwrap_or_default());
    let is_json = media_type.is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json"));
    if *request.method() == Method::POST && !is_json {
        let detail = "expected content-type `application/json`";
        return Err(Failure::new(ProblemKind::UnsupportedMediaType, detail));
    }
    Ok(())
}

/// The host that was asked for, without its port.
fn host<B>(request: &Request<B>) -> Option<String> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => request.headers().get(HOST)?.to_str().ok()?.parse().ok()?,
    };
    Some(authority.host().to_ascii_lowercase())
}

fn is_ours(host: &str, terms: &AdminTerms) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = address.parse::<std::net::IpAddr>().is_ok();
    // A name needs a resolver that can be lied to; an address is what it is.
    is_address || host == "localhost" || terms.hosts.iter().any(|each| each == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(
        terms: &AdminTerms,
        method: Method,
        headers: &[(&str, &str)],
    ) -> Option<ProblemKind> {
        let mut request = Request::builder().method(method).uri("/admin/v1/status");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(terms, &request.body(()).unwrap()).err().map(|failure| failure.kind())
    }

    #[test]
    fn without_a_token_only_our_own_names_may_be_asked_under() {
        let terms = AdminTerms { token: None, hosts: vec!["lb.internal".to_owned()] };
        let refused = Some(ProblemKind::Forbidden);
        for (host, expected) in [
            ("127.0.0.1:8082", None),
            ("[::1]:8082", None),
            ("localhost", None),
            ("LB.internal:8082", None),
            ("evil.example:8082", refused),
            ("127.0.0.1.evil.example", refused),
            ("localhost.evil.example", refused),
            ("", refused),
        ] {
            assert_eq!(verdict(&terms, Method::GET, &[("host", host)]), expected, "{host}");
        }
        assert_eq!(verdict(&terms, Method::GET, &[]), refused);
    }

    #[test]
    fn a_page_in_a_browser_may_not_ask_and_a_form_may_not_change() {
        let terms = AdminTerms::default();
        let check = |method, headers: &[(&str, &str)], expected| {
            let headers = [&[("host", "127.0.0.1")], headers].concat();
            assert_eq!(verdict(&terms, method, &headers), expected, "{headers:?}");
        };
        let json = ("content-type", "application/json; charset=utf-8");
        check(Method::POST, &[json], None);
        check(Method::POST, &[json, ("origin", "null")], Some(ProblemKind::Forbidden));
        check(Method::GET, &[("sec-fetch-site", "cross-site")], Some(ProblemKind::Forbidden));
        check(Method::GET, &[("sec-fetch-site", "none")], None);
        let form = ("content-type", "text/plain");
        check(Method::POST, &[form], Some(ProblemKind::UnsupportedMediaType));
        check(Method::POST, &[], Some(ProblemKind::UnsupportedMediaType));
    }

    #[test]
    fn with_a_token_nobody_else_may_ask() {
        let token = Some(Digest::of(b"0123456789abcdef"));
        let terms = AdminTerms { token, hosts: Vec::new() };
        let refused = Some(ProblemKind::Unauthorized);
        for (value, expected) in [
            ("Bearer 0123456789abcdef", None),
            ("Bearer 0123456789abcdeF", refused),
            ("Bearer ", refused),
            ("0123456789abcdef", refused),
            ("Basic 0123456789abcdef", refused),
        ] {
            let headers = [("host", "any.example"), ("authorization", value)];
            assert_eq!(verdict(&terms, Method::GET, &headers), expected, "{value}");
        }
        assert_eq!(verdict(&terms, Method::GET, &[("host", "127.0.0.1")]), refused);
    }
}
