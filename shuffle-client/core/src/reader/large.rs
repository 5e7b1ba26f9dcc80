//! Items that are larger than a block, put together from blocks of their own.
//!
//! Such an item begins in a block with one item and the mark that it goes on; the blocks after it begin none, and the
//! one without the mark ends it. Parts may come in any order.

use std::collections::HashMap;

use crate::{
    Error, ErrorKind, Result,
    pool::{Buffer, Pool},
};

/// A decoded part.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) buffer: Buffer,
    pub(super) len: usize,
    pub(super) begins: bool,
    pub(super) continues: bool,
}

/// A whole item, its length in front.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) buffer: Buffer,
    pub(super) len: usize,
}

/// An item whose beginning has come.
#[derive(Debug)]
struct Begun {
    item: Item,
    filled: usize,
}

impl Begun {
    fn append(&mut self, part: &Part) -> Result<bool> {
        let end = self.filled + part.len;
        let fits = if part.continues { end < self.item.len } else { end == self.item.len };
        if !fits {
            let text = format!("parts of {end} bytes do not make an item of {}", self.item.len);
            return Err(Error::new(ErrorKind::DataLost, text));
        }
        self.item.buffer[self.filled..end].copy_from_slice(&part.buffer[..part.len]);
        self.filled = end;
        Ok(!part.continues)
    }
}

/// Items that are not whole yet, by the piece that they belong to and a block's number.
#[derive(Debug, Default)]
pub(super) struct Large {
    /// By the number of the block that is needed next.
    begun: HashMap<(usize, u32), Begun>,
    /// Parts that came before their item's beginning, or before an earlier part.
    early: HashMap<(usize, u32), Part>,
}

impl Large {
    /// Takes block `seq` of a piece; returns the item if that makes one whole.
    ///
    /// # Errors
    /// `DataLost` if the parts do not make an item.
    pub(super) fn add(&mut self, pool: &Pool, piece: usize, mut seq: u32, part: Part) -> Result<Option<Item>> {
        let mut begun = if part.begins {
            let first = part.buffer[..part.len].first_chunk();
            let len = first.ok_or_else(|| Error::new(ErrorKind::DataLost, "an item's length is cut off"))?;
            let len = 4 + u32::from_le_bytes(*len) as usize;
            Begun { item: Item { buffer: pool.take(len)?, len }, filled: 0 }
        } else {
            match self.begun.remove(&(piece, seq)) {
                Some(begun) => begun,
                None => {
                    self.early.insert((piece, seq), part);
                    return Ok(None);
                }
            }
        };
        let mut part = part;
        while !begun.append(&part)? {
            seq += 1;
            match self.early.remove(&(piece, seq)) {
                Some(next) => part = next,
                None => {
                    self.begun.insert((piece, seq), begun);
                    return Ok(None);
                }
            }
        }
        Ok(Some(begun.item))
    }

    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        let begun = self.begun.values().map(|begun| begun.item.buffer.len());
        begun.chain(self.early.values().map(|part| part.buffer.len())).sum()
    }

    /// The pieces with items that are not whole.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = usize> {
        self.begun.keys().chain(self.early.keys()).map(|key| key.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(pool: &Pool, item: &[u8], size: usize) -> Vec<Part> {
        let mut bytes = (item.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(item);
        let count = bytes.len().div_ceil(size);
        let part = |(at, bytes): (usize, &[u8])| {
            let mut buffer = pool.take(bytes.len()).expect("small");
            buffer[..bytes.len()].copy_from_slice(bytes);
            Part { buffer, len: bytes.len(), begins: at == 0, continues: at + 1 < count }
        };
        bytes.chunks(size).enumerate().map(part).collect()
    }

    proptest! {
        #[test]
        fn items_are_put_together_from_parts_in_any_order(
            lens in proptest::collection::vec(10usize..200, 1..5),
            shuffle in any::<proptest::sample::Index>(),
        ) {
            let pool = Pool::new(0);
            let item = |len: &usize| (0..*len).map(|byte| (byte * len) as u8).collect();
            let items: Vec<Vec<u8>> = lens.iter().map(item).collect();
            let mut blocks: Vec<_> = items.iter().flat_map(|item| parts(&pool, item, 13)).enumerate().collect();
            let step = shuffle.index(blocks.len()).max(1);
            let mut mixed = vec![];
            while !blocks.is_empty() {
                mixed.push(blocks.remove((mixed.len() * step) % blocks.len()));
            }
            let mut large = Large::default();
            let mut found = vec![];
            for (seq, part) in mixed {
                if let Some(item) = large.add(&pool, 5, seq as u32, part).expect("parts of items") {
                    found.push(item.buffer[4..item.len].to_vec());
                }
            }
            found.sort();
            let mut items = items;
            items.sort();
            prop_assert_eq!(found, items);
            prop_assert_eq!((large.held(), large.unfinished().count()), (0, 0));
        }
    }

    #[test]
    fn parts_that_make_no_item_are_refused() {
        let pool = Pool::new(0);
        let three = || parts(&pool, &[7; 30], 13).into_iter();
        let mut large = Large::default();
        let [Some(first), _, Some(last)] = [three().next(), None, three().nth(2)] else { panic!("three parts") };
        assert!(large.add(&pool, 0, 0, first).expect("a beginning").is_none());
        assert_eq!(large.add(&pool, 0, 1, last).expect_err("too short").kind(), ErrorKind::DataLost);
    }
}
