//! What is served from memory and the same for everybody: the catalogue as JSON and the page.
//! All of it is made once, when the process starts and when it reads its settings again.
//!
//! The page that was built of `web/` is a [`Site`]. Where there is none, a plain one lists the
//! images and says how to build the other.

mod api_docs;
mod page;

use std::sync::{Arc, LazyLock};

use http::HeaderValue;
use pe_proto::catalogue::Catalogue;

use super::site::Site;
use crate::cache::derive::Effort;

pub use page::Page;
pub(crate) use page::headers;

const STYLE: &str = include_str!("pages/style.css");
const DOCS_STYLE: &str = include_str!("pages/docs.css");
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
    /// `GET /` where no page was built, and its style.
    index: Page,
    style: Page,
    /// What was built of `web/`.
    site: Option<Arc<Site>>,
}

impl Pages {
    /// All pages of a catalogue, and the built page if there is one.
    ///
    /// # Errors
    /// The catalogue cannot be written as JSON: a defect.
    pub fn new(catalogue: &Catalogue, site: Option<Arc<Site>>) -> Result<Self, serde_json::Error> {
        let images = serde_json::to_vec(catalogue)?;
        let html = index(catalogue).into_bytes();
        Ok(Self {
            images: page(images, "application/json", None),
            index: page(html, "text/html; charset=utf-8", Some(POLICY)),
            style: page(STYLE.as_bytes().to_vec(), "text/css; charset=utf-8", None),
            site,
        })
    }

    /// What is at a path that is none of the API's. With a built page all but its docs is the page's.
    pub fn find(&self, path: &str) -> Option<&Page> {
        match (&self.site, path) {
            (_, "/docs/api") => Some(&DOCS.html),
            (_, "/docs/style.css") => Some(&DOCS.style),
            (_, "/docs/openapi.json") => Some(&DOCS.openapi),
            (Some(site), _) => site.find(path),
            (None, "/") => Some(&self.index),
            (None, "/style.css") => Some(&self.style),
            (None, _) => None,
        }
    }
}

/// The API's own page, which is the same for as long as the process is.
struct Docs {
    html: Page,
    style: Page,
    openapi: Page,
}

static DOCS: LazyLock<Docs> = LazyLock::new(|| Docs {
    html: page(api_docs::render().into_bytes(), "text/html; charset=utf-8", Some(POLICY)),
    style: page(DOCS_STYLE.as_bytes().to_vec(), "text/css; charset=utf-8", None),
    openapi: page(api_docs::OPENAPI.as_bytes().to_vec(), "application/json", None),
});

fn page(content: Vec<u8>, media_type: &'static str, policy: Option<&'static str>) -> Page {
    let headers = headers(HeaderValue::from_static(media_type), policy);
    Page::new(content, headers, Effort::Often)
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
