//! One `--file`: which local thing, and where below `/input` it goes. Pure text.

use std::path::{Path, PathBuf};

/// A `--file` argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileArgument {
    /// What to send.
    pub local: PathBuf,
    /// What was said about where to; `None` if nothing.
    remote: Option<String>,
}

impl FileArgument {
    /// Splits `local=remote`. A text that names something that exists is taken as it is, so names
    /// with `=` in them need no quoting; otherwise the last `=` splits, so that a renamed one can
    /// have `=` in its local name too.
    pub fn parse(text: &str, exists: impl Fn(&Path) -> bool) -> Self {
        let whole = || Self { local: PathBuf::from(text), remote: None };
        if exists(Path::new(text)) {
            return whole();
        }
        match text.rsplit_once('=') {
            Some((local, remote)) if !local.is_empty() => {
                Self { local: PathBuf::from(local), remote: Some(remote.to_owned()) }
            }
            _ => whole(),
        }
    }

    /// Path below `/input` of a file, or of a directory's root; empty for `/input` itself.
    /// `None` if a name is needed and the local path has none that is UTF-8.
    pub fn place(&self, is_directory: bool) -> Option<String> {
        let Some(remote) = &self.remote else {
            let contents_only = is_directory && self.is_contents();
            return if contents_only { Some(String::new()) } else { self.name() };
        };
        let mut remote = match remote.as_str() {
            "/input" => "",
            remote => remote.strip_prefix("/input/").unwrap_or(remote),
        };
        while let Some(rest) = remote.strip_prefix("./") {
            remote = rest.trim_start_matches('/');
        }
        if remote == "." {
            remote = "";
        }
        match remote.strip_suffix('/') {
            Some(directory) => {
                let name = self.name()?;
                Some(format!("{}/{name}", directory.trim_end_matches('/')))
            }
            None if remote.is_empty() && !is_directory => self.name(),
            None => Some(remote.to_owned()),
        }
    }

    /// Whether what is *in* the directory is meant, as `cp -r dir/. there` means it.
    fn is_contents(&self) -> bool {
        self.local.file_name().is_none()
            || self.local.as_os_str().as_encoded_bytes().ends_with(b"/.")
    }

    fn name(&self) -> Option<String> {
        self.local.file_name()?.to_str().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, is_directory: bool) -> (String, Option<String>) {
        let argument = FileArgument::parse(text, |path| path == Path::new("odd=name"));
        (argument.local.display().to_string(), argument.place(is_directory))
    }

    #[test]
    fn a_file_goes_where_cp_would_put_it() {
        let check = |text: &str, local: &str, remote: &str| {
            assert_eq!(place(text, false), (local.to_owned(), Some(remote.to_owned())), "{text}");
        };
        check("main.c", "main.c", "main.c");
        check("/a/b/main.c", "/a/b/main.c", "main.c");
        check("src/ünï.c", "src/ünï.c", "ünï.c");
        check("a.c=src/main.c", "a.c", "src/main.c");
        check("x/a.c=src/", "x/a.c", "src/a.c");
        check("a.c=/input/b.c", "a.c", "b.c");
        check("a.c=./b.c", "a.c", "b.c");
        check("x/a.c=.", "x/a.c", "a.c");
        check("odd=name", "odd=name", "odd=name");
        check("odd=name=plain", "odd=name", "plain");
        check("=x", "=x", "=x");
    }

    #[test]
    fn a_directory_is_placed_whole_or_by_what_is_in_it() {
        let check = |text: &str, remote: &str| {
            assert_eq!(place(text, true).1, Some(remote.to_owned()), "{text}");
        };
        check("project", "project");
        check("a/project/", "project");
        check("project/.", "");
        check(".", "");
        check("..", "");
        check("project=.", "");
        check("project=/input", "");
        check("project=src", "src");
        check("project=src/", "src/project");
        check("project/.=src", "src");
    }

    #[test]
    fn a_remote_path_that_cannot_be_is_left_for_the_path_rules_to_refuse() {
        for (text, remote) in [("a=../b", "../b"), ("a=/etc/b", "/etc/b"), ("a=x//y", "x//y")] {
            assert_eq!(place(text, false).1, Some(remote.to_owned()));
        }
    }
}
