//! Size classes: four to each doubling, so that less than a fifth of a buffer is unused.

use overhand_common::message::MAX_BODY;

const PAGE: usize = 4096;
const STEPS: usize = 4;
/// The smallest class; shorter buffers come from the heap. What comes from there is cleared first, and what was given
/// back long enough ago is touched for the first time again: that is little only for what is small.
pub const SMALLEST: usize = 16 << 10;
/// How many classes there are: up to the longest body.
pub const COUNT: usize = (MAX_BODY / SMALLEST).ilog2() as usize * STEPS + 1;

/// The size of a class.
pub fn size(class: usize) -> usize {
    let doubled = SMALLEST << (class / STEPS);
    doubled + doubled / STEPS * (class % STEPS)
}

/// The smallest class that `len` fits into; `None` for a buffer from the heap.
pub fn of(len: usize) -> Option<usize> {
    if len < SMALLEST {
        return None;
    }
    let doublings = (len / SMALLEST).ilog2() as usize;
    let step = SMALLEST << doublings;
    let over = (len - step).div_ceil(step / STEPS);
    Some(doublings * STEPS + over)
}

/// What a buffer of `len` bytes takes of memory.
pub fn charge(len: usize) -> usize {
    of(len).map_or_else(|| len.next_multiple_of(64), size)
}

const _: () = assert!((SMALLEST / STEPS).is_multiple_of(PAGE), "every class is whole pages");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_length_gets_the_smallest_class_that_it_fits_into(len in SMALLEST..=MAX_BODY) {
            let class = of(len).expect("pooled");
            prop_assert!(class < COUNT);
            prop_assert!(size(class) >= len);
            prop_assert!(class == 0 || size(class - 1) < len);
            prop_assert_eq!(size(class) % PAGE, 0);
        }
    }

    #[test]
    fn the_largest_class_is_the_longest_body() {
        assert_eq!(size(COUNT - 1), MAX_BODY);
        assert_eq!(of(MAX_BODY), Some(COUNT - 1));
        assert_eq!(of(SMALLEST - 1), None);
    }
}
