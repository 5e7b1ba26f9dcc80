//! How hard it pays to compress.
//!
//! On rows of hashes and other near-random bytes LZ4 searches for matches at full length and finds next to none: for
//! hex text it takes three times as long for a block that is 9 % smaller than with a coarse search, and on random
//! bytes all of the time is lost. So one block in [`EVERY`] is compressed in full, and says what to do with the rest.

/// LZ4's acceleration where a full search gains little.
pub(super) const FAST_ACCELERATION: i32 = 8;

const EVERY: u32 = 32;
/// A sample this small says little about the rest.
const MIN_SAMPLE: usize = 4 << 10;

/// What to do with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Compress as well as the codec does.
    Full,
    /// Compress with a coarse search.
    Fast,
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
        Self { until_sample: 0, level: Level::Full }
    }
}

impl Effort {
    /// What to do with the next block.
    pub(crate) fn next(&mut self) -> Level {
        if self.until_sample == 0 {
            return Level::Full;
        }
        self.until_sample -= 1;
        self.level
    }

    /// What came of a block.
    pub(crate) fn learn(&mut self, level: Level, raw: usize, packed: usize) {
        if level != Level::Full || raw < MIN_SAMPLE || self.until_sample > 0 {
            return;
        }
        self.until_sample = EVERY - 1;
        self.level = match packed as f64 / raw as f64 {
            ratio if ratio > 0.95 => Level::Store,
            ratio if ratio > 0.7 => Level::Fast,
            _ => Level::Full,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_decides_for_the_blocks_after_it() {
        let mut effort = Effort::default();
        for (packed, level) in [(10_000, Level::Store), (8_000, Level::Fast), (3_000, Level::Full)] {
            assert_eq!(effort.next(), Level::Full);
            effort.learn(Level::Full, 10_000, packed);
            for _ in 1..EVERY {
                assert_eq!(effort.next(), level);
                effort.learn(level, 10_000, 5_000);
            }
        }
    }

    #[test]
    fn a_tiny_block_is_no_sample() {
        let mut effort = Effort::default();
        effort.learn(effort.level, 100, 100);
        assert_eq!((effort.next(), effort.next()), (Level::Full, Level::Full));
    }
}
