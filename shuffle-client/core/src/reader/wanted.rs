//! What must arrive, and what has.

use std::{collections::HashSet, ops::Range};

use super::Expected;
use crate::Attempt;

const UNKNOWN: u32 = u32::MAX;

/// One attempt's output for one partition.
#[derive(Debug, Clone, Copy)]
struct Piece {
    what: Expected,
    /// All blocks below this number have arrived.
    next: u32,
    /// The number of the block with the mark of the last one.
    last: u32,
    /// The blocks contradict each other.
    broken: bool,
}

impl Piece {
    fn whole(&self) -> bool {
        !self.broken && self.last != UNKNOWN && self.next == self.last + 1
    }
}

/// The pieces that must arrive, sorted: a few bytes for each, and more only for blocks that come out of order.
#[derive(Debug)]
pub(super) struct Wanted {
    pieces: Vec<Piece>,
    /// Blocks, as (piece, number), that came before one of lower number.
    early: HashSet<(usize, u32)>,
    /// Where the last block belonged: the next one is most likely there or just behind.
    hint: usize,
}

impl Wanted {
    /// Wants each of `expected` once.
    pub(super) fn new(mut expected: Vec<Expected>) -> Self {
        expected.sort_unstable();
        expected.dedup();
        let pieces = expected.into_iter().map(|what| Piece { what, next: 0, last: UNKNOWN, broken: false }).collect();
        Self { pieces, early: HashSet::new(), hint: 0 }
    }

    /// The place of a piece, if it is wanted.
    pub(super) fn find(&mut self, what: Expected) -> Option<usize> {
        let near = [self.hint, self.hint + 1];
        let at = near.into_iter().find(|at| self.pieces.get(*at).is_some_and(|piece| piece.what == what));
        let at = at.or_else(|| self.pieces.binary_search_by(|piece| piece.what.cmp(&what)).ok())?;
        self.hint = at;
        Some(at)
    }

    /// Whether block `seq` of a piece has arrived.
    pub(super) fn has(&self, at: usize, seq: u32) -> bool {
        seq < self.pieces[at].next || (!self.early.is_empty() && self.early.contains(&(at, seq)))
    }

    /// Block `seq` of a piece has arrived, for the first time.
    pub(super) fn arrived(&mut self, at: usize, seq: u32, last: bool) {
        let piece = &mut self.pieces[at];
        if last {
            let beyond =
                piece.next > seq.saturating_add(1) || self.early.iter().any(|early| early.0 == at && early.1 > seq);
            piece.broken |= beyond || piece.last != UNKNOWN;
            piece.last = seq;
        }
        piece.broken |= seq > piece.last || seq == UNKNOWN;
        if seq != piece.next {
            self.early.insert((at, seq));
            return;
        }
        piece.next += 1;
        while !self.early.is_empty() && self.early.remove(&(at, piece.next)) {
            piece.next += 1;
        }
    }

    /// The partition of a piece.
    pub(super) fn partition(&self, at: usize) -> u32 {
        self.pieces[at].what.partition
    }

    /// A piece can't be put together.
    pub(super) fn breaks(&mut self, at: usize) {
        self.pieces[at].broken = true;
    }

    /// The partitions and map indexes of what is wanted in a range of partitions; none if nothing is.
    pub(super) fn bounds(&self, partitions: &Range<u32>) -> Option<(Range<u32>, Range<u32>)> {
        let pieces = self.within(partitions);
        let (first, last) = (pieces.first()?, pieces.last()?);
        let maps = pieces.iter().map(|piece| piece.what.attempt.map_index);
        let (low, high) = maps.fold((u32::MAX, 0), |(low, high), map| (low.min(map), high.max(map)));
        Some((first.what.partition..last.what.partition + 1, low..high.saturating_add(1)))
    }

    /// The attempts that are not whole in a range of partitions, each once, in the order of map indexes.
    pub(super) fn missing(&self, partitions: &Range<u32>) -> Vec<Attempt> {
        let pieces = self.within(partitions).iter();
        let mut missing: Vec<Attempt> = pieces.filter(|piece| !piece.whole()).map(|piece| piece.what.attempt).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn within(&self, partitions: &Range<u32>) -> &[Piece] {
        let start = self.pieces.partition_point(|piece| piece.what.partition < partitions.start);
        let end = self.pieces.partition_point(|piece| piece.what.partition < partitions.end);
        &self.pieces[start..end.max(start)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(partition: u32, map_index: u32) -> Expected {
        Expected { partition, attempt: Attempt { map_index, attempt: u64::from(map_index) + 100 } }
    }

    fn arrives(wanted: &mut Wanted, what: Expected, seq: u32, last: bool) {
        let at = wanted.find(what).expect("wanted");
        assert!(!wanted.has(at, seq));
        wanted.arrived(at, seq, last);
        assert!(wanted.has(at, seq));
    }

    proptest! {
        #[test]
        fn a_piece_is_whole_when_every_block_came_in_whatever_order(
            order in (1usize..20).prop_flat_map(|blocks| Just((0..blocks as u32).collect::<Vec<_>>()).prop_shuffle()),
        ) {
            let mut wanted = Wanted::new(vec![piece(1, 0), piece(2, 0), piece(2, 1)]);
            for (done, seq) in order.iter().enumerate() {
                prop_assert_eq!(wanted.missing(&(2..3)).len(), 2, "{}", done);
                arrives(&mut wanted, piece(2, 0), *seq, *seq as usize == order.len() - 1);
            }
            prop_assert_eq!(wanted.missing(&(2..3)), vec![piece(2, 1).attempt]);
            prop_assert_eq!(wanted.missing(&(0..9)), vec![piece(1, 0).attempt, piece(2, 1).attempt]);
            prop_assert!(wanted.early.is_empty());
        }
    }

    #[test]
    fn blocks_beyond_the_last_one_make_a_piece_broken() {
        for order in [
            [(0, false), (2, false), (1, true)],
            [(0, true), (1, false), (2, false)],
            [(0, true), (1, true), (2, false)],
        ] {
            let mut wanted = Wanted::new(vec![piece(0, 0)]);
            for (seq, last) in order {
                arrives(&mut wanted, piece(0, 0), seq, last);
            }
            assert_eq!(wanted.missing(&(0..1)).len(), 1, "{order:?}");
        }
    }

    #[test]
    fn other_attempts_are_not_wanted() {
        let mut wanted = Wanted::new(vec![piece(0, 0), piece(0, 1), piece(3, 1)]);
        let other = Expected { partition: 0, attempt: Attempt { map_index: 0, attempt: 101 } };
        assert_eq!(wanted.find(other), None);
        assert_eq!(wanted.find(piece(1, 1)), None);
        assert_eq!(wanted.bounds(&(0..9)), Some((0..4, 0..2)));
        assert_eq!(wanted.bounds(&(1..9)), Some((3..4, 1..2)));
        assert_eq!(wanted.bounds(&(1..3)), None);
    }
}
