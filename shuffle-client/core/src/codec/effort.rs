//! How hard it pays to compress.
//!
//! LZ4 in full takes two to three times as long as with a coarse search. On text with repeating names a coarse search
//! finds less and is hardly faster; on numbers, hashes and hex it finds nearly as much in half the time or less; on random
//! bytes all time is lost. So one block in [`EVERY`] is tried both ways, and says what to do with the rest.

/// LZ4's acceleration of the coarse search.
pub(super) const COARSE: i32 = 8;
/// A coarse search is good enough if its blocks are larger by this factor at most.
const GOOD_ENOUGH: f64 = 1.1;
/// What shrinks to more than this is stored as it is: every byte of it has to be read back through the decoder.
const WORTH_IT: f64 = 0.95;

const EVERY: u32 = 32;
/// Writers that make fewer blocks never pay for a sample.
const BEFORE_FIRST: u32 = 3;
/// A smaller block says little about the rest.
const MIN_SAMPLE: usize = 4 << 10;

/// What to do with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Compress both ways, and [learn](Effort::learn).
    Sample,
    /// Compress as well as the codec does.
    Full,
    /// Compress with a coarse search.
    Coarse,
    /// Store it as it is.
    Store,
}

/// What one writer's samples have said.
#[derive(Debug)]
pub(crate) struct Effort {
    until_sample: u32,
    level: Level,
}

impl Default for Effort {
    fn default() -> Self {
        Self { until_sample: BEFORE_FIRST, level: Level::Full }
    }
}

impl Effort {
    /// What to do with the next block, of `raw` bytes.
    pub(super) fn next(&mut self, raw: usize) -> Level {
        if raw < MIN_SAMPLE {
            return self.level;
        }
        match self.until_sample.checked_sub(1) {
            Some(left) => {
                self.until_sample = left;
                self.level
            }
            None => {
                self.until_sample = EVERY - 1;
                Level::Sample
            }
        }
    }

    /// What came of a sample of `raw` bytes: its size in full and by a coarse search.
    pub(super) fn learn(&mut self, raw: usize, full: usize, coarse: usize) {
        let good_enough = coarse as f64 <= full as f64 * GOOD_ENOUGH;
        self.level = match good_enough {
            _ if full as f64 > raw as f64 * WORTH_IT => Level::Store,
            true => Level::Coarse,
            false => Level::Full,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_decides_for_the_blocks_after_it() {
        let mut effort = Effort::default();
        for _ in 0..BEFORE_FIRST {
            assert_eq!(effort.next(10_000), Level::Full);
        }
        let cases = [(9800, 9900, Level::Store), (8000, 8500, Level::Coarse), (3000, 3500, Level::Full)];
        for (full, coarse, level) in cases {
            assert_eq!(effort.next(10_000), Level::Sample);
            effort.learn(10_000, full, coarse);
            for _ in 1..EVERY {
                assert_eq!(effort.next(10_000), level);
            }
        }
    }

    #[test]
    fn a_tiny_block_is_no_sample() {
        let mut effort = Effort::default();
        for _ in 0..2 * EVERY {
            assert_eq!(effort.next(100), Level::Full);
        }
    }
}
