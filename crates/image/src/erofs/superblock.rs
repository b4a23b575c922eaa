//! The superblock, which has the first block to itself.

use crc::{CRC_32_ISCSI, Crc};

use super::{BLOCK, pad};

const OFFSET: usize = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
const BLOCK_BITS: u8 = 12;
/// There is a checksum.
const HAS_CHECKSUM: u32 = 1;
/// Times of inodes are those of their content's last change.
const HAS_MTIME: u32 = 2;
/// Reserved, and of other features: compression, devices, prefixes of attributes.
const REST_BYTES: usize = 48;

static CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// The root's inode, which must lie in the first 2 MiB.
    pub(crate) root_nid: u16,
    /// How many inodes there are.
    pub(crate) inodes: u64,
    /// How many blocks, without padding.
    pub(crate) blocks: u32,
    /// The volume's uuid.
    pub(crate) uuid: [u8; 16],
    /// When it was made, in seconds since 1970.
    pub(crate) time: u64,
}

impl Superblock {
    /// The first block.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; OFFSET];
        self.put(&mut block, 0);
        // As the kernel has it: without the last inversion, and as if the sum were zero.
        let sum = !CRC32C.checksum(block.get(OFFSET..).unwrap_or_default());
        block.truncate(OFFSET);
        self.put(&mut block, sum);
        block
    }

    fn put(&self, into: &mut Vec<u8>, checksum: u32) {
        let mut word = |bytes: &[u8]| into.extend_from_slice(bytes);
        word(&MAGIC.to_le_bytes());
        word(&checksum.to_le_bytes());
        word(&(HAS_CHECKSUM | HAS_MTIME).to_le_bytes());
        word(&[BLOCK_BITS, 0]);
        word(&self.root_nid.to_le_bytes());
        word(&self.inodes.to_le_bytes());
        word(&self.time.to_le_bytes());
        word(&0_u32.to_le_bytes());
        word(&self.blocks.to_le_bytes());
        // Metadata begins at byte 0, and so would shared attributes.
        word(&[0; 8]);
        word(&self.uuid);
        // No name, no feature that a kernel would have to know.
        word(&[0; 16]);
        word(&[0; 4]);
        word(&[0; REST_BYTES - 4]);
        pad(into, BLOCK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_laid_out_as_the_kernel_reads_it() {
        let superblock = Superblock {
            root_nid: 128,
            inodes: 3,
            blocks: 2,
            uuid: *b"0123456789abcdef",
            time: 0x0102_0304,
        };
        let block = superblock.encode();
        assert_eq!(block.len(), BLOCK);
        assert!(block[..1024].iter().all(|&byte| byte == 0));
        // The checksum is that of a bitwise CRC-32C beside it.
        let mut zeroed = block[1024..].to_vec();
        zeroed[4..8].fill(0);
        let sum = zeroed.iter().fold(u32::MAX, |sum, &byte| {
            (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0x82f6_3b78 * (sum & 1)))
        });
        assert_eq!(block[1028..1032], sum.to_le_bytes());
        let hex = |from: usize, to: usize| -> String {
            block[from..to].iter().map(|byte| format!("{byte:02x}")).collect()
        };
        assert_eq!(hex(1024, 1028), "e2e1f5e0");
        assert_eq!(hex(1032, 1056), "030000000c00800003000000000000000403020100000000");
        assert_eq!(hex(1056, 1072), "00000000020000000000000000000000");
        assert_eq!(block[1072..1088], superblock.uuid);
        assert!(block[1088..].iter().all(|&byte| byte == 0));
    }
}
