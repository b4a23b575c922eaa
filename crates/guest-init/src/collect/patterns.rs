//! The job's `outputs`: patterns of files in its working directory. Pure.

use glob::{MatchOptions, Pattern};

use crate::blame::Refusal;

/// The job's `outputs`.
#[derive(Debug, Default)]
pub struct Patterns(Vec<Pattern>);

/// `*` and `?` stay within a name; a leading dot is a letter like any other.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Patterns {
    /// Reads patterns, of which each must be one.
    pub fn parse(patterns: &[String]) -> Result<Self, Refusal> {
        let parse = |pattern: &String| {
            let clean = pattern.strip_prefix("./").unwrap_or(pattern);
            Pattern::new(clean).map_err(|bad| {
                let reason = format!("`{pattern}` in outputs is not a pattern: {bad}");
                Refusal::client(reason)
            })
        };
        Ok(Self(patterns.iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any pattern matches a path relative to the working directory.
    pub fn match_path(&self, path: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches_with(path, MATCHING))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(patterns: &[&str]) -> Patterns {
        let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
        Patterns::parse(&patterns).unwrap()
    }

    #[test]
    fn a_star_stays_within_a_name_and_two_do_not() {
        let objects = patterns(&["*.o"]);
        assert!(objects.match_path("a.o"));
        assert!(objects.match_path(".o"));
        assert!(!objects.match_path("d/a.o"));
        let all = patterns(&["**"]);
        assert!(all.match_path("a") && all.match_path("d/e/f"));
        let below = patterns(&["d/**/*.txt", "./x"]);
        assert!(below.match_path("d/a.txt") && below.match_path("d/e/f/a.txt"));
        assert!(below.match_path("x") && !below.match_path("a.txt"));
    }

    #[test]
    fn what_is_no_pattern_is_the_clients_fault_and_is_named() {
        let refusal = Patterns::parse(&["a***".to_owned()]).unwrap_err();
        assert_eq!(refusal.fault, pe_proto::Fault::Client);
        assert!(refusal.reason.contains("a***"));
    }
}
