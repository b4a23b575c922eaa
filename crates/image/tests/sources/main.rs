//! Sources from outside: layouts and archives made by hand and by real tools, a real registry on
//! loopback, and hostile ones.

#![expect(
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that panics fails, as it should"
)]

mod files;
mod hostile;
mod made;
mod real;
mod resume;
mod server;
mod tools;
