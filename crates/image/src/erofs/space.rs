//! Which bytes of the file are given to what.
//!
//! Blocks are given in order and never twice. Small things share extents of [`EXTENT_BLOCKS`]
//! blocks, so that those who list a tree find its inodes side by side; what is left of an extent
//! when it is closed stays empty, but for its end if nothing follows.

use super::{BLOCK_BYTES, blocks, nid};

/// Metadata side by side: 64 KiB, some hundreds of inodes.
const EXTENT_BLOCKS: u32 = 16;

/// The largest single thing among metadata.
pub(crate) const SLOT_BYTES_MAX: u64 = EXTENT_BLOCKS as u64 * BLOCK_BYTES;

/// What metadata begins on a multiple of.
const ALIGN: u64 = 32;

/// The file cannot be longer: 2^32 blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// An extent that is being filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    /// The next byte that nobody has.
    next: u64,
    end: u64,
}

/// The space behind what is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Space {
    end: u32,
    extent: Option<Extent>,
}

/// A place among metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Its first byte.
    pub(crate) offset: u64,
    /// Another extent was begun for it, here.
    pub(crate) begun: Option<u64>,
}

impl Slot {
    /// What names an inode in it.
    pub(crate) fn nid(self) -> u64 {
        nid(self.offset)
    }
}

impl Space {
    /// Behind the first blocks of a file.
    pub(crate) fn behind(end: u32) -> Self {
        Self { end, extent: None }
    }

    /// The first block that nobody has.
    pub(crate) fn end(&self) -> u32 {
        self.end
    }

    /// Blocks in a row, for so many bytes.
    pub(crate) fn blocks(&mut self, bytes: u64) -> Result<u32, Full> {
        let at = self.end;
        let count = u32::try_from(blocks(bytes)).map_err(|_| Full)?;
        self.end = at.checked_add(count).ok_or(Full)?;
        Ok(at)
    }

    /// A place for metadata. It lies within one block if it fits in one, else it begins one.
    pub(crate) fn slot(&mut self, bytes: u64) -> Result<Slot, Full> {
        let fits = |extent: &Extent| {
            let within = extent.next % BLOCK_BYTES;
            let is_parted = within != 0 && within + bytes > BLOCK_BYTES;
            let offset = if is_parted { extent.next + BLOCK_BYTES - within } else { extent.next };
            (offset + bytes <= extent.end).then_some(offset)
        };
        let (offset, begun) = match self.extent.as_ref().and_then(fits) {
            Some(offset) => (offset, None),
            None if bytes > SLOT_BYTES_MAX => return Err(Full),
            None => {
                let block = self.blocks(SLOT_BYTES_MAX)?;
                let offset = u64::from(block) * BLOCK_BYTES;
                self.extent = Some(Extent { next: offset, end: offset + SLOT_BYTES_MAX });
                (offset, Some(offset))
            }
        };
        if let Some(extent) = &mut self.extent {
            extent.next = (offset + bytes).next_multiple_of(ALIGN);
        }
        Ok(Slot { offset, begun })
    }

    /// Ends a section: what comes next does not depend on how full the last extent is.
    pub(crate) fn close(&mut self) {
        if let Some(extent) = self.extent.take() {
            if extent.end == u64::from(self.end) * BLOCK_BYTES {
                self.end = u32::try_from(blocks(extent.next)).unwrap_or(self.end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_things_share_an_extent_and_none_is_parted_by_a_block() {
        let mut space = Space::behind(1);
        let first = space.slot(64).expect("room");
        assert_eq!((first.offset, first.begun, first.nid()), (4096, Some(4096), 128));
        assert_eq!(space.slot(65).expect("room").offset, 4160);
        assert_eq!(space.slot(4000).expect("room").offset, 8192);
        assert_eq!(space.blocks(1), Ok(17));
        assert_eq!(space.slot(64).expect("room").offset, 8192 + 4000);
        // Larger than a block: it begins one.
        assert_eq!(space.slot(5000).expect("room").offset, 3 * 4096);
        space.close();
        assert_eq!(space.end(), 18);
    }

    #[test]
    fn the_end_of_the_last_extent_is_given_back() {
        let mut space = Space::behind(1);
        assert!(space.slot(64).is_ok());
        space.close();
        assert_eq!(space.end(), 2);
        assert_eq!(space.slot(64).expect("room").begun, Some(2 * 4096));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Space::behind(1).slot(SLOT_BYTES_MAX + 1), Err(Full));
        assert!(Space::behind(1).slot(SLOT_BYTES_MAX).is_ok());
        assert_eq!(Space::behind(u32::MAX).blocks(1), Err(Full));
        assert_eq!(Space::behind(u32::MAX - 3).slot(64), Err(Full));
        assert_eq!(Space::behind(u32::MAX - 3).blocks(3 * 4096), Ok(u32::MAX - 3));
    }

    proptest! {
        #[test]
        fn no_byte_is_given_twice(wants in prop::collection::vec((any::<bool>(), 1_u64..9000), 1..300)) {
            let mut space = Space::behind(1);
            let mut given = vec![(0, 4096)];
            for (is_slot, bytes) in wants {
                let offset = if is_slot {
                    let slot = space.slot(bytes).expect("room");
                    prop_assert_eq!(slot.offset % 32, 0);
                    let is_parted = slot.offset / 4096 != (slot.offset + bytes - 1) / 4096;
                    prop_assert!(!is_parted || slot.offset % 4096 == 0);
                    slot.offset
                } else {
                    u64::from(space.blocks(bytes).expect("room")) * 4096
                };
                given.push((offset, offset + bytes));
            }
            space.close();
            given.sort_unstable();
            prop_assert!(given.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            let last = given.iter().map(|it| it.1).max().unwrap_or(0);
            prop_assert!(last <= u64::from(space.end()) * 4096);
        }
    }
}
