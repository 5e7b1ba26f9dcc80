//! Which record of a batch belongs to which partition: a counting sort of where the records are, not of the records.
//!
//! A record is named by 32 bits: its place if the batch's chunks lay one behind the other, each from a multiple of
//! 64 KiB on.

use super::Chunk;
use crate::{Error, ErrorKind, Result};

const GRANULE_SHIFT: u32 = 16;
/// Bytes before a record's item: its partition. An item is a length and as many bytes, in a chunk as in a block.
const PARTITION_LEN: usize = 4;
const LENGTH_LEN: usize = 4;

/// The sorted names of a batch's records; its memory is used again for the next batch.
#[derive(Debug, Default)]
pub(crate) struct Index {
    partitions: Vec<u32>,
    records: Vec<u32>,
    sorted: Vec<u32>,
    /// Per partition, where its records end in `sorted`.
    ends: Vec<u32>,
    /// Per partition, the bytes of its items.
    bytes: Vec<u32>,
    /// Per 64 KiB of names, the chunk and the name of the chunk's first byte.
    granules: Vec<(u32, u32)>,
}

impl Index {
    /// Reads and sorts the records of `chunks`.
    ///
    /// # Errors
    /// `Invalid` if a chunk is not whole records of partitions below `partitions`, or if there are 4 GiB of them.
    pub(crate) fn build(&mut self, chunks: &[(Chunk, usize)], partitions: u32) -> Result<()> {
        self.partitions.clear();
        self.records.clear();
        self.granules.clear();
        self.ends.clear();
        self.ends.resize(partitions as usize, 0);
        self.bytes.clear();
        self.bytes.resize(partitions as usize, 0);
        for (number, (chunk, used)) in chunks.iter().enumerate() {
            let bytes = chunk
                .bytes()
                .get(..*used)
                .ok_or_else(|| invalid(format!("{used} bytes of a chunk of {}", chunk.capacity())))?;
            let base = u32::try_from((self.granules.len() as u64) << GRANULE_SHIFT)
                .ok()
                .filter(|base| (*base as usize).checked_add(*used).is_some_and(|end| end <= u32::MAX as usize))
                .ok_or_else(|| invalid("a batch of more than 4 GiB: push less at a time"))?;
            self.granules.resize(self.granules.len() + used.div_ceil(1 << GRANULE_SHIFT), (number as u32, base));
            self.read(bytes, base, partitions)?;
        }
        self.sort();
        Ok(())
    }

    fn read(&mut self, bytes: &[u8], base: u32, partitions: u32) -> Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            let record = &bytes[at..];
            // Where the next records begin is known only when these are there, so the processor does not guess it.
            prefetch(record.get(READ_AHEAD..).unwrap_or_default());
            let (Some(partition), Some(len)) = (number(record, 0), number(record, PARTITION_LEN)) else {
                return Err(invalid(format!("a record is cut off at byte {at} of a chunk")));
            };
            let size = PARTITION_LEN + LENGTH_LEN + len as usize;
            if partition >= partitions || size > record.len() {
                return Err(invalid(format!(
                    "a record of partition {partition} and {len} bytes at byte {at} of a chunk: there are {partitions} \
                     partitions and {} bytes",
                    record.len()
                )));
            }
            self.partitions.push(partition);
            self.records.push(base + at as u32);
            self.ends[partition as usize] += 1;
            self.bytes[partition as usize] += (LENGTH_LEN + len as usize) as u32;
            at += size;
        }
        Ok(())
    }

    fn sort(&mut self) {
        let mut start = 0;
        for end in &mut self.ends {
            start += std::mem::replace(end, start);
        }
        // Grown, never cleared: every place is written below.
        if self.sorted.len() < self.records.len() {
            self.sorted.resize(self.records.len(), 0);
        }
        for (partition, record) in self.partitions.iter().zip(&self.records) {
            let place = &mut self.ends[*partition as usize];
            self.sorted[*place as usize] = *record;
            *place += 1;
        }
    }

    /// Records in the batch.
    pub(super) fn records(&self) -> usize {
        self.records.len()
    }

    /// Bytes of a partition's items.
    pub(super) fn bytes(&self, partition: u32) -> usize {
        self.bytes[partition as usize] as usize
    }

    /// A partition's items, in the order in which they were written.
    pub(crate) fn items<'a>(
        &'a self,
        chunks: &'a [(Chunk, usize)],
        partition: u32,
    ) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let start = partition.checked_sub(1).map_or(0, |before| self.ends[before as usize]) as usize;
        let end = self.ends[partition as usize] as usize;
        let all = &self.sorted[..self.records.len()];
        (start..end).map(move |at| {
            if let Some(ahead) = all.get(at + AHEAD) {
                prefetch(self.from(chunks, *ahead));
            }
            let record = self.from(chunks, all[at]);
            let len = number(record, PARTITION_LEN).expect("it was read before") as usize;
            &record[PARTITION_LEN..PARTITION_LEN + LENGTH_LEN + len]
        })
    }

    /// The bytes of a record and what is behind it in its chunk.
    fn from<'a>(&self, chunks: &'a [(Chunk, usize)], record: u32) -> &'a [u8] {
        let (chunk, base) = self.granules[(record >> GRANULE_SHIFT) as usize];
        &chunks[chunk as usize].0.bytes()[(record - base) as usize..]
    }
}

/// Items to look ahead: enough for the memory's answer to be there in time.
const AHEAD: usize = 12;

/// Bytes to look ahead while records are read one after another.
const READ_AHEAD: usize = 2048;

/// Asks for the first two cache lines, so that copying does not wait for them.
fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = bytes.as_ptr().cast::<i8>();
        // SAFETY: a prefetch reads nothing and faults on no address.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(first);
            _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(64));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pool::Pool;

    fn chunk(records: &[(u32, Vec<u8>)]) -> (Chunk, usize) {
        let mut bytes = vec![];
        for (partition, item) in records {
            bytes.extend_from_slice(&partition.to_le_bytes());
            bytes.extend_from_slice(&(item.len() as u32).to_le_bytes());
            bytes.extend_from_slice(item);
        }
        let mut chunk = Chunk::new(Pool::new(0).take(bytes.len()).expect("small"));
        chunk.as_mut_slice()[..bytes.len()].copy_from_slice(&bytes);
        (chunk, bytes.len())
    }

    proptest! {
        #[test]
        fn every_record_is_with_its_partition_and_in_order(
            chunks in proptest::collection::vec(
                proptest::collection::vec((0u32..9, proptest::collection::vec(any::<u8>(), 0..50)), 0..40),
                0..4,
            ),
        ) {
            let batch: Vec<_> = chunks.iter().map(|records| chunk(records)).collect();
            let mut index = Index::default();
            for _ in 0..2 {
                index.build(&batch, 9).expect("whole records");
                for partition in 0..9 {
                    let wanted = chunks.iter().flatten().filter(|record| record.0 == partition).map(|record| &record.1);
                    let found: Vec<_> = index.items(&batch, partition).map(|item| &item[4..]).collect();
                    prop_assert_eq!(index.bytes(partition), found.iter().map(|item| item.len() + 4).sum::<usize>());
                    prop_assert!(wanted.eq(found));
                }
            }
        }
    }

    #[test]
    fn records_that_are_cut_off_or_of_no_partition_are_refused() {
        let mut index = Index::default();
        let (whole, used) = chunk(&[(3, vec![1, 2, 3])]);
        let batch = [(whole, used)];
        assert!(index.build(&batch, 4).is_ok());
        assert!(index.build(&batch, 3).is_err());
        let [(whole, used)] = batch;
        for cut in [1, 5, used - 1, used + 5000] {
            let (copy, _) = chunk(&[(3, vec![1, 2, 3])]);
            assert_eq!(index.build(&[(copy, cut)], 4).expect_err("cut off").kind(), ErrorKind::Invalid, "{cut}");
        }
        drop(whole);
    }
}
