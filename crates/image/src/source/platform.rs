//! Which entry of an index is for an architecture.

use pe_proto::Arch;

use super::SourceError;
use super::document::{Entry, printable};

/// The names that Go gives architectures, which OCI took.
fn go_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
        Arch::Riscv64 => "riscv64",
    }
}

/// Whether a config or an entry is for Linux on an architecture.
pub(super) fn is_for(os: &str, architecture: &str, wanted: Arch) -> bool {
    os == "linux" && architecture == go_name(wanted)
}

/// The entry for an architecture: the first plain one, else the first of the lowest variant that
/// runs everywhere. An index of one entry need not say what it is for; the image's config will.
pub(super) fn pick(entries: &[Entry], wanted: Arch) -> Result<&Entry, SourceError> {
    if let [only] = entries {
        if only.platform.is_none() {
            return Ok(only);
        }
    }
    let fitting = |entry: &&Entry| {
        let platform = entry.platform.as_ref();
        platform.is_some_and(|each| {
            is_for(&each.os, &each.architecture, wanted)
                && matches!(each.variant.as_deref(), None | Some("" | "v1" | "v8"))
        })
    };
    entries.iter().find(fitting).ok_or_else(|| {
        let names = entries.iter().filter_map(|entry| entry.platform.as_ref()).map(|each| {
            let variant = each.variant.as_deref().unwrap_or_default();
            let slash = if variant.is_empty() { "" } else { "/" };
            printable(&format!("{}/{}{slash}{variant}", each.os, each.architecture))
        });
        let mut there: Vec<String> = names.filter(|name| name != "unknown/unknown").collect();
        there.dedup();
        there.truncate(16);
        SourceError::NoPlatform { wanted, there: there.join(", ") }
    })
}
