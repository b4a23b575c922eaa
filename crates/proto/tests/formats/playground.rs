//! Forms of images: what is refused, and that a value is never more than its own words.

mod expansion;
mod flaws;
mod reading;
mod shells;
