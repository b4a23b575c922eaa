//! Inodes, all of the 64-byte kind.

/// Its length, without attributes and what is kept beside it.
pub(crate) const INODE_BYTES: usize = 64;

const IS_EXTENDED: u16 = 1;
const LAYOUT_BIT: u16 = 1;

/// Types of a mode.
const TYPE_MASK: u32 = 0o170_000;

/// What a name stands for, by the number that directories have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Fifo,
    Socket,
    Symlink,
}

impl Kind {
    /// Of a mode; none of device nodes, which no tree has.
    pub(crate) fn of_mode(mode: u32) -> Option<Self> {
        match mode & TYPE_MASK {
            0o100_000 => Some(Self::File),
            0o040_000 => Some(Self::Directory),
            0o010_000 => Some(Self::Fifo),
            0o140_000 => Some(Self::Socket),
            0o120_000 => Some(Self::Symlink),
            _ => None,
        }
    }

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Directory => 2,
            Self::Fifo => 5,
            Self::Socket => 6,
            Self::Symlink => 7,
        }
    }
}

/// Where an inode's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On whole blocks from this one on; nobody looks if there are none.
    Blocks(u32),
    /// Whole blocks from this one on, and the rest behind the inode, in the block that it is in.
    Beside(u32),
}

/// One inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inode {
    pub(crate) mode: u16,
    pub(crate) bytes: u64,
    pub(crate) place: Place,
    /// What 32-bit programs see as its number.
    pub(crate) number: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970 and nanoseconds.
    pub(crate) mtime: (u64, u32),
    pub(crate) links: u32,
    /// [`super::xattr::count`].
    pub(crate) xattr_count: u16,
}

impl Inode {
    /// Its 64 bytes.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        let (layout, block) = match self.place {
            Place::Blocks(block) => (0, block),
            Place::Beside(block) => (2, block),
        };
        let mut word = |bytes: &[u8]| into.extend_from_slice(bytes);
        word(&(IS_EXTENDED | (layout << LAYOUT_BIT)).to_le_bytes());
        word(&self.xattr_count.to_le_bytes());
        word(&self.mode.to_le_bytes());
        word(&[0; 2]);
        word(&self.bytes.to_le_bytes());
        word(&block.to_le_bytes());
        word(&self.number.to_le_bytes());
        word(&self.uid.to_le_bytes());
        word(&self.gid.to_le_bytes());
        word(&self.mtime.0.to_le_bytes());
        word(&self.mtime.1.to_le_bytes());
        word(&self.links.to_le_bytes());
        word(&[0; 16]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_is_laid_out_as_the_kernel_reads_it() {
        let inode = Inode {
            mode: 0o100_755,
            bytes: 0x0001_0000_0002,
            place: Place::Blocks(0x0a0b_0c0d),
            number: 7,
            uid: 70_000,
            gid: 4_000_000_000,
            mtime: (0x1_ffff_ffff, 999_999_999),
            links: 2,
            xattr_count: 3,
        };
        let mut bytes = Vec::new();
        inode.encode(&mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = "01000300ed8100000200000001000000\
            0d0c0b0a07000000701101000028 6bee\
            ffffffff01000000ffc99a3b02000000\
            00000000000000000000000000000000";
        assert_eq!(hex, expected.replace(' ', ""));
        Inode { place: Place::Beside(0), ..inode }.encode(&mut bytes);
        assert_eq!(bytes.len(), 2 * INODE_BYTES);
        assert_eq!(bytes[64], 5);
    }

    #[test]
    fn kinds_have_the_numbers_of_directories() {
        let numbers = [0o100_644, 0o040_755, 0o010_600, 0o140_600, 0o120_777]
            .map(|mode| Kind::of_mode(mode).map(Kind::number));
        assert_eq!(numbers, [Some(1), Some(2), Some(5), Some(6), Some(7)]);
        assert_eq!(Kind::of_mode(0o020_600), None);
        assert_eq!(Kind::of_mode(0o060_600), None);
    }
}
