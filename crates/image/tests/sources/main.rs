//! Sources from outside: layouts and archives made by hand and by real tools, a real registry on
//! loopback, and hostile ones.

mod files;
mod hostile;
mod made;
mod real;
mod resume;
mod server;
mod tools;
