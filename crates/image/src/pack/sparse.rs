//! Writing without what is zero anyway.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::erofs::BLOCK;

/// What a block is compared with, which is faster than looking at its bytes.
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Writes a piece at an offset of a block, behind which the file is empty. Blocks of zeros are left
/// out: whoever sets the file's length makes holes of them.
pub(crate) fn write_sparse(file: &File, at: u64, piece: &[u8]) -> io::Result<()> {
    let mut rest = piece;
    let mut at = at;
    while !rest.is_empty() {
        let is_zero = |block: &[u8]| ZEROS.get(..block.len()) == Some(block);
        let first = rest.chunks(BLOCK).next().is_some_and(is_zero);
        let run = rest.chunks(BLOCK).take_while(|block| is_zero(block) == first);
        let length = run.map(<[u8]>::len).sum();
        let (run, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        if !first {
            file.write_all_at(run, at)?;
        }
        at = at.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        rest = behind;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn zeros_are_holes_and_the_rest_is_where_it_was() {
        let file = tempfile::tempfile().expect("tempfile");
        let mut piece = vec![0; 64 * BLOCK + 10];
        piece[0] = 1;
        piece[9 * BLOCK + 4095] = 2;
        piece[64 * BLOCK + 9] = 3;
        write_sparse(&file, 4096, &piece).expect("write");
        file.set_len(4096 + 66 * 4096).expect("length");
        let mut read = vec![9; piece.len()];
        file.read_exact_at(&mut read, 4096).expect("read");
        assert_eq!(read, piece);
        assert!(file.metadata().expect("stat").blocks() * 512 <= 8 * 4096);
    }
}
