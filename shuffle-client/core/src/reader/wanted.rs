//! What must arrive, and what has.

use std::{collections::HashSet, ops::Range};

use overhand_common::message::MAX_WITHOUT;

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

    /// Whether a worker may have what makes it whole.
    fn lacks(&self) -> bool {
        !self.broken && !self.whole()
    }
}

/// What to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    pub partitions: Range<u32>,
    pub maps: Range<u32>,
    /// Map indexes within `maps` of which nothing is needed, in order and apart.
    pub without: Vec<Range<u32>>,
}

/// The pieces that must arrive, sorted: a few bytes for each, and more only for blocks that come out of order.
#[derive(Debug)]
pub struct Wanted {
    pieces: Vec<Piece>,
    /// Blocks, as (piece, number), that came before one of lower number.
    early: HashSet<(usize, u32)>,
    /// Where the last block belonged: the next one is most likely there or just behind.
    hint: usize,
}

impl Wanted {
    /// Wants each of `expected` once.
    pub fn new(mut expected: Vec<Expected>) -> Self {
        expected.sort_unstable();
        expected.dedup();
        let pieces = expected.into_iter().map(|what| Piece { what, next: 0, last: UNKNOWN, broken: false }).collect();
        Self { pieces, early: HashSet::new(), hint: 0 }
    }

    /// The place of a piece, if it is wanted.
    pub fn find(&mut self, what: Expected) -> Option<usize> {
        let near = [self.hint, self.hint + 1];
        let at = near.into_iter().find(|at| self.pieces.get(*at).is_some_and(|piece| piece.what == what));
        let at = at.or_else(|| self.pieces.binary_search_by(|piece| piece.what.cmp(&what)).ok())?;
        self.hint = at;
        Some(at)
    }

    /// Whether block `seq` of a piece has arrived.
    pub fn has(&self, at: usize, seq: u32) -> bool {
        seq < self.pieces[at].next || (!self.early.is_empty() && self.early.contains(&(at, seq)))
    }

    /// Block `seq` of a piece has arrived, for the first time.
    pub fn arrived(&mut self, at: usize, seq: u32, last: bool) {
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
    pub fn partition(&self, at: usize) -> u32 {
        self.pieces[at].what.partition
    }

    /// A piece can't be put together.
    pub fn breaks(&mut self, at: usize) {
        self.pieces[at].broken = true;
    }

    /// The partitions and map indexes of all that is wanted in a range of partitions; none if nothing is.
    pub fn bounds(&self, partitions: &Range<u32>) -> Option<Lacking> {
        let pieces = self.within(partitions);
        let (first, last) = (pieces.first()?, pieces.last()?);
        let maps = pieces.iter().map(|piece| piece.what.attempt.map_index);
        let (low, high) = maps.fold((u32::MAX, 0), |(low, high), map| (low.min(map), high.max(map)));
        let partitions = first.what.partition..last.what.partition + 1;
        Some(Lacking { partitions, maps: low..high.saturating_add(1), without: vec![] })
    }

    /// What is still to be asked for in a range of partitions; none if nothing is. What can't be put together is not
    /// asked for again.
    pub fn lacking(&self, partitions: &Range<u32>) -> Option<Lacking> {
        let mut lacking = self.within(partitions).iter().filter(|piece| piece.lacks()).map(|piece| piece.what);
        let first = lacking.next()?;
        let mut partitions = first.partition..first.partition + 1;
        let mut maps = vec![first.attempt.map_index];
        for what in lacking {
            partitions.end = what.partition + 1;
            maps.push(what.attempt.map_index);
        }
        maps.sort_unstable();
        maps.dedup();
        let gaps = maps.windows(2).map(|pair| pair[0] + 1..pair[1]).filter(|gap| !gap.is_empty());
        let mut without: Vec<Range<u32>> = gaps.collect();
        if without.len() > MAX_WITHOUT {
            without.sort_unstable_by_key(|gap| std::cmp::Reverse(gap.len()));
            without.truncate(MAX_WITHOUT);
            without.sort_unstable_by_key(|gap| gap.start);
        }
        let maps = maps[0]..maps[maps.len() - 1].saturating_add(1);
        Some(Lacking { partitions, maps, without })
    }

    /// Whether nothing is to be asked for any more in a range of partitions.
    pub fn complete(&self, partitions: &Range<u32>) -> bool {
        !self.within(partitions).iter().any(Piece::lacks)
    }

    /// Whether all blocks of a piece have arrived.
    pub fn whole(&self, at: usize) -> bool {
        self.pieces[at].whole()
    }

    /// The attempts that are not whole in a range of partitions, each once, in the order of map indexes.
    pub fn missing(&self, partitions: &Range<u32>) -> Vec<Attempt> {
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
        let bounds = |partitions, maps| Some(Lacking { partitions, maps, without: vec![] });
        assert_eq!(wanted.bounds(&(0..9)), bounds(0..4, 0..2));
        assert_eq!(wanted.bounds(&(1..9)), bounds(3..4, 1..2));
        assert_eq!(wanted.bounds(&(1..3)), None);
    }

    proptest! {
        #[test]
        fn what_is_asked_for_again_is_all_that_lacks_and_of_one_partition_nothing_else(
            whole in proptest::collection::vec(proptest::option::of(any::<bool>()), 1..40),
            partitions in 1u32..4,
        ) {
            // Per place in the grid of maps and partitions: whether it is wanted, and whether it is whole already.
            let at = |number: usize| piece(number as u32 % partitions, number as u32 / partitions * 2);
            let wants = whole.iter().enumerate().filter(|(_, wanted)| wanted.is_some());
            let mut wanted = Wanted::new(wants.map(|(number, _)| at(number)).collect());
            for (number, _) in whole.iter().enumerate().filter(|(_, whole)| **whole == Some(true)) {
                arrives(&mut wanted, at(number), 0, true);
            }
            let lacking = wanted.lacking(&(0..9));
            prop_assert_eq!(wanted.complete(&(0..9)), lacking.is_none());
            prop_assert_eq!(lacking.is_some(), whole.contains(&Some(false)));
            let asked = |what: Expected| lacking.as_ref().is_some_and(|lacking| {
                let map = what.attempt.map_index;
                lacking.partitions.contains(&what.partition)
                    && lacking.maps.contains(&map)
                    && !lacking.without.iter().any(|gap| gap.contains(&map))
            });
            for (number, state) in whole.iter().enumerate() {
                match state {
                    Some(false) => prop_assert!(asked(at(number))),
                    _ if partitions == 1 => prop_assert!(!asked(at(number))),
                    _ => {}
                }
            }
            let without = lacking.map(|lacking| lacking.without).unwrap_or_default();
            prop_assert!(without.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }

    #[test]
    fn of_too_many_gaps_the_longest_are_left_out() {
        let gap = |number: u32| if number == 900 { 50 } else { 2 + number % 2 };
        let maps = (0..1000).scan(0, |map, number| {
            *map += gap(number);
            Some(*map)
        });
        let wanted = Wanted::new(maps.map(|map| piece(0, map)).collect());
        let without = wanted.lacking(&(0..1)).expect("nothing came").without;
        assert_eq!(without.len(), MAX_WITHOUT);
        assert!(without.iter().any(|gap| gap.len() == 49));
        assert!(without.windows(2).all(|pair| pair[0].end < pair[1].start));
    }
}
