//! The fields, what they give, and what does not go together.

use crate::limits::{
    PLAYGROUND_ITEMS_MAX, PLAYGROUND_NUMBER_MAX, PLAYGROUND_OPTIONS_MAX, PLAYGROUND_WORD_BYTES_MAX,
};

use super::super::words::{HOLE, Word, is_name};
use super::super::{Field, Kind, Playground, Setting};
use super::Flaws;

impl Playground {
    pub(super) fn check_form(&self, flaws: &mut Flaws) {
        self.check_env(flaws);
        flaws.few("/fields", self.fields.len(), PLAYGROUND_ITEMS_MAX);
        flaws.distinct("/fields", self.fields.iter().map(|field| field.name.as_str()), "/name");
        for (index, field) in self.fields.iter().enumerate() {
            self.check_field(field, &format!("/fields/{index}"), flaws);
        }
        flaws.few("/conflicts", self.conflicts.len(), PLAYGROUND_OPTIONS_MAX);
        for (index, conflict) in self.conflicts.iter().enumerate() {
            let at = format!("/conflicts/{index}");
            self.check_setting(&conflict.given, &format!("{at}/if"), flaws);
            self.check_setting(&conflict.not, &format!("{at}/not"), flaws);
            flaws.prose(&format!("{at}/why"), &conflict.why);
            let is_default = |setting: &Setting| {
                self.field(&setting.field).is_some_and(|it| it.default_value() == setting.value)
            };
            if conflict.given.field == conflict.not.field {
                flaws.add(at, "expected two fields: one has a single value anyway");
            } else if is_default(&conflict.given) && is_default(&conflict.not) {
                flaws.add(at, "the defaults of both fields conflict");
            }
        }
    }

    fn check_env(&self, flaws: &mut Flaws) {
        flaws.few("/env", self.env.len(), PLAYGROUND_ITEMS_MAX);
        flaws.distinct("/env", self.env.iter().map(|each| each.name.as_str()), "/name");
        for (index, variable) in self.env.iter().enumerate() {
            if !is_variable(&variable.name) {
                let reason = "expected letters, digits and `_`, not beginning with a digit";
                flaws.add(format!("/env/{index}/name"), reason);
            }
            if self.field(&variable.field).is_none() {
                let reason = format!("there is no field `{}`", variable.field);
                flaws.add(format!("/env/{index}/field"), reason);
            }
        }
    }

    fn check_field(&self, field: &Field, at: &str, flaws: &mut Flaws) {
        if !is_name(&field.name) || field.name.len() > 32 {
            let reason = "expected at most 32 of a-z, digits and `_`, beginning with a letter";
            flaws.add(format!("{at}/name"), reason);
        }
        flaws.title(&format!("{at}/label"), &field.label);
        flaws.prose(&format!("{at}/help"), &field.help);
        match &field.kind {
            Kind::Flag { args, .. } => flaws.words(&format!("{at}/args"), args),
            Kind::Choice { options, .. } => {
                let at = format!("{at}/options");
                flaws.few(&at, options.len(), PLAYGROUND_OPTIONS_MAX);
                flaws.distinct(&at, options.iter().map(|each| each.value.as_str()), "/value");
                for (index, option) in options.iter().enumerate() {
                    if !option.value.is_empty() {
                        flaws.title(&format!("{at}/{index}/value"), &option.value);
                    }
                    flaws.title(&format!("{at}/{index}/label"), &option.label);
                    flaws.words(&format!("{at}/{index}/args"), &option.args);
                }
            }
            Kind::Number { min, max, step, args, .. } => {
                let is_exact = |number: &i64| number.unsigned_abs() <= PLAYGROUND_NUMBER_MAX;
                if !is_exact(min) || !is_exact(max) || min > max {
                    let reason = "expected it to be at least `min`, and both within 2^53 - 1";
                    flaws.add(format!("{at}/max"), reason);
                }
                if *step < 1 || !is_exact(step) {
                    flaws.add(format!("{at}/step"), "expected 1 or more");
                }
                self.check_holes(field, args, at, flaws);
            }
            Kind::Text { bytes_max, args, .. } => {
                let bytes_max = usize::try_from(*bytes_max).unwrap_or(usize::MAX);
                if bytes_max == 0 || bytes_max > PLAYGROUND_WORD_BYTES_MAX {
                    let reason = format!("expected 1 to {PLAYGROUND_WORD_BYTES_MAX}");
                    flaws.add(format!("{at}/bytes_max"), reason);
                }
                self.check_holes(field, args, at, flaws);
            }
            Kind::File { types, args, .. } => {
                flaws.types(&format!("{at}/types"), types);
                self.check_holes(field, args, at, flaws);
            }
        }
        if let Err(expected) = field.accepts(&field.default_value()) {
            flaws.add(format!("{at}/default"), expected);
        }
    }

    /// A field that takes a value must say where it goes.
    fn check_holes(&self, field: &Field, args: &[String], at: &str, flaws: &mut Flaws) {
        let at = format!("{at}/args");
        flaws.words(&at, args);
        let examples = self.examples.iter().filter_map(|example| example.command.as_ref());
        let mut words = examples.flatten().chain(&self.command);
        let is_in_command = words.any(|word| Word::parse(word) == Word::Field(&field.name));
        if (is_in_command || !args.is_empty()) && !args.iter().any(|word| word.contains(HOLE)) {
            flaws.add(at, "expected a word with `{}`, where the value goes");
        }
    }

    fn check_setting(&self, setting: &Setting, at: &str, flaws: &mut Flaws) {
        match self.field(&setting.field) {
            None => {
                let reason = format!("there is no field `{}`", setting.field);
                flaws.add(format!("{at}/field"), reason);
            }
            Some(field) => {
                if let Err(expected) = field.accepts(&setting.value) {
                    flaws.add(format!("{at}/value"), expected);
                }
            }
        }
    }
}

fn is_variable(name: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_first)
        && name.bytes().all(|byte| is_first(byte) || byte.is_ascii_digit())
        && name.len() <= 64
}
