//! Changing an index.

use overhand_common::{
    Error, ErrorKind, Result,
    ids::{AppId, Attempt, Layout, ShardKey},
    message::Fin,
    segment::{Cut, Identity},
};
use rocksdb::{WriteBatch, WriteOptions};

use super::{Index, format};
use crate::segment::Extent;

/// Changes that take effect together.
#[derive(Default)]
pub struct Update {
    batch: WriteBatch,
}

impl Update {
    /// Adds a segment with its cuts.
    pub fn add_segment(&mut self, identity: &Identity, extent: &Extent, cuts: &[Cut]) {
        self.batch.put(format::segment_key(identity.number), format::segment_value(identity, extent));
        for chunk in cuts.chunks(format::CHUNK) {
            let row: Vec<u8> = chunk.iter().flat_map(Cut::encode).collect();
            self.batch.put(format::cuts_key(identity.number, chunk[0]), row);
        }
    }

    /// Removes a segment with its cuts.
    pub fn remove_segment(&mut self, number: u64) {
        self.batch.delete(format::segment_key(number));
        self.remove_prefix(&format::cuts_prefix(number));
    }

    /// Adds a commit.
    pub fn add_commit(&mut self, app: &AppId, key: &ShardKey, attempt: &Attempt, fin: &Fin) {
        self.batch.put(format::attempt_key(format::COMMITS, app, key, attempt), format::commit_value(fin));
    }

    /// Adds an attempt that is under way, with the sums after each of its frames.
    pub fn add_under_way(&mut self, app: &AppId, key: &ShardKey, layout: Layout, attempt: &Attempt, after: &[Fin]) {
        let value = format::under_way_value(layout, after);
        self.batch.put(format::attempt_key(format::UNDER_WAY, app, key, attempt), value);
    }

    /// Adds an epoch that has ended.
    pub fn add_ended(&mut self, app: &AppId, key: &ShardKey) {
        self.batch.put(format::shard_key(format::ENDED, app, key), []);
    }

    /// Removes what a clean close adds: attempts under way, and epochs that have ended.
    pub fn remove_left_by_close(&mut self) {
        self.remove_prefix(&[format::UNDER_WAY]);
        self.remove_prefix(&[format::ENDED]);
    }

    /// Removes the commits of a shard's epoch.
    pub fn remove_shard_commits(&mut self, app: &AppId, key: &ShardKey) {
        self.remove_prefix(&format::shard_key(format::COMMITS, app, key));
    }

    /// Removes a shuffle's commits.
    pub fn remove_commits(&mut self, app: &AppId, shuffle: u32) {
        self.remove_prefix(&format::shuffle_key(format::COMMITS, app, shuffle));
    }

    /// Adds a tombstone for attempts below `newer_from`.
    pub fn add_tombstone(&mut self, app: &AppId, shuffle: u32, newer_from: u64) {
        self.batch.put(format::shuffle_key(format::TOMBSTONES, app, shuffle), newer_from.to_le_bytes());
    }

    /// Removes a tombstone.
    pub fn remove_tombstone(&mut self, app: &AppId, shuffle: u32) {
        self.batch.delete(format::shuffle_key(format::TOMBSTONES, app, shuffle));
    }

    /// Removes an application's commits and tombstones.
    pub fn remove_app(&mut self, app: &AppId) {
        self.remove_prefix(&format::app_prefix(format::COMMITS, app));
        self.remove_prefix(&format::app_prefix(format::TOMBSTONES, app));
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    fn remove_prefix(&mut self, prefix: &[u8]) {
        self.batch.delete_range(prefix, &format::after(prefix));
    }
}

impl Index {
    /// Makes the changes; with `sync` they are on stable storage when this returns.
    pub fn apply(&self, update: Update, sync: bool) -> Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        let done = self.db.write_opt(update.batch, &options);
        done.map_err(|error| {
            let path = self.db.path().display();
            Error::new(ErrorKind::Internal, format!("writing the index {path}: {error}"))
        })
    }

    /// Returns when all changes are on stable storage.
    pub fn sync(&self) -> Result<()> {
        let done = self.db.flush_wal(true);
        done.map_err(|error| {
            let path = self.db.path().display();
            Error::new(ErrorKind::Internal, format!("syncing the index {path}: {error}"))
        })
    }
}
