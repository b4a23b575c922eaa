//! Finds templates that would run a value of a form as a shell script.
//!
//! The one way a playground could have quoting at all is a shell: `sh -c` with a script that a
//! value is put into. Values are for the words after the script, which it reads as `"$1"`. The
//! template is walked through as all the commands it can become at once, like a regular expression.

use super::words::{HOLE, Word};
use super::{Kind, Playground};

/// Shells, whatever folder they are in and also as applets of busybox.
const SHELLS: [&str; 12] =
    ["sh", "bash", "dash", "ash", "hush", "zsh", "ksh", "mksh", "yash", "csh", "tcsh", "fish"];

/// How far a command is, as far as shells are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In no shell's options.
    Plain,
    /// Among the options of a shell; `is_script` after `-c`: the next word that is none is run.
    Options { is_script: bool },
    /// Before the argument of an option.
    Argument { is_script: bool },
}

/// What one place in a command may have.
enum Symbol<'a> {
    Literal(&'a str),
    /// A word with a value in it.
    Value,
}

/// The places in a template where a value would be a script, or a part of one.
pub(super) fn holes(playground: &Playground, template: &[String]) -> Vec<usize> {
    let mut states = vec![State::Plain];
    let mut found = Vec::new();
    for (index, word) in template.iter().enumerate() {
        let mut next: Vec<State> = Vec::new();
        let mut is_hole = false;
        for symbols in readings(playground, word) {
            let mut reached = states.clone();
            for symbol in &symbols {
                is_hole |= matches!(symbol, Symbol::Value)
                    && reached.contains(&State::Options { is_script: true });
                reached = reached.into_iter().flat_map(|state| step(state, symbol)).collect();
                reached.dedup();
            }
            for state in reached {
                if !next.contains(&state) {
                    next.push(state);
                }
            }
        }
        if is_hole {
            found.push(index);
        }
        states = next;
    }
    found
}

/// The sequences of words that one word of a template may stand for.
fn readings<'a>(playground: &'a Playground, word: &'a str) -> Vec<Vec<Symbol<'a>>> {
    let literals = |args: &'a [String]| {
        args.iter().map(|word| Symbol::Literal(word)).collect::<Vec<Symbol<'a>>>()
    };
    let field = match Word::parse(word) {
        Word::Field(name) => playground.field(name),
        Word::Literal(_) => None,
    };
    match field.map(|field| &field.kind) {
        // A literal that lost its braces is no shell and no option.
        None => vec![vec![Symbol::Literal(word)]],
        Some(Kind::Flag { args, .. }) => vec![Vec::new(), literals(args)],
        Some(Kind::Choice { options, .. }) => {
            options.iter().map(|option| literals(&option.args)).collect()
        }
        Some(Kind::Number { args, .. } | Kind::Text { args, .. } | Kind::File { args, .. }) => {
            let symbol = |word: &'a String| match word.contains(HOLE) {
                true => Symbol::Value,
                false => Symbol::Literal(word),
            };
            vec![Vec::new(), args.iter().map(symbol).collect()]
        }
    }
}

fn step(state: State, symbol: &Symbol<'_>) -> Vec<State> {
    let word = match symbol {
        Symbol::Value => {
            return match state {
                State::Plain => vec![State::Plain],
                State::Argument { is_script } => vec![State::Options { is_script }],
                // A file of commands, or an option after all. As a script it was found already.
                State::Options { .. } => vec![State::Plain, State::Options { is_script: false }],
            };
        }
        Symbol::Literal(word) => *word,
    };
    let is_shell = word.rsplit('/').next().is_some_and(|name| SHELLS.contains(&name));
    match state {
        State::Plain if is_shell => vec![State::Plain, State::Options { is_script: false }],
        State::Plain => vec![State::Plain],
        State::Argument { is_script } => vec![State::Options { is_script }],
        State::Options { is_script } => {
            let (sign, letters) = word.split_at_checked(1).unwrap_or_default();
            match sign {
                // A long option; bash's that take an argument.
                "-" if matches!(letters, "-rcfile" | "-init-file") => {
                    vec![State::Argument { is_script }]
                }
                "-" if letters.starts_with('-') => vec![State::Options { is_script }],
                "-" | "+" => {
                    let is_script = is_script || (sign == "-" && letters.contains('c'));
                    match letters.contains(['o', 'O']) {
                        true => vec![State::Argument { is_script }],
                        false => vec![State::Options { is_script }],
                    }
                }
                // The script, or the file that has it; what follows are its arguments.
                _ => vec![State::Plain],
            }
        }
    }
}
