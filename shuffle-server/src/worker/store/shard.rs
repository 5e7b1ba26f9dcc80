//! One shard's epoch: its attempts and its tables.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::{AppId, Attempt, Layout, ShardKey},
    message::{Fin, Push},
    segment::Identity,
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::{
    attempts::Attempts,
    core::ended,
    frame::{Checked, Frame, Mark},
    memtable::{Memtable, Sealed},
    stats::ShuffleStats,
    table::{Table, TableState},
};
use crate::{memory::PooledBuf, segment::Segment};

/// One epoch of one shard. Its lock is held for moments only: never while a block is checked, sorted or written.
pub struct Shard {
    /// The application.
    pub app: AppId,
    /// Which shard and epoch.
    pub key: ShardKey,
    /// How the shuffle is split.
    pub layout: Layout,
    /// Set when it was removed: stops a flush that is under way.
    pub removed: AtomicBool,
    /// Whether it waits in the flusher's queue.
    pub queued: AtomicBool,
    /// Whether an index may have records of its shuffle.
    pub indexed: Arc<AtomicBool>,
    /// Held for the whole of a flush, and by its removal after that: so one of them sees what the other did.
    pub flushing: Mutex<()>,
    /// Bytes of the memory budget that its memtables hold.
    memory: AtomicU64,
    /// Bytes that it holds, in memory and on disk.
    held: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether new data goes to a newer epoch: what is here was copied, or is a copy.
    ended: bool,
    attempts: Attempts,
    memtable: Memtable,
    tables: Vec<Arc<Table>>,
    /// Commits that no index has yet.
    commits: Vec<(Attempt, Fin)>,
    waiters: Vec<oneshot::Sender<Result<()>>>,
}

/// What a flush writes.
pub struct Plan {
    /// Tables in memory, the oldest first.
    pub tables: Vec<(Arc<Table>, Arc<Sealed>)>,
    /// Whether somebody waits for all of it; else it may stop when enough memory is free.
    pub asked: bool,
    /// Commits for the index, once the tables are written.
    pub commits: Vec<(Attempt, Fin)>,
    /// Who waits for these.
    pub waiters: Vec<oneshot::Sender<Result<()>>>,
}

impl Shard {
    /// A shard that holds nothing.
    pub fn new(app: AppId, key: ShardKey, layout: Layout, indexed: Arc<AtomicBool>) -> Self {
        Self {
            app,
            key,
            layout,
            removed: AtomicBool::new(false),
            queued: AtomicBool::new(false),
            indexed,
            flushing: Mutex::new(()),
            memory: AtomicU64::new(0),
            held: AtomicU64::new(0),
            state: Mutex::new(State::default()),
        }
    }

    /// Bytes of the memory budget that a flush would free.
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Acquire)
    }

    /// Whether an index may have records of its shuffle.
    pub fn is_indexed(&self) -> bool {
        self.indexed.load(Ordering::Acquire)
    }

    /// Bytes that it holds, in memory and on disk.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// Whose blocks a segment of it with `number` holds.
    pub fn identity(&self, number: u64) -> Identity {
        Identity { app: self.app.clone(), key: self.key, layout: self.layout, number }
    }

    /// Whether a frame is there already: looked up before its blocks are checked. Refuses one that can't be taken.
    pub fn has(&self, push: &Push) -> Result<bool> {
        self.lock()?.has(push)
    }

    /// From now on refuses new data with `Broken`.
    pub fn end(&self) {
        self.state.lock().ended = true;
    }

    /// Takes a frame whose blocks were checked; false if it is there already. A FIN that does not match what is here
    /// drops the attempt. A memtable that holds `memtable_max` bytes or more of memory is sealed.
    pub fn take(&self, push: &Push, body: Arc<PooledBuf>, checked: Checked, memtable_max: u64) -> Result<bool> {
        let mut state = self.lock()?;
        if state.has(push)? {
            return Ok(false);
        }
        let counted = state.attempts.count(push, &checked.sums);
        let mark = counted.inspect_err(|_| self.account(&mut state, Memtable::purge))?;
        if let Some(last) = &push.last {
            state.commits.push((push.attempt, *last.fin()));
        }
        self.add(&mut state, body, mark, checked, memtable_max);
        Ok(true)
    }

    /// Commits an attempt of which the frames count that `fin` says; false if that was done before.
    pub fn settle(&self, push: &Push, fin: &Fin) -> Result<bool> {
        let mut state = self.lock()?;
        let new = state.attempts.settle(push, fin)?;
        if new {
            state.commits.push((push.attempt, *fin));
        }
        Ok(new)
    }

    /// Takes blocks of any attempts, which were checked. What is known of attempts stays as it is.
    pub fn adopt(&self, body: Arc<PooledBuf>, checked: Checked, memtable_max: u64) -> Result<()> {
        let mark = Arc::new(Mark::default());
        mark.commit();
        let mut state = self.lock()?;
        self.add(&mut state, body, mark, checked, memtable_max);
        Ok(())
    }

    /// Seals the memtable, if there is anything in it.
    pub fn seal(&self) {
        let mut state = self.state.lock();
        if !state.memtable.is_empty() {
            state.seal();
        }
    }

    fn add(&self, state: &mut State, body: Arc<PooledBuf>, mark: Arc<Mark>, checked: Checked, memtable_max: u64) {
        if !checked.entries.is_empty() {
            let frame = Frame { body, mark };
            self.account(state, |memtable| memtable.add(frame, checked));
        }
        if state.memtable.totals().charge >= memtable_max {
            state.seal();
        }
    }

    /// Changes the memtable and keeps count of its memory and its bytes.
    fn account(&self, state: &mut State, change: impl FnOnce(&mut Memtable)) {
        let before = state.memtable.totals();
        change(&mut state.memtable);
        let after = state.memtable.totals();
        // Both wrap around when it shrinks, as they should.
        self.memory.fetch_add(after.charge.wrapping_sub(before.charge), Ordering::AcqRel);
        self.held.fetch_add(after.bytes.wrapping_sub(before.bytes), Ordering::AcqRel);
    }

    /// Waits for the next flush, or for nothing if the commit of `attempt` is in an index already.
    pub fn wait_indexed(&self, attempt: Attempt) -> Result<Option<oneshot::Receiver<Result<()>>>> {
        let mut state = self.lock()?;
        if state.attempts.is_indexed(attempt) {
            return Ok(None);
        }
        let (done, wait) = oneshot::channel();
        state.waiters.push(done);
        Ok(Some(wait))
    }

    /// Waits for the next flush; `None` if there is nothing to flush.
    pub fn wait_flushed(&self) -> Option<oneshot::Receiver<Result<()>>> {
        let mut state = self.state.lock();
        let in_memory = |table: &Arc<Table>| matches!(table.state(), TableState::Memory(_));
        let idle = state.memtable.is_empty() && state.commits.is_empty() && !state.tables.iter().any(in_memory);
        if idle || self.removed.load(Ordering::Acquire) {
            return None;
        }
        let (done, wait) = oneshot::channel();
        state.waiters.push(done);
        Some(wait)
    }

    /// The tables for a fetch. The memtable is sealed if it may have something of `partitions`.
    pub fn tables(&self, partitions: &Range<u32>) -> Result<Vec<Arc<Table>>> {
        let mut state = self.lock()?;
        if state.memtable.overlaps(partitions) {
            state.seal();
        }
        Ok(state.tables.clone())
    }

    /// Hands out what is to be written; `None` for nothing. Everything, if somebody waits for that. Else nothing
    /// unless memory is short (`pressed`), and then the sealed memtables only, if there are any: the one that takes frames stays until it is worth a segment, and commits
    /// stay with it, because an index must not have them before their blocks are on disk. The caller holds `flushing`.
    pub fn plan_flush(&self, pressed: bool) -> Option<Plan> {
        let mut state = self.lock().ok()?;
        let in_memory = |table: &Arc<Table>| match table.state() {
            TableState::Memory(sealed) => Some((table.clone(), sealed)),
            TableState::Segment(_) | TableState::Lost(_) | TableState::Empty | TableState::Removed => None,
        };
        let asked = !state.waiters.is_empty();
        if !asked && !pressed {
            return None;
        }
        let whole = asked || !state.tables.iter().any(|table| in_memory(table).is_some());
        if whole && !state.memtable.is_empty() {
            state.seal();
        }
        Some(Plan {
            tables: state.tables.iter().filter_map(in_memory).collect(),
            asked,
            commits: if whole { std::mem::take(&mut state.commits) } else { vec![] },
            waiters: std::mem::take(&mut state.waiters),
        })
    }

    /// A sealed memtable became `segment`, or nothing if there was nothing to write. False if the shard was removed
    /// meanwhile: then the segment is the caller's to delete.
    pub fn flushed(&self, table: &Table, sealed: &Sealed, segment: Option<Arc<Segment>>) -> bool {
        let state = self.state.lock();
        if self.removed.load(Ordering::Acquire) {
            return false;
        }
        let written = segment.as_ref().map_or(0, |segment| segment.extent.len);
        table.set(segment.map_or(TableState::Empty, TableState::Segment));
        self.memory.fetch_sub(sealed.totals().charge, Ordering::AcqRel);
        self.held.fetch_add(written.wrapping_sub(sealed.totals().bytes), Ordering::AcqRel);
        drop(state);
        true
    }

    /// An index has these commits.
    pub fn commits_indexed(&self, commits: &[(Attempt, Fin)]) {
        let mut state = self.state.lock();
        commits.iter().for_each(|(attempt, _)| state.attempts.indexed(attempt));
    }

    /// No index could be given these commits: the next flush has them again.
    pub fn commits_not_indexed(&self, commits: &[(Attempt, Fin)]) {
        self.state.lock().commits.extend(commits);
    }

    /// A commit that was found in an index.
    pub fn recover_commit(&self, attempt: Attempt, sums: Fin) {
        self.state.lock().attempts.recover_commit(attempt, sums);
    }

    /// An attempt that was under way at a clean close, with the sums after each of its frames.
    pub fn recover_progress(&self, attempt: Attempt, after: Vec<Fin>) {
        self.state.lock().attempts.recover_progress(attempt, after);
    }

    /// The attempts that are under way, with the sums after each of their frames.
    pub fn under_way(&self) -> Vec<(Attempt, Vec<Fin>)> {
        self.state.lock().attempts.under_way().map(|(attempt, after)| (attempt, after.to_vec())).collect()
    }

    /// A segment that was found, whole or lost.
    pub fn recover_table(&self, state: TableState) {
        if let TableState::Segment(segment) = &state {
            self.held.fetch_add(segment.extent.len, Ordering::AcqRel);
        }
        self.state.lock().tables.push(Table::new(state));
    }

    /// Lets go of everything; returns the tables as they were, for their files. Memory is free when this returns,
    /// but for what is being sent or written at this moment.
    pub fn remove(&self) -> Vec<TableState> {
        let mut state = self.state.lock();
        self.removed.store(true, Ordering::Release);
        self.memory.store(0, Ordering::Release);
        self.held.store(0, Ordering::Release);
        let State { tables, waiters, .. } = std::mem::take(&mut *state);
        drop(state);
        for waiter in waiters {
            // Nobody may wait any more.
            let _ = waiter.send(Err(self.gone()));
        }
        tables.iter().map(|table| table.set(TableState::Removed)).collect()
    }

    /// Adds what it holds to its shuffle's numbers.
    pub fn add_stats(&self, stats: &mut ShuffleStats) {
        let state = self.state.lock();
        let memtable = state.memtable.totals();
        stats.memory_bytes += memtable.bytes;
        stats.blocks += memtable.blocks;
        for table in &state.tables {
            match table.state() {
                TableState::Memory(sealed) => {
                    stats.memory_bytes += sealed.totals().bytes;
                    stats.blocks += sealed.totals().blocks;
                }
                TableState::Segment(segment) => {
                    stats.disk_bytes += segment.extent.len;
                    stats.blocks += segment.extent.blocks;
                }
                TableState::Lost(_) | TableState::Empty | TableState::Removed => {}
            }
        }
        stats.commits += state.attempts.commits();
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        if self.removed.load(Ordering::Acquire) {
            return Err(self.gone());
        }
        Ok(state)
    }

    fn gone(&self) -> Error {
        removed(self.key)
    }
}

impl State {
    /// Whether a frame is there already; refuses one that can't be taken.
    fn has(&self, push: &Push) -> Result<bool> {
        match self.attempts.has(push)? {
            false if self.ended => Err(ended(&push.key)),
            has => Ok(has),
        }
    }

    fn seal(&mut self) {
        let sealed = Arc::new(self.memtable.seal());
        self.tables.push(Table::new(TableState::Memory(sealed)));
    }
}

/// The error for what was removed: a shuffle, or what is here of a shard's epoch.
pub fn removed(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::NotFound, format!("{what} was removed"))
}
