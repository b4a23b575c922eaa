//! JSON schemas in words.

use std::fmt::Write as _;

use serde_json::Value;

use super::{escape, field, list, members, paragraph, prose, table, text};

/// A type of the file, as a part of the page.
pub(super) fn render(html: &mut String, schema: &Value) {
    paragraph(html, text(schema, "description"));
    let fields = field(schema, "properties");
    if fields.is_null() {
        let _ = writeln!(html, "<p>{}</p>", words(schema));
        return;
    }
    let required = list(field(schema, "required"));
    let rows = members(fields).map(|(name, of)| {
        let is_needed = required.iter().any(|each| each.as_str() == Some(name));
        let need = if is_needed { "" } else { "may be absent" };
        let name = format!("<code>{}</code>", escape(name));
        [name, words(of), need.to_owned(), prose(described(of))]
    });
    table(html, ["field", "type", "", ""], rows);
}

/// Of a value that may be null, the description of what it is else.
fn described(schema: &Value) -> &str {
    let first = list(field(schema, "anyOf")).first();
    let inner = first.map_or("", |schema| text(schema, "description"));
    if text(schema, "description").is_empty() { inner } else { text(schema, "description") }
}

/// A schema in a few words of HTML.
pub(super) fn words(schema: &Value) -> String {
    if let Some(name) = text(schema, "$ref").rsplit('/').next().filter(|name| !name.is_empty()) {
        let name = escape(name);
        return format!("<a href=\"#type-{name}\">{name}</a>");
    }
    for (of, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", ", with ")] {
        let parts = list(field(schema, of));
        if !parts.is_empty() {
            return parts
                .iter()
                .map(words)
                .filter(|it| !it.is_empty())
                .collect::<Vec<_>>()
                .join(between);
        }
    }
    if let Some(only) = schema.get("const") {
        return code(only);
    }
    let choices = list(field(schema, "enum"));
    if !choices.is_empty() {
        return choices.iter().map(code).collect::<Vec<_>>().join(" ");
    }
    match text(schema, "type") {
        "array" => format!("list of {}", words(field(schema, "items"))),
        "object" => object(schema),
        "integer" => integer(schema),
        "string" => string(schema),
        other => escape(other),
    }
}

fn object(schema: &Value) -> String {
    let fields: Vec<String> = members(field(schema, "properties"))
        .map(|(name, of)| format!("<code>{}</code>: {}", escape(name), words(of)))
        .collect();
    let rest = field(schema, "additionalProperties");
    match (fields.is_empty(), rest.is_object()) {
        (false, _) => format!("{{ {} }}", fields.join(", ")),
        (true, true) => format!("object of {}", words(rest)),
        (true, false) => "object".to_owned(),
    }
}

fn integer(schema: &Value) -> String {
    let bound = |name| field(schema, name).as_u64();
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!("number from {least} to {most}"),
        (Some(least), None) => format!("number from {least}"),
        (None, Some(most)) => format!("number up to {most}"),
        (None, None) => "number".to_owned(),
    }
}

fn string(schema: &Value) -> String {
    let pattern = text(schema, "pattern");
    if pattern.is_empty() || pattern.len() > 40 {
        return "string".to_owned();
    }
    format!("string <code>{}</code>", escape(pattern))
}

fn code(value: &Value) -> String {
    let plain = value.as_str().map(|text| text.trim_end().to_owned());
    format!("<code>{}</code>", escape(&plain.unwrap_or_else(|| value.to_string())))
}
