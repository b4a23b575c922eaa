//! What the program does beside serving: things that operators need before they start it.

use clap::Subcommand;

use crate::core::admission::keys::{self, BadKeys};

/// Chores.
#[derive(Debug, Subcommand)]
pub enum Chore {
    /// API keys
    #[command(subcommand)]
    Key(KeyChore),
}

/// Chores about API keys.
#[derive(Debug, Subcommand)]
pub enum KeyChore {
    /// Print a new API key, and below it its line for `admission.keys_file`, which cannot be used
    /// as a key
    New {
        /// Whose it is, as in logs and lists: letters, digits, `-`, `_` and `.`
        name: String,
        /// A class of `[admission.classes]`
        #[arg(long)]
        class: String,
    },
}

/// Why a chore was not done.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// The system has no randomness.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
    /// The name or class cannot be one.
    #[error("{0}")]
    Key(#[from] BadKeys),
}

impl Chore {
    /// Does it; what is to be printed.
    ///
    /// # Errors
    /// It was not done.
    pub fn run(self) -> Result<String, NotDone> {
        let Self::Key(KeyChore::New { name, class }) = self;
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(NotDone::Randomness)?;
        let (key, line) = keys::mint(&name, &class, random)?;
        Ok(format!("{key}\n{line}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::admission::keys::Keys;

    #[test]
    fn a_new_key_is_printed_with_its_line() {
        let new = |name: &str| Chore::Key(KeyChore::New { name: name.into(), class: "a".into() });
        let printed = new("ci").run().unwrap();
        let (key, line) = printed.trim_end().split_once('\n').unwrap();
        let keys = Keys::parse(line, |class| class == "a").unwrap();
        assert_eq!(&*keys.find(key.as_bytes()).unwrap().name, "ci");
        assert_ne!(printed, new("ci").run().unwrap());
        assert!(new("no name").run().is_err());
    }
}
