//! Reading an index.

use std::ops::Range;

use overhand_common::{
    Error, ErrorKind, Result,
    ids::{AppId, Attempt, Layout, ShardKey},
    message::Fin,
    segment::{Cut, Identity},
};
use rocksdb::{Direction, IteratorMode, ReadOptions};

use super::{Index, format};
use crate::segment::Extent;

/// A key and its value.
type Record = (Box<[u8]>, Box<[u8]>);

impl Index {
    /// A segment's cuts of `partitions`, and the first one after them, if there is one; a few more may come with them.
    pub fn cuts(&self, segment: u64, partitions: Range<u32>) -> Result<Vec<Cut>> {
        let mut cuts = vec![];
        let from = format::cuts_key(segment, Cut { partition: partitions.start, map_index: 0, offset: 0 });
        // The chunk in which the range's first cut is begins at or before it.
        let prefix = format::cuts_prefix(segment);
        let before = self.db.iterator(IteratorMode::From(&from, Direction::Reverse)).next();
        let before = before.transpose().map_err(|error| self.failed(&error))?;
        let from = before.map(|(key, _)| key).filter(|key| key.starts_with(&prefix)).unwrap_or(from.into());
        for record in self.range(&from, &format::after(&prefix)) {
            let (_, row) = record?;
            let chunk = Cut::decode_all(&row).map_err(|malformed| self.damaged(malformed))?;
            let done = chunk.last().is_some_and(|cut| cut.partition >= partitions.end);
            cuts.extend(chunk);
            if done {
                break;
            }
        }
        Ok(cuts)
    }

    /// All segments.
    pub fn segments(&self) -> impl Iterator<Item = Result<(Identity, Extent)>> + '_ {
        self.kind(format::SEGMENTS).map(|record| {
            let (_, value) = record?;
            format::read_segment(&value).ok_or_else(|| self.damaged("a segment's record"))
        })
    }

    /// All commits.
    pub fn commits(&self) -> impl Iterator<Item = Result<(AppId, ShardKey, Attempt, Fin)>> + '_ {
        self.kind(format::COMMITS).map(|record| {
            let (key, value) = record?;
            let read = || {
                let (app, key, attempt) = format::read_attempt_key(&key)?;
                Some((app, key, attempt, format::read_commit_value(&value)?))
            };
            read().ok_or_else(|| self.damaged("a commit's record"))
        })
    }

    /// All attempts that were under way when the store was closed, with the sums after each of their frames.
    pub fn under_way(&self) -> impl Iterator<Item = Result<(AppId, ShardKey, Layout, Attempt, Vec<Fin>)>> + '_ {
        self.kind(format::UNDER_WAY).map(|record| {
            let (key, value) = record?;
            let read = || {
                let (app, key, attempt) = format::read_attempt_key(&key)?;
                let (layout, after) = format::read_under_way_value(&value)?;
                Some((app, key, layout, attempt, after))
            };
            read().ok_or_else(|| self.damaged("an attempt under way"))
        })
    }

    /// All epochs that had ended when the store was closed.
    pub fn ended(&self) -> impl Iterator<Item = Result<(AppId, ShardKey)>> + '_ {
        self.kind(format::ENDED).map(|record| {
            let (app, key, _) =
                format::read_shard_key(&record?.0).ok_or_else(|| self.damaged("an epoch that had ended"))?;
            Ok((app, key))
        })
    }

    /// Whether there is anything that a clean close adds.
    pub fn has_left_by_close(&self) -> bool {
        self.kind(format::UNDER_WAY).chain(self.kind(format::ENDED)).next().is_some()
    }

    /// All tombstones, each with the attempt from which on it does not hold.
    pub fn tombstones(&self) -> impl Iterator<Item = Result<(AppId, u32, u64)>> + '_ {
        self.kind(format::TOMBSTONES).map(|record| {
            let (key, value) = record?;
            let damaged = || self.damaged("a tombstone");
            let (app, shuffle, _) = format::read_shuffle_key(&key).ok_or_else(damaged)?;
            let newer_from = value.as_ref().try_into().map_err(|_| damaged())?;
            Ok((app, shuffle, u64::from_le_bytes(newer_from)))
        })
    }

    /// How many records there are, the version aside: none when all data is gone. It reads them all.
    pub fn records(&self) -> Result<usize> {
        use format::{COMMITS, CUTS, ENDED, SEGMENTS, TOMBSTONES, UNDER_WAY};
        let kinds = [SEGMENTS, CUTS, COMMITS, UNDER_WAY, ENDED, TOMBSTONES];
        kinds.into_iter().flat_map(|kind| self.kind(kind)).try_fold(0, |count, record| record.map(|_| count + 1))
    }

    fn kind(&self, kind: u8) -> impl Iterator<Item = Result<Record>> {
        self.range(&[kind], &[kind + 1])
    }

    fn range<'a>(&'a self, from: &[u8], to: &[u8]) -> impl Iterator<Item = Result<Record>> + use<'a> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        self.db
            .iterator_opt(IteratorMode::From(from, Direction::Forward), options)
            .map(|record| record.map_err(|error| self.failed(&error)))
    }

    fn failed(&self, error: &rocksdb::Error) -> Error {
        Error::new(ErrorKind::Retry, format!("reading the index {}: {error}", self.db.path().display()))
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Error {
        let text = format!(
            "the index {} is damaged: {what}; move this folder away and start again: it is rebuilt from the segments",
            self.db.path().display()
        );
        Error::new(ErrorKind::Internal, text)
    }
}
