//! Everything that must be in place before a job's program can run.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use pe_proto::guest_config::GuestConfig;
use pe_proto::outcome::GuestPhases;

use super::micros;
use crate::accounts::{self, Account};
use crate::blame::{Doing, Refusal};
use crate::collect::Patterns;
use crate::confined::{NoDirectory, Tree};
use crate::ids::{outside_gid, outside_uid};
use crate::input;
use crate::layers::Root;
use crate::limits::ACCOUNT_FILE_BYTES_MAX;
use crate::oci::Container;
use crate::waiting::{Ready, Rung};

/// A job's root, its user, its input, its working directory.
#[derive(Debug)]
pub(super) struct Stage<'job> {
    pub config: &'job GuestConfig,
    pub patterns: Patterns,
    pub root: Root,
    pub stdin: OwnedFd,
    /// Relative to the root, links resolved.
    pub cwd: PathBuf,
    account: Account,
}

impl<'job> Stage<'job> {
    /// Sets it, or says why it cannot be.
    pub(super) fn set(
        ready: &mut Ready,
        rung: &Rung,
        config: &'job GuestConfig,
        phases: &mut GuestPhases,
    ) -> Result<Self, Refusal> {
        let spec = &config.spec;
        // First what costs nothing to refuse.
        let patterns = Patterns::parse(&spec.outputs)?;
        let pack = ready.pack(&config.pack_uuid)?;
        let root = pack.root(&config.pack_prefix)?;
        let account = account(&spec.user, &pack.image(&config.pack_prefix))?;
        let ids = (outside_uid(account.uid), outside_gid(account.gid));
        root.hand_over(ids.0, ids.1)?;
        phases.mount_us = micros(rung.seen.elapsed());

        let since = Instant::now();
        let archive = rung.header.plan.archive();
        let stdin = input::unpack(&rung.node, archive, &root, ids, &ready.cgroup)?;
        let cwd = working_directory(&root, &spec.cwd, &account)?;
        phases.unpack_us = micros(since.elapsed());
        Ok(Self { config, patterns, root, stdin, cwd, account })
    }

    /// What the job asked to run.
    pub(super) fn program(&self) -> &str {
        self.config.spec.args.first().map_or("", String::as_str)
    }

    /// The container that it runs in.
    pub(super) fn container<'a>(&'a self, ready: &'a Ready) -> Container<'a> {
        Container {
            spec: &self.config.spec,
            root: &self.root.path,
            account: &self.account,
            cwd: &self.config.spec.cwd,
            hostname: &self.config.hostname,
            shares: ready.shares,
            namespaces: &ready.namespaces,
        }
    }
}

/// Reads the image's accounts only if there is something to look up.
fn account(user: &str, image: &Path) -> Result<Account, Refusal> {
    if user.is_empty() {
        return Ok(Account::root());
    }
    let image = Tree::open(image).doing("opening the image")?;
    let read = |path| image.read(path, ACCOUNT_FILE_BYTES_MAX);
    accounts::resolve(user, &read("etc/passwd"), &read("etc/group"))
        .map_err(|unknown| Refusal::image(format!("the job cannot run as `{user}`: {unknown}")))
}

/// Parts of the container that do not exist before the runtime makes them. A working directory
/// there is the runtime's to enter or to complain of.
const MADE_BY_RUNTIME: [&str; 3] = ["proc", "sys", "dev"];

fn working_directory(root: &Root, cwd: &str, account: &Account) -> Result<PathBuf, Refusal> {
    let mut names = cwd.split('/').filter(|name| !matches!(*name, "" | "."));
    if names.next().is_some_and(|first| MADE_BY_RUNTIME.contains(&first)) {
        return Ok(PathBuf::from(cwd.trim_start_matches('/')));
    }
    let tree = Tree::open(&root.path).doing("opening the container's root")?;
    let (uid, gid) = (outside_uid(account.uid), outside_gid(account.gid));
    tree.ensure_directory(cwd, uid, gid).map_err(|no| {
        let reason = format!("the working directory `{cwd}` cannot be: {no}");
        match no {
            NoDirectory::Other(_) => Refusal::ours(reason),
            NoDirectory::NotADirectory | NoDirectory::DotDot | NoDirectory::DanglingLink => {
                Refusal::client(reason)
            }
        }
    })
}
