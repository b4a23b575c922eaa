//! Seeds for the fuzzers: each golden vector, as bytes, in the corpus of its target.

use std::fs;

use anyhow::{Context as _, ensure};

use crate::repo::Repo;

const VECTORS: &str = "crates/proto/vectors";
const CORPUS: &str = "crates/proto/fuzz/corpus";
const TARGETS: &str = "crates/proto/fuzz/fuzz_targets";

/// Writes them; returns how many.
pub(crate) fn write(repo: &Repo) -> anyhow::Result<usize> {
    let mut written = 0;
    let vectors = fs::read_dir(repo.root().join(VECTORS)).context("listing the vectors")?;
    for vector in vectors {
        let path = vector?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.context("a vector's name is ASCII")?;
        let (stem, ending) = name.rsplit_once('.').context("a vector's name has an ending")?;
        let target = stem.split('-').next().unwrap_or_default();
        if !repo.has(&format!("{TARGETS}/{target}.rs")) {
            continue; // A format without a decoder, such as the job digest.
        }
        let text = fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
        let bytes = match ending {
            "hex" => from_hex(&text).with_context(|| format!("reading {name}"))?,
            _ => text.trim_end().as_bytes().to_vec(),
        };
        let folder = repo.root().join(CORPUS).join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(stem), bytes)?;
        written += 1;
    }
    Ok(written)
}

fn from_hex(text: &str) -> anyhow::Result<Vec<u8>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let digits: Vec<char> =
        lines.flat_map(str::chars).filter(|char| !char.is_whitespace()).collect();
    ensure!(digits.len() % 2 == 0, "an odd number of digits");
    let byte = |pair: &[char]| {
        let pair: String = pair.iter().collect();
        u8::from_str_radix(&pair, 16).with_context(|| format!("`{pair}` is not hexadecimal"))
    };
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::from_hex;

    #[test]
    fn hexadecimal_text_is_read_without_comments() {
        assert_eq!(from_hex("# a\n00ff 1\n0\n").unwrap(), [0, 0xff, 0x10]);
        assert!(from_hex("0").is_err());
        assert!(from_hex("0g").is_err());
    }
}
