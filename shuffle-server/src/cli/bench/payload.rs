//! The items that are written, and the check of what is read.
//!
//! An item says which it is and goes on with a part of one random text, from a place that its name decides: a reader
//! can tell each byte, and no two items of one block are the same.

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Bytes of an item, its length of four bytes included.
pub const ITEM: usize = 8 << 10;
/// Bytes of an item as a record: its partition goes before its length.
pub const RECORD: usize = ITEM + 4;
const BODY: usize = ITEM - 4;
const NAME: usize = 16;
/// So small that it stays in a core's cache.
const TEXT: usize = 64 << 10;

/// What all items are made of, and which partition each is for.
#[derive(Debug)]
pub struct Payload {
    text: Vec<u8>,
    partitions: u64,
    /// Items of one partition that follow each other.
    run: u64,
    /// Runs of each task. A task goes on at the partition where the one before it has ended, so that all partitions get
    /// as much, however few of them each task has something for.
    runs: u64,
}

/// How much was read, and which items: the same for the same items in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Items.
    pub items: u64,
    sum: u64,
}

impl Tally {
    fn add(&mut self, task: u64, item: u64) {
        self.items += 1;
        self.sum = self.sum.wrapping_add(mix(mix(task) ^ item));
    }

    /// This and another one's together.
    pub fn and(self, other: Self) -> Self {
        Self { items: self.items + other.items, sum: self.sum.wrapping_add(other.sum) }
    }
}

impl Payload {
    /// So many `items` of each task for so many partitions, `run` in a row for the same one.
    pub fn new(partitions: u32, run: u64, items: u64) -> Self {
        let mut text = vec![0; TEXT + BODY];
        StdRng::seed_from_u64(1).fill(text.as_mut_slice());
        Self { text, partitions: partitions.into(), run, runs: items.div_ceil(run) }
    }

    /// Whether a task has items for a partition.
    pub fn has(&self, task: u64, partition: u32) -> bool {
        let from_first = u64::from(partition) + self.partitions - self.first(task);
        from_first % self.partitions < self.runs
    }

    /// Puts the items of a task from `first` on into `chunk`, up to `end`; returns the next item and the bytes used.
    pub fn fill(&self, chunk: &mut [u8], task: u64, first: u64, end: u64) -> (u64, usize) {
        let records = chunk.chunks_exact_mut(RECORD);
        let mut item = first;
        for record in records.take((end - first) as usize) {
            let partition = self.partition(task, item);
            record[..4].copy_from_slice(&partition.to_le_bytes());
            record[4..8].copy_from_slice(&(BODY as u32).to_le_bytes());
            let body = &mut record[8..];
            body[..8].copy_from_slice(&task.to_le_bytes());
            body[8..NAME].copy_from_slice(&item.to_le_bytes());
            body[NAME..].copy_from_slice(self.rest(task, item));
            item += 1;
        }
        (item, (item - first) as usize * RECORD)
    }

    /// Counts the items of a batch; `None` if one is not what was written, or is not of this partition.
    pub fn check(&self, batch: &[u8], partition: u32, tally: &mut Tally) -> Option<()> {
        let items = batch.chunks_exact(ITEM);
        let whole = items.remainder().is_empty();
        for item in items {
            let (length, body) = item.split_first_chunk::<4>()?;
            let (task, rest) = body.split_first_chunk::<8>()?;
            let (number, rest) = rest.split_first_chunk::<8>()?;
            let (task, number) = (u64::from_le_bytes(*task), u64::from_le_bytes(*number));
            let is_right = u32::from_le_bytes(*length) as usize == BODY
                && self.partition(task, number) == partition
                && rest == self.rest(task, number);
            if !is_right {
                return None;
            }
            tally.add(task, number);
        }
        whole.then_some(())
    }

    /// What is there to be read when so many tasks have written so many items each.
    pub fn expected(tasks: u64, items: u64) -> Tally {
        let mut tally = Tally::default();
        for task in 0..tasks {
            (0..items).for_each(|item| tally.add(task, item));
        }
        tally
    }

    fn partition(&self, task: u64, item: u64) -> u32 {
        ((self.first(task) + item / self.run) % self.partitions) as u32
    }

    /// The partition that a task begins with.
    fn first(&self, task: u64) -> u64 {
        task * self.runs % self.partitions
    }

    fn rest(&self, task: u64, item: u64) -> &[u8] {
        let from = (mix(mix(task) ^ item) % TEXT as u64) as usize;
        &self.text[from..from + BODY - NAME]
    }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The items of one chunk by partition, as a reader gets them.
    fn items(chunk: &[u8], partition: u32) -> Vec<u8> {
        let records = chunk.chunks_exact(RECORD).filter(|record| record[..4] == partition.to_le_bytes());
        records.flat_map(|record| record[4..].iter().copied()).collect()
    }

    #[test]
    fn what_was_written_is_what_is_expected() {
        let payload = Payload::new(3, 8, 100);
        let mut tally = Tally::default();
        for task in 0..2 {
            let mut chunk = vec![0; 40 * RECORD + 100];
            let (next, used) = payload.fill(&mut chunk, task, 0, 100);
            assert_eq!((next, used), (40, 40 * RECORD), "as many as fit");
            let (last, more) = payload.fill(&mut vec![0; 40 * RECORD], task, 95, 100);
            assert_eq!((last, more), (100, 5 * RECORD), "and no more than asked");
            for partition in 0..3 {
                payload.check(&items(&chunk[..used], partition), partition, &mut tally).expect("right");
            }
        }
        assert_eq!(tally, Payload::expected(2, 40));
        assert_ne!(tally, Payload::expected(1, 80), "as many, but others");
    }

    #[test]
    fn a_task_is_known_to_have_items_for_just_the_partitions_that_it_fills() {
        let payload = Payload::new(7, 2, 5);
        let mut filled = [0; 7];
        for task in 0..14 {
            let mut chunk = vec![0; 5 * RECORD];
            payload.fill(&mut chunk, task, 0, 5);
            for partition in 0..7 {
                let some = !items(&chunk, partition).is_empty();
                assert_eq!(payload.has(task, partition), some, "task {task}, partition {partition}");
                filled[partition as usize] += u32::from(some);
            }
        }
        assert_eq!(filled, [6; 7], "all partitions get as much");
    }

    #[test]
    fn a_byte_that_is_wrong_is_found_wherever_it_is() {
        let payload = Payload::new(2, 8, 4);
        let mut chunk = vec![0; 4 * RECORD];
        payload.fill(&mut chunk, 0, 0, 4);
        let right = items(&chunk, 0);
        let verdict = |items: &[u8], partition| payload.check(items, partition, &mut Tally::default());
        assert_eq!(verdict(&right, 0), Some(()));
        assert_eq!(verdict(&right, 1), None, "another partition's");
        assert_eq!(verdict(&right[..right.len() - 1], 0), None, "cut off");
        for at in [0, 5, 13, 20, ITEM, right.len() - 1] {
            let mut wrong = right.clone();
            wrong[at] ^= 0x10;
            assert_eq!(verdict(&wrong, 0), None, "byte {at}");
        }
    }
}
