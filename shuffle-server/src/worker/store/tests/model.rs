//! Random pushes, repeats, flushes, restarts and fetches against a model: a set of committed blocks.

use std::{collections::BTreeSet, sync::Arc};

use overhand_common::message::Fetch;
use proptest::prelude::*;

use super::support::*;
use crate::{
    segment::Position,
    worker::store::{Durability, Piece, Settings, Store},
};

#[derive(Debug, Clone)]
enum Step {
    /// The next frame of a writer: blocks by partition and length, and whether it is the last one.
    Push(usize, Vec<(u32, usize)>, bool),
    /// A writer goes on elsewhere: only some of its first frames count.
    Settle(usize, prop::sample::Index),
    /// A frame that was pushed before.
    Repeat(prop::sample::Index),
    Flush,
    Restart,
    /// Partitions, maps, maps to leave out, and the bytes of a piece; a flush comes after so many pieces.
    Fetch((u32, u32), (u32, u32), (u32, u32), usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let blocks = prop::collection::vec((0u32..16, prop_oneof![0usize..200, 1000usize..60_000]), 0..12);
    prop_oneof![
        8 => (0usize..6, blocks, prop::bool::weighted(0.3)).prop_map(|(at, blocks, fin)| Step::Push(at, blocks, fin)),
        1 => (0usize..6, any::<prop::sample::Index>()).prop_map(|(at, frames)| Step::Settle(at, frames)),
        1 => any::<prop::sample::Index>().prop_map(Step::Repeat),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
        3 => ((0u32..17, 0u32..17), (0u32..8, 0u32..8), (0u32..8, 0u32..8), 1usize..200_000, 0usize..4)
            .prop_map(|(partitions, maps, without, max, flush)| Step::Fetch(partitions, maps, without, max, flush)),
    ]
}

struct Model {
    /// `None` only while it restarts.
    store: Option<Arc<Store>>,
    settings: Settings,
    writers: Vec<Writer>,
    next_attempt: u64,
    sent: Vec<Sent>,
    /// Blocks of attempts that are not committed, by writer, each with its frame.
    open: Vec<Vec<(u32, Position)>>,
    committed: BTreeSet<Position>,
}

impl Model {
    fn new(settings: Settings) -> Self {
        let writers = (0..6).map(|at| Writer::new(at, u64::from(at))).collect();
        let store = Some(open(settings.clone()));
        Self {
            store,
            settings,
            writers,
            next_attempt: 6,
            sent: vec![],
            open: vec![vec![]; 6],
            committed: BTreeSet::new(),
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("not restarting")
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Push(at, blocks, fin) => self.push(at, &blocks, fin).await,
            Step::Settle(at, frames) => self.settle(at, frames).await,
            Step::Repeat(which) if !self.sent.is_empty() => {
                which.get(&self.sent).to(self.store()).await.expect("acknowledged again");
            }
            Step::Repeat(_) => {}
            Step::Flush => flush(self.store()).await,
            Step::Restart => self.restart().await,
            Step::Fetch(partitions, maps, without, max, flush_after) => {
                self.fetch(partitions, maps, without, max, flush_after).await;
            }
        }
    }

    async fn push(&mut self, at: usize, blocks: &[(u32, usize)], fin: bool) {
        let writer = &mut self.writers[at];
        let mut frame = vec![];
        for (partition, len) in blocks {
            let seq = self.open[at].iter().filter(|(_, position)| position.partition == *partition).count() as u32;
            let attempt = writer.attempt;
            let (map_index, attempt) = (attempt.map_index, attempt.attempt);
            self.open[at].push((writer.sums.frames, Position { partition: *partition, map_index, attempt, seq }));
            frame.push((*partition, seq, *len));
        }
        let sent = writer.frame(&frame, fin);
        sent.to(self.store.as_ref().expect("not restarting")).await.expect("taken");
        self.sent.push(sent);
        if fin {
            self.committed.extend(self.open[at].drain(..).map(|(_, position)| position));
            self.begin(at);
        }
    }

    async fn settle(&mut self, at: usize, frames: prop::sample::Index) {
        let writer = &self.writers[at];
        if writer.sums.frames == 0 {
            return;
        }
        let frames = frames.index(writer.sums.frames as usize) as u32 + 1;
        let (settled, attempt) = (writer.settle(frames), writer.attempt);
        settled.to(self.store()).await.expect("its frames are here");
        // Repeats of frames that do not count are refused from now on.
        self.sent.retain(|sent| sent.push.attempt != attempt || sent.push.frame < frames);
        self.sent.push(settled);
        let counted = self.open[at].drain(..).filter(|(frame, _)| *frame < frames);
        self.committed.extend(counted.map(|(_, position)| position));
        self.begin(at);
    }

    fn begin(&mut self, at: usize) {
        self.writers[at] = Writer::new(at as u32, self.next_attempt);
        self.next_attempt += 1;
    }

    /// A clean restart keeps everything: what was committed, and how far the others came.
    async fn restart(&mut self) {
        self.store().close().await.expect("closed");
        // The old store must be gone before its folder is opened again.
        self.store = None;
        self.store = Some(open(self.settings.clone()));
        // What was committed without a block is no longer known if nothing else is in its shard.
        let mut known: BTreeSet<u64> = self.committed.iter().map(|position| position.attempt).collect();
        known.extend(self.writers.iter().map(|writer| writer.attempt.attempt));
        self.sent.retain(|sent| known.contains(&sent.push.attempt.attempt));
    }

    async fn fetch(
        &mut self,
        partitions: (u32, u32),
        maps: (u32, u32),
        without: (u32, u32),
        max: usize,
        flush_after: usize,
    ) {
        let without = without.0.min(without.1)..without.1;
        let partitions = partitions.0.min(partitions.1)..partitions.1;
        let maps = maps.0.min(maps.1)..maps.1;
        let left_out = if without.is_empty() { vec![] } else { vec![without.clone()] };
        let fetch = Fetch { without: left_out, ..fetch(KEY, partitions.clone(), maps.clone()) };
        let Ok(mut cursor) = self.store().fetch(&app(), &fetch) else {
            assert!(self.committed.is_empty(), "only a shard that got nothing is not found");
            return;
        };
        let mut found = std::collections::BTreeMap::new();
        let mut pieces = 0;
        loop {
            if pieces == flush_after {
                flush(self.store()).await;
            }
            let Some(piece) = cursor.next(max).await.expect("readable") else { break };
            let mut in_piece = std::collections::BTreeMap::new();
            count(&piece, &mut in_piece);
            let exact =
                |position: &Position| maps.contains(&position.map_index) && !without.contains(&position.map_index);
            assert!(matches!(piece, Piece::File { .. }) || in_piece.keys().all(exact), "from memory it is exact");
            in_piece.into_iter().for_each(|(position, times)| *found.entry(position).or_default() += times);
            pieces += 1;
        }
        let wanted = |position: &&Position| {
            partitions.contains(&position.partition)
                && maps.contains(&position.map_index)
                && !without.contains(&position.map_index)
        };
        for position in self.committed.iter().filter(wanted) {
            assert_eq!(found.get(position), Some(&1), "{position:?} must come once");
        }
        assert!(found.keys().all(|position| partitions.contains(&position.partition)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn every_committed_block_is_read_exactly_once(
        steps in prop::collection::vec(step(), 1..60),
        to_disk in prop::bool::weighted(0.2),
        memtable_max in prop_oneof![Just(100_000u64), Just(u64::MAX)],
    ) {
        let dir = tempfile::tempdir().expect("dir");
        let durability = if to_disk { Durability::Disk } else { Durability::Memory };
        let settings = Settings { durability, memtable_max, ..settings(dir.path(), 2 << 20) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let mut model = Model::new(settings);
            for step in steps {
                model.step(step).await;
            }
            model.fetch((0, 16), (0, 8), (0, 0), 100_000, 1).await;
            model.store().remove_app(&app()).await.expect("removed");
            assert_eq!((model.store().usage().memory_used, model.store().usage().disk_used), (0, 0));
        });
    }
}
