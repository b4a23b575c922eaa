//! Reading a directory whole, within bounds, and only what is a plain file in it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::limits::{WEB_BYTES_MAX, WEB_DEPTH_MAX, WEB_FILES_MAX};

/// Why a directory is no page.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// Something in it cannot be read.
    #[error("{path} cannot be read")]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A link, a socket, a device.
    #[error("{0} is neither a file nor a folder; links are not followed")]
    NoFile(PathBuf),
    /// A name that a path would have to escape.
    #[error("{0}: a name may have letters, digits, `.`, `_` and `-`")]
    Name(PathBuf),
    /// More files or folders than may be.
    #[error("it has more than {WEB_FILES_MAX} files, or folders deeper than {WEB_DEPTH_MAX}")]
    TooMany,
    /// More bytes than may be.
    #[error("its files have more than {WEB_BYTES_MAX} bytes")]
    TooLarge,
    /// A path that the load balancer has for itself.
    #[error("{0} is at a path that the load balancer answers itself")]
    Taken(String),
    /// It is something else, or half of it.
    #[error("it has no index.html; `make web` builds one in web/dist")]
    NoIndex,
}

/// All files by their names, with `/` between folders. What begins with a dot is left out: tools
/// keep their notes there.
pub(super) fn read(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, NotRead> {
    let mut files = BTreeMap::new();
    let mut left = WEB_BYTES_MAX;
    let mut seen = 0;
    let mut folders = vec![(dir.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let failed = |source| NotRead::Io { path: folder.clone(), source };
        for entry in folder.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_str().filter(|name| is_name(name));
            let name = name.ok_or_else(|| NotRead::Name(path.clone()))?;
            if name.starts_with('.') {
                continue;
            }
            seen += 1;
            if seen > WEB_FILES_MAX || depth >= WEB_DEPTH_MAX {
                return Err(NotRead::TooMany);
            }
            let failed = |source| NotRead::Io { path: path.clone(), source };
            // Of the entry itself, whatever it may point at.
            let kind = entry.file_type().map_err(failed)?;
            let name = format!("{prefix}{name}");
            if kind.is_dir() {
                folders.push((path, name + "/", depth + 1));
            } else if kind.is_file() {
                let content = content(&path, left).map_err(failed)?;
                let content = content.ok_or(NotRead::NoFile(path))?;
                left = left.checked_sub(content.len()).ok_or(NotRead::TooLarge)?;
                files.insert(name, content);
            } else {
                return Err(NotRead::NoFile(path));
            }
        }
    }
    Ok(files)
}

/// At most one byte more than `most`; `None` if it became something else since it was listed.
fn content(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file: File = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut content)?;
    Ok(Some(content))
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
