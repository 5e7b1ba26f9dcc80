//! How hard it pays to compress.
//!
//! Rows of numbers, which most shuffles move, StreamVByte packs as small as LZ4 does or smaller, in a tenth of the time.
//! LZ4 in full takes two to three times as long as with a coarse search. On text with repeating names a coarse search
//! finds less and is hardly faster; on numbers, hashes and hex it finds nearly as much in half the time or less; on random
//! bytes all time is lost. So now and then a block is tried all ways, and says what to do with those after it.

/// LZ4's acceleration of the coarse search.
pub(super) const COARSE: i32 = 8;
/// A cheaper way is good enough if its blocks are larger by this factor at most.
const GOOD_ENOUGH: f64 = 1.1;
/// What shrinks to more than this is stored as it is: every byte of it has to be read back through the decoder.
const WORTH_IT: f64 = 0.95;

/// Blocks from one sample to the next, twice as many each time that a sample says what the one before said.
const EVERY: std::ops::RangeInclusive<u32> = 32..=256;
/// Writers that make fewer blocks never pay for a sample.
const BEFORE_FIRST: u32 = 3;
/// A smaller block says little about the rest.
const MIN_SAMPLE: usize = 4 << 10;

/// What to do with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Compress in all ways, and [learn](Effort::learn).
    Sample,
    /// Compress as well as the codec does.
    Full,
    /// Compress with a coarse search, if the codec has one.
    Coarse,
    /// Leave out the words' leading zeros.
    Words,
    /// Store it as it is.
    Store,
}

/// What a sample takes in each way; its raw size where it does not shrink.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) raw: usize,
    pub(super) full: usize,
    pub(super) coarse: usize,
    pub(super) words: usize,
}

/// What one writer's samples have said.
#[derive(Debug)]
pub(crate) struct Effort {
    until_sample: u32,
    every: u32,
    level: Level,
}

impl Default for Effort {
    fn default() -> Self {
        Self { until_sample: BEFORE_FIRST, every: *EVERY.start(), level: Level::Full }
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
            None => Level::Sample,
        }
    }

    /// Whether short blocks shrink as much as long ones: they do where nothing is sought for in what came before.
    pub(crate) fn alike(&self) -> bool {
        matches!(self.level, Level::Words | Level::Store)
    }

    /// What to do with a sample and the blocks after it: the cheapest that is good enough.
    pub(super) fn learn(&mut self, sizes: Sizes) -> Level {
        let best = sizes.full.min(sizes.coarse).min(sizes.words) as f64;
        let good_enough = |size| size as f64 <= best * GOOD_ENOUGH;
        let level = match sizes {
            Sizes { raw, .. } if best > raw as f64 * WORTH_IT => Level::Store,
            Sizes { words, .. } if good_enough(words) => Level::Words,
            Sizes { coarse, .. } if good_enough(coarse) => Level::Coarse,
            _ => Level::Full,
        };
        let same = level == self.level;
        self.every = if same { (2 * self.every).min(*EVERY.end()) } else { *EVERY.start() };
        self.until_sample = self.every - 1;
        self.level = level;
        level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(effort: &mut Effort, full: usize, coarse: usize, words: usize) -> Level {
        effort.learn(Sizes { raw: 10_000, full, coarse, words })
    }

    #[test]
    fn a_sample_decides_for_the_blocks_after_it() {
        let mut effort = Effort::default();
        for _ in 0..BEFORE_FIRST {
            assert_eq!(effort.next(10_000), Level::Full);
        }
        let cases = [
            (9800, 9900, 9700, Level::Store),
            (8000, 8500, 8600, Level::Words),
            (8000, 8500, 10_000, Level::Coarse),
            (8000, 8500, 7000, Level::Words),
            (3000, 3500, 9000, Level::Full),
        ];
        for (full, coarse, words, level) in cases {
            assert_eq!(effort.next(10_000), Level::Sample);
            assert_eq!(learnt(&mut effort, full, coarse, words), level);
            for _ in 1..*EVERY.start() {
                assert_eq!(effort.next(10_000), level);
            }
        }
    }

    #[test]
    fn samples_that_agree_are_taken_less_and_less_often() {
        let mut effort = Effort::default();
        for every in [64, 128, 256, 256] {
            learnt(&mut effort, 3000, 9000, 9000);
            assert_eq!((1..).find(|_| effort.next(10_000) == Level::Sample), Some(every));
        }
        learnt(&mut effort, 3000, 9000, 2000);
        assert_eq!((1..).find(|_| effort.next(10_000) == Level::Sample), Some(*EVERY.start()));
    }

    #[test]
    fn a_tiny_block_is_no_sample() {
        let mut effort = Effort::default();
        for _ in 0..2 * EVERY.start() {
            assert_eq!(effort.next(100), Level::Full);
        }
    }
}
