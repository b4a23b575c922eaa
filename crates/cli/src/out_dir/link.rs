//! Whether a symbolic link that came back may be made. Pure.

/// Whether a link at `path` with this target stays below the root that `path` is relative to.
///
/// Only `..` at the front are allowed, and no more of them than `path` has directories. The
/// directories above the link are real ones (writing follows no links), so those lead to a real
/// directory inside; and from there only names go down. A `..` after a name could start from
/// wherever another link leads, so it is refused although it may be harmless.
pub(super) fn stays_inside(path: &str, target: &str) -> bool {
    if target.is_empty() || target.starts_with('/') || target.contains('\0') {
        return false;
    }
    let depth = path.split('/').count() - 1;
    let names = || target.split('/').filter(|name| !matches!(*name, "" | "."));
    let ups = names().take_while(|name| *name == "..").count();
    ups <= depth && names().skip(ups).all(|name| name != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_inside_may_be_made() {
        for (path, target) in [
            ("a", "b"),
            ("a", "b/c/"),
            ("a", "./b"),
            ("d/a", "../b"),
            ("d/e/a", "../../b"),
            ("d/a", ".."),
            ("a", "..."),
        ] {
            assert!(stays_inside(path, target), "{path} -> {target}");
        }
    }

    #[test]
    fn a_link_that_may_lead_outside_is_not_made() {
        for (path, target) in [
            ("a", ""),
            ("a", "/etc/passwd"),
            ("a", ".."),
            ("a", "../b"),
            ("d/a", "../../b"),
            ("d/a", ".././../b"),
            ("a", "b/../../c"),
            ("a", "b/.."),
            ("a", "b\0"),
        ] {
            assert!(!stays_inside(path, target), "{path} -> {target}");
        }
    }
}
