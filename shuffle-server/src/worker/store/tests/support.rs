//! What the store's tests share: frames, stores, and reading everything back.

use std::{collections::BTreeMap, ops::Range, os::unix::fs::FileExt, path::Path, sync::Arc};

use overhand_common::{
    Result,
    block::{Block, Codec, Flags, HEADER_LEN, Header},
    ids::{AppId, Attempt, Layout, ShardKey},
    message::{Ack, Fetch, Fin, Last, Push},
};

use crate::{
    segment::Position,
    worker::store::{Cursor, Metrics, Piece, Settings, Store},
};

pub const KEY: ShardKey = ShardKey { shuffle: 1, shard: 0, epoch: 0 };

pub fn app() -> AppId {
    "app-1".parse().expect("valid")
}

pub fn layout() -> Layout {
    Layout::new(16, 1).expect("valid")
}

pub fn metrics() -> Metrics {
    Metrics::new(&metrics::NoopRecorder)
}

/// Settings for tests: a small budget and no reserve.
pub fn settings(dir: &Path, budget: u64) -> Settings {
    Settings { disk_reserve: 0, ..Settings::new(vec![dir.to_owned()], budget) }
}

pub fn open(settings: Settings) -> Arc<Store> {
    Store::open(settings, metrics()).expect("the store opens")
}

/// A block of `len` payload bytes that tell it apart from others.
pub fn block(partition: u32, attempt: Attempt, seq: u32, len: usize) -> Vec<u8> {
    let header = Header {
        payload_len: len as u32,
        raw_len: len as u32,
        codec: Codec::None,
        flags: Flags::default(),
        partition,
        attempt,
        seq,
        items: 1,
    };
    let mut bytes = vec![(partition ^ seq) as u8 ^ attempt.attempt as u8; HEADER_LEN + len];
    header.seal(&mut bytes);
    bytes
}

/// An attempt that pushes frames and keeps the sums for its FIN.
#[derive(Clone)]
pub struct Writer {
    pub key: ShardKey,
    pub layout: Layout,
    pub attempt: Attempt,
    pub sums: Fin,
    /// The sums after each frame.
    pub after: Vec<Fin>,
}

/// A frame ready to be pushed, as often as one likes.
#[derive(Clone)]
pub struct Sent {
    pub push: Push,
    pub body: Vec<u8>,
    pub blocks: u32,
}

impl Writer {
    pub fn new(map_index: u32, attempt: u64) -> Self {
        let attempt = Attempt { map_index, attempt };
        Self { key: KEY, layout: layout(), attempt, sums: Fin::default(), after: vec![] }
    }

    /// The next frame: a block for each (partition, sequence number, payload length).
    pub fn frame(&mut self, blocks: &[(u32, u32, usize)], fin: bool) -> Sent {
        let blocks: Vec<Vec<u8>> =
            blocks.iter().map(|(partition, seq, len)| block(*partition, self.attempt, *seq, *len)).collect();
        let frame = self.sums.frames;
        self.sums.frames += 1;
        for block in &blocks {
            self.sums.blocks += 1;
            self.sums.bytes += block.len() as u64;
            self.sums.crc_xor ^= Block::split(block).expect("sealed").0.crc;
        }
        self.after.push(self.sums);
        let last = fin.then_some(Last::Whole(self.sums));
        let (key, layout, attempt) = (self.key, self.layout, self.attempt);
        let push = Push { key, layout, attempt, frame, last, chain: vec![] };
        Sent { push, body: blocks.concat(), blocks: blocks.len() as u32 }
    }

    /// What settles the attempt at its first `frames` frames.
    pub fn settle(&self, frames: u32) -> Sent {
        let last = Some(Last::Settled(self.after[frames as usize - 1]));
        let (key, layout, attempt) = (self.key, self.layout, self.attempt);
        let push = Push { key, layout, attempt, frame: frames, last, chain: vec![] };
        Sent { push, body: vec![], blocks: 0 }
    }
}

impl Sent {
    pub async fn to(&self, store: &Store) -> Result<()> {
        self.acknowledged(store).await.map(drop)
    }

    pub async fn acknowledged(&self, store: &Store) -> Result<Ack> {
        let mut body = store.reserve(&app(), self.body.len(), self.blocks).await?;
        body.copy_from_slice(&self.body);
        store.push(&app(), &self.push, Arc::new(body), self.blocks).await
    }
}

/// Pushes a whole attempt of one frame.
pub async fn write(store: &Store, map_index: u32, attempt: u64, blocks: &[(u32, u32, usize)]) {
    Writer::new(map_index, attempt).frame(blocks, true).to(store).await.expect("taken");
}

pub fn fetch(key: ShardKey, partitions: Range<u32>, maps: Range<u32>) -> Fetch {
    Fetch { key, partitions, maps, credit: 0, without: vec![], ends: false }
}

/// The bytes of a piece.
pub fn bytes(piece: &Piece) -> Vec<u8> {
    match piece {
        Piece::Memory(slices) => slices.iter().flat_map(|slice| slice.as_ref().to_vec()).collect(),
        Piece::File { file, range } => {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            file.read_exact_at(&mut bytes, range.start).expect("the file is there");
            bytes
        }
    }
}

/// The blocks of a piece, checked, with how often each came.
pub fn count(piece: &Piece, found: &mut BTreeMap<Position, usize>) {
    let bytes = bytes(piece);
    assert_eq!(bytes.len() as u64, piece.len());
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (block, after) = Block::split(rest).expect("whole, undamaged blocks");
        *found.entry(Position::of(&block.header)).or_default() += 1;
        rest = after;
    }
}

/// Everything that a cursor gives.
pub async fn drain(cursor: &mut Cursor, max_bytes: usize) -> Result<BTreeMap<Position, usize>> {
    let mut found = BTreeMap::new();
    while let Some(piece) = cursor.next(max_bytes).await? {
        count(&piece, &mut found);
    }
    Ok(found)
}

/// The blocks of the test shard in these ranges, with how often each came.
pub async fn read(store: &Store, partitions: Range<u32>, maps: Range<u32>) -> Result<BTreeMap<Position, usize>> {
    drain(&mut store.fetch(&app(), &fetch(KEY, partitions, maps))?, 1 << 20).await
}

/// All blocks of the test shard, each of which must have come once.
pub async fn read_all(store: &Store) -> Vec<Position> {
    let found = read(store, 0..u32::MAX, 0..u32::MAX).await.expect("readable");
    assert!(found.values().all(|times| *times == 1), "{found:?}");
    found.into_keys().collect()
}

/// Each application with its bytes.
pub fn held(store: &Store) -> Vec<(AppId, u64)> {
    store.held().into_iter().map(|held| (held.app, held.bytes)).collect()
}

/// Flushes everything that is in memory.
pub async fn flush(store: &Store) {
    for shard in store.core.apps.shards() {
        if let Some(flushed) = shard.wait_flushed() {
            store.core.queue.push(&shard);
            flushed.await.expect("answered").expect("flushed");
        }
    }
}

/// All files below a folder's `segments`.
pub fn segment_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = vec![];
    for app in std::fs::read_dir(crate::disk::segments_dir(dir)).expect("there") {
        let app = app.expect("there").path();
        files.push(app.clone());
        files.extend(std::fs::read_dir(app).expect("there").map(|file| file.expect("there").path()));
    }
    files.retain(|path| path.is_file());
    files.sort();
    files
}
