//! Where the programs are: beside the tests, built with the same profile.

use std::path::PathBuf;

use anyhow::Context as _;

/// A program of the workspace.
///
/// # Errors
/// It was not built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let ours = std::env::current_exe()?;
    // `target/PROFILE/deps/test-hash`, or `target/PROFILE/program`.
    let mut places = ours.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    places.find(|path| path.is_file()).with_context(|| {
        format!(
            "no `{name}` beside {}: build pe-lb, pe-scripted-worker and pe-cli first",
            ours.display()
        )
    })
}
