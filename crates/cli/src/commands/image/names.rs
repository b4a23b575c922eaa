//! Names of images in the catalogue: `name:tag`. Pure.

use pe_image::SourceName;

/// Longest name and tag; as registries have them.
const NAME_BYTES_MAX: usize = 128;

/// Why something is not called that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadName {
    /// Not a name.
    #[error(
        "`{0}` is not a name for an image: small letters and digits, with dots, dashes, underscores \
         and slashes between them, and a tag of letters and digits after a colon"
    )]
    Form(String),
    /// The source has none that would do.
    #[error("`{0}` says no name that the catalogue can have: say --name NAME[:TAG]")]
    Needed(String),
    /// Without a name before the source.
    #[error("`{0}` is not NAME:TAG=SOURCE: say what it is to be called, such as mine:1={0}")]
    Pair(String),
}

/// A name and a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) tag: String,
}

impl Name {
    /// Reads `name[:tag]`; the tag is `latest` if absent.
    pub(crate) fn read(text: &str) -> Result<Self, BadName> {
        let (name, tag) = text.split_once(':').unwrap_or((text, "latest"));
        let is_plain = |part: &str, also: &[u8]| {
            let known = |byte: u8| {
                byte.is_ascii_alphanumeric() || b"._-".contains(&byte) || also.contains(&byte)
            };
            let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
            part.len() <= NAME_BYTES_MAX
                && part.bytes().all(known)
                && edge(part.bytes().next())
                && edge(part.bytes().next_back())
        };
        let is_name = !name.bytes().any(|byte| byte.is_ascii_uppercase())
            && name.split('/').all(|part| is_plain(part, b""))
            && is_plain(name, b"/")
            && is_plain(tag, b"");
        match is_name {
            true => Ok(Self { name: name.to_owned(), tag: tag.to_owned() }),
            false => Err(BadName::Form(text.to_owned())),
        }
    }

    /// What a source is called by itself: the last name of a reference and its tag, or a file's
    /// name without its ending.
    pub(crate) fn of(text: &str, source: &SourceName) -> Result<Self, BadName> {
        let named = match source {
            SourceName::Registry(reference) => {
                let last = reference.repository.rsplit('/').next().unwrap_or_default();
                let tag = reference.tag.as_deref().unwrap_or("latest");
                Some(format!("{last}:{tag}"))
            }
            SourceName::Layout { name: Some(name), dir } => {
                let dir = dir.file_name().and_then(|dir| dir.to_str()).unwrap_or_default();
                // Layouts have tags as names, or whole references.
                Some(match name.rsplit('/').next().unwrap_or_default() {
                    last if last.contains(':') => last.to_owned(),
                    tag => format!("{dir}:{tag}"),
                })
            }
            SourceName::OciArchive { name: Some(name), .. }
            | SourceName::DockerArchive { name: Some(name), .. } => {
                name.rsplit('/').next().map(str::to_owned)
            }
            SourceName::Layout { dir: path, name: None }
            | SourceName::OciArchive { file: path, name: None }
            | SourceName::DockerArchive { file: path, name: None }
            | SourceName::Path(path) => {
                path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned)
            }
        };
        named
            .and_then(|name| Self::read(&name).ok())
            .ok_or_else(|| BadName::Needed(text.to_owned()))
    }
}

/// `NAME:TAG=SOURCE`
pub(crate) fn pair(text: &str) -> Result<(Name, &str), BadName> {
    let (name, source) = text.split_once('=').ok_or_else(|| BadName::Pair(text.to_owned()))?;
    Ok((Name::read(name)?, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_a_name_by_itself() {
        let check = |text: &str, expected: Option<&str>| {
            let name = Name::of(text, &text.parse().expect("a source"));
            let name = name.ok().map(|name| format!("{}:{}", name.name, name.tag));
            assert_eq!(name.as_deref(), expected, "{text}");
        };
        check("gcc:14", Some("gcc:14"));
        check("docker://ghcr.io/someone/image", Some("image:latest"));
        check("oci:layout:1.2", Some("layout:1.2"));
        check("oci:layout:docker.io/library/gcc:14", Some("gcc:14"));
        check("docker-archive:x.tar:docker.io/library/gcc:14", Some("gcc:14"));
        check("./python.tar", Some("python:latest"));
        check("./Weird Name.tar", None);
        check(".", None);
    }

    #[test]
    fn names_are_plain() {
        for bad in ["", "A", "a b", "a:", ":a", "a:b:c", "../a", "a//b", "-a", "a/", "a:../b"] {
            assert!(Name::read(bad).is_err(), "{bad}");
        }
        assert!(Name::read("team/gcc-14.2_x:1.0-RC").is_ok());
        let (name, source) = pair("gcc:14=docker://gcc:14").expect("a pair");
        assert_eq!((name.tag.as_str(), source), ("14", "docker://gcc:14"));
        let bare = pair("oci:layout:1").expect_err("no name");
        assert!(bare.to_string().ends_with("such as mine:1=oci:layout:1"), "{bare}");
    }
}
