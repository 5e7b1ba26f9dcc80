//! A fetch under way.

use std::{collections::VecDeque, fs::File, io, ops::Range, sync::Arc};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::ShardKey,
    message::{Fetch, MAX_BODY},
    segment::{self, Scope},
};

use super::{
    core::{Core, blocking},
    frame::Slice,
    memtable::Sealed,
    shard::removed,
    table::{Table, TableState},
};
use crate::segment::{Position, Segment, find};

/// The next part of what a fetch gives: whole blocks, [`overhand_common::message::MAX_BODY`] bytes at most.
#[derive(Debug)]
pub enum Piece {
    /// Blocks in memory, to be sent in this order.
    Memory(Vec<Slice>),
    /// Blocks in a segment; the file may be unlinked meanwhile, it is readable as long as it is held.
    File {
        /// The segment.
        file: Arc<File>,
        /// The bytes of it.
        range: Range<u64>,
    },
}

impl Piece {
    /// Bytes in it.
    pub fn len(&self) -> u64 {
        match self {
            Piece::Memory(slices) => slices.iter().map(|slice| slice.len() as u64).sum(),
            Piece::File { range, .. } => range.end - range.start,
        }
    }

    /// Whether there are none: never in a piece that a cursor returned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A fetch under way. It pins no memory between pieces: it remembers its place in the order, in which a table is sorted
/// before and after it becomes a segment.
pub struct Cursor {
    core: Arc<Core>,
    key: ShardKey,
    scope: Arc<Scope>,
    tables: VecDeque<Arc<Table>>,
    /// The last block of the current table that was given from memory, and whether others come after it there.
    after: Option<(Position, bool)>,
    /// The current table, if it is a segment that was opened.
    segment: Option<Reading>,
    /// The first table that was lost.
    lost: Option<Error>,
}

/// A segment that is being read.
struct Reading {
    segment: Arc<Segment>,
    file: Arc<File>,
    /// Ranges that are still to be given, in order.
    ranges: VecDeque<Range<u64>>,
}

impl Cursor {
    /// A cursor over `tables`.
    pub(super) fn new(core: Arc<Core>, fetch: &Fetch, tables: Vec<Arc<Table>>) -> Self {
        let Fetch { key, partitions, maps, without, .. } = fetch.clone();
        let scope = Arc::new(Scope { partitions, maps, without });
        Self { core, key, scope, tables: tables.into(), after: None, segment: None, lost: None }
    }

    /// The next piece: at most `max_bytes`, but at least one block, or of a segment what lies between two cuts (256 KiB
    /// and a block). `None` when everything was given.
    /// `DataLost` when blocks that may have been in range are gone: it comes after everything that is still there,
    /// so that a reader who holds all that it expected can go on. `NotFound` when the shuffle, or what is here of the
    /// shard's epoch, was removed meanwhile.
    pub async fn next(&mut self, max_bytes: usize) -> Result<Option<Piece>> {
        let max_bytes = max_bytes.min(MAX_BODY);
        while let Some(table) = self.tables.front().cloned() {
            let piece = match table.state() {
                TableState::Memory(sealed) => self.memory_piece(sealed, max_bytes).await?,
                TableState::Segment(segment) => self.segment_piece(&table, segment, max_bytes).await?,
                TableState::Lost(lost) => {
                    let text = format!("{}: segment {}: {}", self.key, lost.path.display(), lost.reason);
                    self.lost.get_or_insert_with(|| Error::new(ErrorKind::DataLost, text));
                    None
                }
                TableState::Empty => None,
                TableState::Removed => return Err(removed(self.key)),
            };
            if let Some(piece) = piece {
                let metrics = &self.core.metrics;
                match &piece {
                    Piece::Memory(_) => metrics.fetched_memory_bytes.increment(piece.len()),
                    Piece::File { .. } => metrics.fetched_disk_bytes.increment(piece.len()),
                }
                return Ok(Some(piece));
            }
            self.tables.pop_front();
            self.after = None;
            self.segment = None;
        }
        self.lost.clone().map_or(Ok(None), Err)
    }

    /// Everything, of a cursor that has given nothing yet, and its bytes: if it is in memory and sorted soon, and at most
    /// `max_bytes`.
    pub fn whole(&self, max_bytes: usize) -> Option<(Vec<Slice>, usize)> {
        let (mut all, mut bytes) = (vec![], 0);
        for table in &self.tables {
            match table.state() {
                TableState::Memory(sealed) if !sealed.is_slow() => {
                    let Some(read) = sealed.read(&self.scope, None, max_bytes - bytes) else { continue };
                    if read.more || read.bytes > max_bytes - bytes {
                        return None;
                    }
                    bytes += read.bytes;
                    all.extend(read.slices);
                }
                TableState::Empty => {}
                TableState::Memory(_) | TableState::Segment(_) | TableState::Lost(_) | TableState::Removed => {
                    return None;
                }
            }
        }
        self.core.metrics.fetched_memory_bytes.increment(bytes as u64);
        Some((all, bytes))
    }

    /// Whether everything was given, and nothing of it was lost, as far as memory tells: of a segment that is left, or of
    /// blocks that must be sorted first, it is not known yet.
    pub fn is_through(&self) -> bool {
        let left = |(at, table): (usize, &Arc<Table>)| match (table.state(), self.after.filter(|_| at == 0)) {
            (TableState::Memory(_), Some((_, more))) => more,
            (TableState::Memory(sealed), None) => sealed.is_slow() || sealed.read(&self.scope, None, 1).is_some(),
            (TableState::Empty, _) => false,
            (TableState::Segment(_) | TableState::Lost(_) | TableState::Removed, _) => true,
        };
        self.lost.is_none() && !self.tables.iter().enumerate().any(left)
    }

    /// Reports that the file of the piece that [`Cursor::next`] returned last can't be read: it is taken for lost.
    /// What was given of it before stays given; the rest is missing, and [`Cursor::next`] says so at the end.
    pub fn read_failed(&mut self, error: &io::Error) {
        if let (Some(table), Some(reading)) = (self.tables.front(), &self.segment) {
            lose(&self.core, table, &reading.segment, error);
        }
    }

    async fn memory_piece(&mut self, sealed: Arc<Sealed>, max_bytes: usize) -> Result<Option<Piece>> {
        if sealed.is_slow() {
            let sealed = sealed.clone();
            blocking(move || {
                sealed.sort();
                Ok(())
            })
            .await?;
        }
        let read = sealed.read(&self.scope, self.after.map(|(last, _)| last), max_bytes);
        Ok(read.map(|read| {
            self.after = Some((read.last, read.more));
            Piece::Memory(read.slices)
        }))
    }

    async fn segment_piece(
        &mut self,
        table: &Arc<Table>,
        segment: Arc<Segment>,
        max_bytes: usize,
    ) -> Result<Option<Piece>> {
        if self.segment.is_none() {
            let (core, scope) = (self.core.clone(), self.scope.clone());
            let (table, after) = (table.clone(), self.after.map(|(last, _)| last));
            self.segment = blocking(move || open(&core, &table, segment, &scope, after)).await?;
        }
        // None: it was just found to be lost.
        let Some(reading) = &mut self.segment else { return Ok(None) };
        let Some(mut range) = reading.ranges.pop_front() else { return Ok(None) };
        while let Some(next) = reading.ranges.front()
            && next.start == range.end
            && next.end - range.start <= max_bytes as u64
        {
            range.end = next.end;
            reading.ranges.pop_front();
        }
        Ok(Some(Piece::File { file: reading.file.clone(), range }))
    }
}

/// Opens a segment and looks up what of it is in range, after the block at `after`. `None` if it can't be read: then
/// the table is marked as lost.
fn open(
    core: &Core,
    table: &Table,
    segment: Arc<Segment>,
    scope: &Scope,
    after: Option<Position>,
) -> Result<Option<Reading>> {
    let cuts = core.indexes[segment.folder].cuts(segment.identity.number, scope.partitions.clone())?;
    let mut ranges: VecDeque<Range<u64>> = segment::pieces(&cuts, segment.extent.blocks_end, scope).collect();
    let opened = segment.open().and_then(|file| {
        if let Some(after) = after {
            resume(&file, &mut ranges, &cuts, after)?;
        }
        Ok(file)
    });
    match opened {
        Ok(file) => Ok(Some(Reading { segment, file, ranges })),
        Err(error) => {
            lose(core, table, &segment, &error);
            Ok(None)
        }
    }
}

/// Leaves out what was given from memory: all ranges but the last that begins at or before `after`, and of that one the
/// blocks up to there.
fn resume(file: &File, ranges: &mut VecDeque<Range<u64>>, cuts: &[segment::Cut], after: Position) -> io::Result<()> {
    let passed = cuts.partition_point(|cut| (cut.partition, cut.map_index) < (after.partition, after.map_index));
    let passed = cuts.get(passed.saturating_sub(1)).map_or(0, |cut| cut.offset);
    while ranges.front().is_some_and(|range| range.end <= passed) {
        ranges.pop_front();
    }
    while let Some(range) = ranges.front_mut() {
        range.start = find(file, range.clone(), after)?;
        if range.start < range.end {
            break;
        }
        ranges.pop_front();
    }
    Ok(())
}

fn lose(core: &Core, table: &Table, segment: &Segment, error: &io::Error) {
    if table.lose(segment, error.to_string()) {
        core.metrics.lost_segments.increment(1);
        tracing::error!(path = %segment.path.display(), shard = %segment.identity.key, %error, "a segment is lost");
    }
}
