//! How a person names a source: a path, or one of skopeo's transports.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::reference::{BadReference, Reference};

/// A source as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceName {
    /// `oci:DIR[:NAME]`
    Layout {
        /// The layout's directory.
        dir: PathBuf,
        /// Which of its images.
        name: Option<String>,
    },
    /// `oci-archive:FILE[:NAME]`
    OciArchive {
        /// A tar of a layout.
        file: PathBuf,
        /// Which of its images.
        name: Option<String>,
    },
    /// `docker-archive:FILE[:NAME]`
    DockerArchive {
        /// What `docker save` wrote.
        file: PathBuf,
        /// Which of its images.
        name: Option<String>,
    },
    /// A path by itself: what is there decides.
    Path(PathBuf),
    /// `docker://REFERENCE`, or a reference by itself.
    Registry(Reference),
}

/// Why a text does not name a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSourceName {
    /// It may be two things.
    #[error(
        "`{0}` is a path here, and could be the name of an image in a registry: write `./{0}` or \
         `docker://{0}`"
    )]
    Ambiguous(String),
    /// No path after the transport.
    #[error("`{0}` names no path: write it as `oci:DIR[:NAME]`")]
    NoPath(String),
    /// Not a reference.
    #[error("`{text}` is neither a path (`./x`, `/x`) nor the name of an image: {why}")]
    Reference {
        /// What was given.
        text: String,
        /// Why.
        why: BadReference,
    },
}

impl SourceName {
    /// Reads a name as [`FromStr`] does, but refuses one that is a path here as well.
    ///
    /// # Errors
    /// What is no name, or may be two things.
    pub fn read_here(text: &str) -> Result<Self, BadSourceName> {
        let name: Self = text.parse()?;
        let is_bare = matches!(name, Self::Registry(_)) && !text.starts_with("docker:");
        if is_bare && Path::new(text).exists() {
            return Err(BadSourceName::Ambiguous(text.to_owned()));
        }
        Ok(name)
    }
}

impl FromStr for SourceName {
    type Err = BadSourceName;

    fn from_str(text: &str) -> Result<Self, BadSourceName> {
        let file_and_name = |rest: &str| {
            let (path, name) = match rest.split_once(':') {
                Some((path, name)) => (path, Some(name.to_owned())),
                None => (rest, None),
            };
            match path {
                "" => Err(BadSourceName::NoPath(text.to_owned())),
                path => Ok((PathBuf::from(path), name)),
            }
        };
        if let Some(rest) = text.strip_prefix("oci:") {
            let (dir, name) = file_and_name(rest)?;
            return Ok(Self::Layout { dir, name });
        }
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            let (file, name) = file_and_name(rest)?;
            return Ok(Self::OciArchive { file, name });
        }
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            let (file, name) = file_and_name(rest)?;
            return Ok(Self::DockerArchive { file, name });
        }
        if text == "."
            || text == ".."
            || ["/", "./", "../"].iter().any(|each| text.starts_with(each))
        {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        let reference = text.strip_prefix("docker://").unwrap_or(text);
        let read = reference.parse().map(Self::Registry);
        read.map_err(|why| BadSourceName::Reference { text: text.to_owned(), why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_transports_or_references() {
        let check = |text: &str, expected: SourceName| {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        };
        let named = |name: &str| Some(name.to_owned());
        check("oci:/a/b", SourceName::Layout { dir: "/a/b".into(), name: None });
        check("oci:a:x:1", SourceName::Layout { dir: "a".into(), name: named("x:1") });
        check("oci-archive:a.tar", SourceName::OciArchive { file: "a.tar".into(), name: None });
        let file = "a.tar".into();
        check("docker-archive:a.tar:x", SourceName::DockerArchive { file, name: named("x") });
        check("./gcc", SourceName::Path("./gcc".into()));
        let gcc: Reference = "docker.io/library/gcc:latest".parse().expect("a reference");
        check("gcc", SourceName::Registry(gcc.clone()));
        check("docker://gcc", SourceName::Registry(gcc));
        for text in ["oci:", "oci::x", "https://registry.example/x", "~/x", "a b"] {
            assert!(text.parse::<SourceName>().is_err(), "{text}");
        }
    }
}
