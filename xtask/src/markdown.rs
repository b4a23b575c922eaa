//! As much of Markdown as the checks need: headings, their anchors, links.

/// A heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heading {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Number of `#`.
    pub(crate) level: usize,
    /// Its text, without the marks.
    pub(crate) text: String,
}

/// A link or an image with a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Line, from 1.
    pub(crate) line: usize,
    /// What it points to.
    pub(crate) target: String,
}

/// The lines outside of fenced blocks, with their numbers from 1.
pub(crate) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, None) => return Some((index + 1, line)),
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
        }
        None
    })
}

/// All headings.
pub(crate) fn headings(text: &str) -> Vec<Heading> {
    let heading = |(line, text): (usize, &str)| {
        let level = text.bytes().take_while(|&byte| byte == b'#').count();
        let rest = text.get(level..)?.strip_prefix(' ')?;
        let text = rest.trim().trim_end_matches('#').trim().to_owned();
        (1..=6).contains(&level).then_some(Heading { line, level, text })
    };
    prose(text).filter_map(heading).collect()
}

/// The anchors of a page: one for each heading, as code forges make them.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for heading in headings(text) {
        let slug = slug(&heading.text);
        let numbered = |n: usize| match n {
            0 => slug.clone(),
            n => format!("{slug}-{n}"),
        };
        let free = (0..).map(numbered).find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter_map(|char| match char {
        ' ' => Some('-'),
        '-' | '_' => Some(char),
        _ if char.is_alphanumeric() => Some(char),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// All links written `[text](target)`.
pub(crate) fn links(text: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, text) in prose(text) {
        let text = without_code(text);
        for (at, _) in text.match_indices("](") {
            let rest = text.get(at + 2..).unwrap_or_default();
            let end = rest.find([')', ' ']).unwrap_or(rest.len());
            let target = rest.get(..end).unwrap_or_default();
            let target = target.trim_matches(['<', '>']).to_owned();
            found.push(Link { line, target });
        }
    }
    found
}

/// The line with what is between backticks left out.
fn without_code(line: &str) -> String {
    let mut pieces = line.split('`');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    while let Some(_code) = pieces.next() {
        out.push_str(pieces.next().unwrap_or_default());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Heading, Link, anchors, headings, links};

    const PAGE: &str =
        "# A page\n\ntext\n```sh\n# not a heading\n```\n## 1.2 The `frame`, again ##\n";

    #[test]
    fn headings_are_found_outside_of_fences() {
        let heading = |line, level, text: &str| Heading { line, level, text: text.to_owned() };
        let expected = [heading(1, 1, "A page"), heading(7, 2, "1.2 The `frame`, again")];
        assert_eq!(headings(PAGE), expected);
        assert_eq!(headings("#no\n####### no\n#!/bin/sh"), []);
    }

    #[test]
    fn anchors_are_as_code_forges_make_them() {
        assert_eq!(anchors(PAGE), ["a-page", "12-the-frame-again"]);
        assert_eq!(anchors("# A\n# A\n# A-1\n# a_B ö"), ["a", "a-1", "a-1-1", "a_b-ö"]);
    }

    #[test]
    fn links_are_found_outside_of_code() {
        let link = |line, target: &str| Link { line, target: target.to_owned() };
        let page =
            "[a](b.md) and ![c](d.png \"title\")\n`[no](no)` [e](<f.md#g>)\n```\n[no](no)\n```";
        let expected = [link(1, "b.md"), link(1, "d.png"), link(2, "f.md#g")];
        assert_eq!(links(page), expected);
        assert_eq!(links("[a](b"), [link(1, "b")]);
    }
}
