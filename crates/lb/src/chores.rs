//! What the program does beside serving: things that operators need before they start it.

use clap::Subcommand;

use crate::config;
use crate::core::admission::keys::{self, BadKeys};

/// Chores.
#[derive(Debug, Subcommand)]
pub enum Chore {
    /// API keys
    #[command(subcommand)]
    Key(KeyChore),
    /// Workers
    #[command(subcommand)]
    Worker(WorkerChore),
}

/// Chores about workers.
#[derive(Debug, Subcommand)]
pub enum WorkerChore {
    /// Print a token for the worker's `--token-file`, and below it its entry for `workers.file`,
    /// from which the token cannot be told
    New {
        /// The worker's name, as it says it in hello
        name: String,
    },
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
    /// No worker may be called that.
    #[error("expected a name of 1 to 256 visible characters without quotes")]
    Name,
}

impl Chore {
    /// Does it; what is to be printed.
    ///
    /// # Errors
    /// It was not done.
    pub fn run(self) -> Result<String, NotDone> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(NotDone::Randomness)?;
        match self {
            Self::Key(KeyChore::New { name, class }) => {
                let (key, line) = keys::mint(&name, &class, random)?;
                Ok(format!("{key}\n{line}\n"))
            }
            Self::Worker(WorkerChore::New { name }) => {
                // 32 random bytes as text; a digest is only borrowed for its spelling.
                let token = pe_proto::Digest(random).hex();
                let entry = config::workers::entry(&name, &token);
                Ok(format!("{token}\n\n{}", entry.ok_or(NotDone::Name)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::core::admission::keys::Keys;

    #[test]
    fn a_new_worker_is_printed_with_an_entry_that_lets_it_in() {
        let new = |name: &str| Chore::Worker(WorkerChore::New { name: name.into() });
        let printed = new("cellar-1").run().unwrap();
        let (token, entry) = printed.split_once("\n\n").unwrap();
        let entries = config::workers::parse(entry).unwrap();
        assert_eq!(&*entries[0].identity.name, "cellar-1");
        assert_eq!(entries[0].token, pe_proto::Digest::of(token.as_bytes()));
        assert!(!entries[0].identity.is_trusted && !entry.contains(token));
        for bad in ["", "a\"b", "a\nb"] {
            assert!(new(bad).run().is_err(), "{bad:?}");
        }
    }

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
