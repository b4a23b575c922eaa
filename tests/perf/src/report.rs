//! The table, and its place in the page.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::bench::Bench;
use crate::machine::{today, told, version};
use crate::rows::Row;

/// What the table stands between.
const BEGIN: &str = "<!-- bench-lb: begin, written by make bench-lb -->";
const END: &str = "<!-- bench-lb: end -->";

/// The table in Markdown, with what it was measured on.
pub(crate) fn table(bench: &Bench, rows: &[Row]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "**Machine:** {}. {}.", told(), today());
    let _ = writeln!(
        text,
        "**Peers:** nginx {}, HAProxy {}, Varnish {}, h2load {}. Medians of {} runs of {:.1} s \
each, in turns; server on one core, load, workers and backend on another. Answers have {} bytes; \
jobs carry {} bytes.\n",
        version("nginx", "-v"),
        version("haproxy", "-v"),
        version("varnishd", "-V"),
        version("h2load", "--version"),
        bench.rounds,
        bench.length.measured.as_secs_f64(),
        bench.result.bytes,
        std::fs::metadata(&bench.jobs.binary).map_or(0, |data| data.len()),
    );
    text.push_str(
        "| what | connections × streams | pe-lb | peer | | ratio | by CPU time | target |\n",
    );
    text.push_str("| --- | --- | ---: | --- | ---: | ---: | ---: | --- |\n");
    for row in rows {
        let Row { what, load, ours, peer, theirs, ratio, per_cpu, target } = row;
        let _ = writeln!(
            text,
            "| {what} | {load} | {ours} | {peer} | {theirs} | {ratio} | {per_cpu} | {target} |"
        );
    }
    text
}

/// Replaces what stands between the marks in a page.
pub(crate) fn write(page: &Path, table: &str) -> anyhow::Result<()> {
    let told = || format!("{}", page.display());
    let text = fs::read_to_string(page).with_context(told)?;
    fs::write(page, placed(&text, table).with_context(told)?).with_context(told)
}

fn placed(page: &str, table: &str) -> anyhow::Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("no mark where the table begins")?;
    let (_, after) = rest.split_once(END).context("no mark where the table ends")?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_replaces_the_one_before() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let expected = format!("a\n{BEGIN}\nnew\n{END}\nb\n");
        assert_eq!(placed(&page, "new\n").unwrap(), expected);
        assert!(placed("a", "new").is_err());
    }
}
