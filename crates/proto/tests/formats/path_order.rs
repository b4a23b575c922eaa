//! Paths: which there may be, and the one order they come in.

use std::cmp::Ordering;

use pe_proto::path::{self, BadPath};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use crate::strategies;

/// The order as protocol.md 2.2 says it: name by name, each by its bytes.
fn by_names(a: &str, b: &str) -> Ordering {
    a.split('/').map(str::as_bytes).cmp(b.split('/').map(str::as_bytes))
}

proptest! {
    #[test]
    fn paths_are_ordered_name_by_name(a in strategies::path(), b in strategies::path()) {
        prop_assert_eq!(path::compare(&a, &b), by_names(&a, &b));
        prop_assert_eq!(path::compare(&a, &b), path::compare(&b, &a).reverse());
        prop_assert_eq!(path::compare(&a, &b) == Ordering::Equal, a == b);
    }

    #[test]
    fn what_is_below_a_path_comes_right_after_it(
        a in strategies::path(),
        below in strategies::path(),
        other in strategies::path(),
    ) {
        let child = format!("{a}/{below}");
        prop_assert!(path::is_below(&child, &a));
        prop_assert_eq!(path::compare(&a, &child), Ordering::Less);
        let between = by_names(&a, &other).is_lt() && path::compare(&other, &child).is_lt();
        prop_assert!(!between || path::is_below(&other, &a), "{other} is between {a} and {child}");
    }

    #[test]
    fn any_bytes_are_judged_as_the_rules_say(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
        let good = std::str::from_utf8(&bytes).is_ok_and(|text| {
            !text.contains('\0') && text.split('/').all(|name| !matches!(name, "" | "." | ".."))
        });
        prop_assert_eq!(path::check(&bytes).is_ok(), good);
    }
}

#[test]
fn paths_that_could_leave_their_directory_are_refused() {
    let cases: [(&[u8], BadPath); 14] = [
        (b"", BadPath::Empty),
        (b"/", BadPath::Absolute),
        (b"/etc/passwd", BadPath::Absolute),
        (b"//", BadPath::Absolute),
        (b".", BadPath::DotName),
        (b"..", BadPath::DotName),
        (b"../x", BadPath::DotName),
        (b"a/../b", BadPath::DotName),
        (b"a/.", BadPath::DotName),
        (b"a//b", BadPath::EmptyName),
        (b"a/", BadPath::EmptyName),
        (b"a\0b", BadPath::Nul),
        (b"\xff", BadPath::NotUtf8),
        (b"a/\xc3", BadPath::NotUtf8),
    ];
    for (bytes, expected) in cases {
        assert_eq!(path::check(bytes), Err(expected), "{}", bytes.escape_ascii());
    }
}

#[test]
fn names_that_only_look_odd_are_exact() {
    let names = ["...", "..a", "a..", " ", "CON", "con", "a\\b", "a\nb", "\u{202e}x", "C:", "-rf"];
    for name in names {
        assert_eq!(path::check(name.as_bytes()), Ok(name));
    }
}

#[test]
fn paths_are_bounded_in_length_name_and_depth() {
    let name = "n".repeat(255);
    assert_eq!(path::check_str(&name), Ok(()));
    assert_eq!(path::check_str(&format!("{name}n")), Err(BadPath::NameTooLong));
    let deep = vec!["d"; 64].join("/");
    assert_eq!(path::check_str(&deep), Ok(()));
    assert_eq!(path::check_str(&format!("{deep}/d")), Err(BadPath::TooDeep));
    let long = format!("{}/{}", vec![name.as_str(); 15].join("/"), "n".repeat(255));
    assert_eq!(long.len(), 4095);
    assert_eq!(path::check_str(&long), Ok(()));
    assert_eq!(path::check_str(&format!("{long}/n")), Err(BadPath::TooLong));
    assert_eq!(path::check(format!("{long}/n").as_bytes()), Err(BadPath::TooLong));
}
