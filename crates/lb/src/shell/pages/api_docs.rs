//! `/docs/api`: the client API as a page, made of `docs/openapi.json` and the examples beside it.
//!
//! It shows what the file says and adds nothing, so it cannot say anything else. It needs no
//! script. The file is ours, and is part of the program; what it does not say is left out here,
//! and a test looks that everything there is on the page.

mod schema;

use std::fmt::Write as _;

use serde_json::Value;

use super::escape;
use schema::words;

/// The API in OpenAPI 3.1.
pub(super) const OPENAPI: &str = include_str!("../../../../../docs/openapi.json");

/// The examples that it names.
pub(super) const EXAMPLES: [(&str, &str); 12] = [
    ("examples/run.sh", include_str!("../../../../../docs/examples/run.sh")),
    ("examples/run.py", include_str!("../../../../../docs/examples/run.py")),
    ("examples/run.ts", include_str!("../../../../../docs/examples/run.ts")),
    ("examples/result.sh", include_str!("../../../../../docs/examples/result.sh")),
    ("examples/result.py", include_str!("../../../../../docs/examples/result.py")),
    ("examples/result.ts", include_str!("../../../../../docs/examples/result.ts")),
    ("examples/images.sh", include_str!("../../../../../docs/examples/images.sh")),
    ("examples/images.py", include_str!("../../../../../docs/examples/images.py")),
    ("examples/images.ts", include_str!("../../../../../docs/examples/images.ts")),
    ("examples/share.sh", include_str!("../../../../../docs/examples/share.sh")),
    ("examples/share.py", include_str!("../../../../../docs/examples/share.py")),
    ("examples/share.ts", include_str!("../../../../../docs/examples/share.ts")),
];

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <title>Program Explorer: the API</title>\n\
    <link rel=\"stylesheet\" href=\"/docs/style.css\">\n</head>\n<body>\n<main>\n";

const METHODS: [&str; 5] = ["get", "head", "post", "put", "delete"];

/// The page.
pub(super) fn render() -> String {
    let api: Value = serde_json::from_str(OPENAPI).unwrap_or_default();
    let mut html = String::from(HEAD);
    let info = field(&api, "info");
    heading(&mut html, 1, "", &format!("{}: the API", text(info, "title")));
    paragraph(&mut html, text(info, "description"));
    html.push_str(
        "<p>The same as a file for programs: <a href=\"/docs/openapi.json\">openapi.json</a> \
         (OpenAPI 3.1). In the examples, <code>LB</code> is the address of this page without its \
         path.</p>\n",
    );
    contents(&mut html, &api);
    for (path, item) in members(field(&api, "paths")) {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                Operation { api: &api, path, method, item, operation }.render(&mut html);
            }
        }
    }
    heading(&mut html, 2, "types", "Types");
    for (name, schema) in members(pointer(&api, "/components/schemas")) {
        heading(&mut html, 3, &format!("type-{name}"), name);
        schema::render(&mut html, schema);
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn contents(html: &mut String, api: &Value) {
    html.push_str("<nav aria-label=\"Contents\">\n<ul>\n");
    for (path, item) in members(field(api, "paths")) {
        for method in METHODS.iter().filter(|method| item.get(**method).is_some()) {
            let operation = field(item, method);
            let (id, summary) = (text(operation, "operationId"), text(operation, "summary"));
            let _ = writeln!(
                html,
                "<li><a href=\"#{}\"><code>{} {}</code></a> {}</li>",
                escape(id),
                method.to_uppercase(),
                escape(path),
                escape(summary)
            );
        }
    }
    html.push_str("<li><a href=\"#types\">Types</a></li>\n</ul>\n</nav>\n");
}

/// One method of one path.
struct Operation<'a> {
    api: &'a Value,
    path: &'a str,
    method: &'a str,
    item: &'a Value,
    operation: &'a Value,
}

impl Operation<'_> {
    fn render(&self, html: &mut String) {
        let Self { path, method, operation, .. } = *self;
        let id = text(operation, "operationId");
        heading(html, 2, id, &format!("{} {path}", method.to_uppercase()));
        paragraph(html, text(operation, "summary"));
        paragraph(html, text(operation, "description"));
        self.parameters(html);
        self.body(html);
        self.responses(html);
        for sample in list(field(operation, "x-codeSamples")) {
            let named = text(field(sample, "source"), "$ref");
            let source = EXAMPLES.iter().find(|(name, _)| *name == named);
            let (label, source) = (text(sample, "label"), source.map_or("", |(_, text)| text));
            heading(html, 3, "", label);
            let _ = writeln!(html, "<pre>{}</pre>", escape(source.trim_end()));
        }
    }

    fn parameters(&self, html: &mut String) {
        let own = list(field(self.operation, "parameters"));
        let all: Vec<_> = list(field(self.item, "parameters")).iter().chain(own).collect();
        if all.is_empty() {
            return;
        }
        heading(html, 3, "", "Parameters");
        let rows = all.into_iter().map(|given| {
            let given = self.resolve(given);
            let name = format!("<code>{}</code>", escape(text(given, "name")));
            let place = escape(text(given, "in"));
            [name, place, words(field(given, "schema")), prose(text(given, "description"))]
        });
        table(html, ["name", "in", "type", ""], rows);
    }

    fn body(&self, html: &mut String) {
        let content = field(field(self.operation, "requestBody"), "content");
        if content.is_null() {
            return;
        }
        heading(html, 3, "", "Body");
        content_table(html, content);
        for (_, media) in members(content) {
            for (_, example) in members(field(media, "examples")) {
                self.example(html, text(example, "summary"), field(example, "value"));
            }
            if let Some(example) = media.get("example") {
                self.example(html, "Example", example);
            }
        }
    }

    fn responses(&self, html: &mut String) {
        heading(html, 3, "", "Answers");
        let all = members(field(self.operation, "responses"));
        let rows = all.map(|(status, given)| {
            let given = self.resolve(given);
            let headers = members(field(given, "headers"));
            let headers: Vec<String> =
                headers.map(|(name, _)| format!("<code>{}</code>", escape(name))).collect();
            let content = members(field(given, "content"));
            let content: Vec<String> = content
                .map(|(name, media)| {
                    format!("<code>{}</code> {}", escape(name), words(field(media, "schema")))
                })
                .collect();
            let what = [prose(text(given, "description")), content.join("; ")].join("<br>");
            [format!("<code>{}</code>", escape(status)), what, headers.join(" ")]
        });
        table(html, ["status", "", "headers"], rows);
        let ok = pointer(self.operation, "/responses/200/content/application~1json/example");
        if !ok.is_null() {
            self.example(html, "An answer", ok);
        }
    }

    fn example(&self, html: &mut String, title: &str, value: &Value) {
        let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
        let _ = writeln!(html, "<h4>{}</h4>\n<pre>{}</pre>", escape(title), escape(&pretty));
    }

    /// What a reference into the file means, or the thing itself.
    fn resolve<'v>(&'v self, given: &'v Value) -> &'v Value {
        match given.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
            Some(place) => pointer(self.api, place),
            None => given,
        }
    }
}

fn content_table(html: &mut String, content: &Value) {
    let rows = members(content).map(|(name, media)| {
        [format!("<code>{}</code>", escape(name)), words(field(media, "schema"))]
    });
    table(html, ["content-type", "type"], rows);
}

fn table<const N: usize>(
    html: &mut String,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    html.push_str("<div class=\"wide\"><table>\n<tr>");
    for cell in head {
        let _ = write!(html, "<th scope=\"col\">{cell}</th>");
    }
    html.push_str("</tr>\n");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let _ = write!(html, "<td>{cell}</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div>\n");
}

fn heading(html: &mut String, level: u8, id: &str, title: &str) {
    let id = if id.is_empty() { String::new() } else { format!(" id=\"{}\"", escape(id)) };
    let _ = writeln!(html, "<h{level}{id}>{}</h{level}>", escape(title));
}

fn paragraph(html: &mut String, said: &str) {
    if !said.is_empty() {
        let _ = writeln!(html, "<p>{}</p>", prose(said));
    }
}

/// Sentences in which backticks are for code.
fn prose(said: &str) -> String {
    let mut html = String::new();
    for (at, part) in said.split('`').enumerate() {
        let part = escape(part);
        html.push_str(&if at % 2 == 1 { format!("<code>{part}</code>") } else { part });
    }
    html
}

fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

fn pointer<'a>(value: &'a Value, place: &str) -> &'a Value {
    value.pointer(place).unwrap_or(&Value::Null)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    field(value, name).as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests;
