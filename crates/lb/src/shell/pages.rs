//! What is served from memory and the same for everybody: the catalogue as JSON and the page.
//! All of it is made once, when the process starts.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use pe_proto::Digest;
use pe_proto::catalogue::Catalogue;

use super::outgoing::Outgoing;

const STYLE: &str = include_str!("pages/style.css");
const HEAD: &str = include_str!("pages/head.html");
const TAIL: &str = include_str!("pages/tail.html");

/// Nothing but our own style sheet: no scripts, no frames, no forms, no other origin.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// See the module.
#[derive(Debug)]
pub struct Pages {
    /// `GET /api/v1/images`.
    pub images: Page,
    /// `GET /`.
    pub index: Page,
    /// `GET /style.css`.
    pub style: Page,
}

/// One of them.
#[derive(Debug)]
pub struct Page {
    content: Bytes,
    media_type: &'static str,
    etag: HeaderValue,
    is_html: bool,
}

impl Pages {
    /// All pages of a catalogue.
    ///
    /// # Errors
    /// The catalogue cannot be written as JSON: a defect.
    pub fn new(catalogue: &Catalogue) -> Result<Self, serde_json::Error> {
        let images = serde_json::to_vec(catalogue)?;
        Ok(Self {
            images: Page::new(images, "application/json", false),
            index: Page::new(index(catalogue).into_bytes(), "text/html; charset=utf-8", true),
            style: Page::new(STYLE.as_bytes().to_vec(), "text/css; charset=utf-8", false),
        })
    }
}

impl Page {
    fn new(content: Vec<u8>, media_type: &'static str, is_html: bool) -> Self {
        let etag = format!("\"{}\"", Digest::of(&content).hex());
        // Hexadecimal digits in quotes are a valid value.
        let etag = HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { content: content.into(), media_type, etag, is_html }
    }

    /// The page, or word that the client has it already.
    pub fn respond(&self, request: &HeaderMap) -> Response<Outgoing> {
        let is_known = request
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag.as_bytes() == self.etag.as_bytes());
        let mut response = if is_known {
            let mut response = Response::new(Outgoing::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            Response::new(Outgoing::whole(self.content.clone()))
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, self.etag.clone());
        headers
            .insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=0, must-revalidate"));
        if !is_known {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.is_html {
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
        response
    }
}

fn index(catalogue: &Catalogue) -> String {
    let mut html = String::from(HEAD);
    for image in &catalogue.images {
        let [name, title, description] =
            [&image.name, &image.title, &image.description].map(|text| escape(text));
        let tags = escape(&image.tags.join(", "));
        let archs: Vec<&str> =
            image.platforms.iter().map(|platform| platform.arch.as_str()).collect();
        let archs = archs.join(", ");
        let runs_by_itself =
            image.platforms.first().is_some_and(|platform| !platform.config.entrypoint.is_empty());
        let args = if runs_by_itself { "" } else { r#","args":["sh","-c","echo hello"]"# };
        let request = escape(&format!(r#"{{"image":"{}"{args}}}"#, image.name));
        html.push_str(&format!(
            "<section>\n<h2>{title}</h2>\n<p>{description}</p>\n\
             <p class=\"small\"><code>{name}</code>, tags {tags}, on {archs}</p>\n\
             <pre>curl --json '{request}' \"$LB/api/v1/run\"</pre>\n</section>\n"
        ));
    }
    if catalogue.images.is_empty() {
        html.push_str("<p>The catalogue is empty.</p>\n");
    }
    html.push_str(TAIL);
    html
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use pe_proto::catalogue::Image;

    use super::*;

    #[test]
    fn text_of_the_catalogue_is_text_on_the_page() {
        let image = Image {
            name: "<script>".to_owned(),
            tags: vec!["'\"".to_owned()],
            title: "a & b".to_owned(),
            description: "</section><img src=x>".to_owned(),
            platforms: Vec::new(),
            playground: None,
        };
        let html = index(&Catalogue { version: 2, images: vec![image] });
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
        assert!(html.contains("a &amp; b"));
    }
}
