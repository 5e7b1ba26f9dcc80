//! A flush: a shard's sealed memtables become segments.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use overhand_common::{Error, ErrorKind, Result, ids::Attempt, message::Fin};

use super::{
    core::Core,
    memtable::Sealed,
    settings::Durability,
    shard::{Plan, Shard},
    table::Table,
};
use crate::{
    disk::{SegmentName, Watch, Watched},
    index::Update,
    segment::{self, Segment},
};

/// Shared with a write that may be hanging while they are written elsewhere.
type Commits = Arc<[(Attempt, Fin)]>;

/// Writes what `shard` has in memory to segments, the oldest first, and its commits to an index; then answers who waits
/// for that. If nobody does, it stops when enough memory is free. On an error, nothing is lost: what was not written
/// stays in memory, and is tried again with the next flush.
pub fn flush(core: &Arc<Core>, shard: &Arc<Shard>) -> Result<()> {
    let _flushing = shard.flushing.lock();
    let Some(Plan { tables, asked, commits, waiters }) = shard.plan_flush(core.excess() > 0) else { return Ok(()) };
    let done = write_tables(core, shard, tables, asked, commits.into());
    for waiter in waiters {
        // One that gave up has its answer from the repeat that it sends.
        let _ = waiter.send(done.clone());
    }
    done
}

fn write_tables(
    core: &Arc<Core>,
    shard: &Arc<Shard>,
    tables: Vec<(Arc<Table>, Arc<Sealed>)>,
    asked: bool,
    commits: Commits,
) -> Result<()> {
    let mut indexed = commits.is_empty();
    let count = tables.len();
    for (number, (table, sealed)) in tables.into_iter().enumerate() {
        if !asked && number > 0 && core.excess() == 0 {
            shard.commits_not_indexed(&commits);
            return Ok(());
        }
        // The commits go into the index together with the last segment: one sync for both.
        let with: Commits = if number + 1 == count { commits.clone() } else { Arc::new([]) };
        let segment = match write_segment(core, shard, &sealed, &with) {
            Ok(segment) => segment,
            Err(error) => {
                shard.commits_not_indexed(&commits);
                return if shard.removed.load(Ordering::Acquire) { Ok(()) } else { Err(error) };
            }
        };
        indexed |= segment.is_some() && !with.is_empty();
        if !shard.flushed(&table, &sealed, segment.clone()) {
            if let Some(segment) = segment {
                discard(core, &segment);
            }
            return Ok(());
        }
    }
    let done = if indexed { Ok(()) } else { write_commits(core, shard, &commits) };
    match done {
        Ok(()) => shard.commits_indexed(&commits),
        Err(_) => shard.commits_not_indexed(&commits),
    }
    done
}

/// Writes one segment to the first folder that takes it; `None` if there is nothing to write.
fn write_segment(
    core: &Arc<Core>,
    shard: &Arc<Shard>,
    sealed: &Arc<Sealed>,
    commits: &Commits,
) -> Result<Option<Arc<Segment>>> {
    if sealed.sources().next().is_none() {
        return Ok(None);
    }
    let len = sealed.totals().bytes;
    let mut tried = vec![];
    while let Some(at) = core.folders.choose(len, &tried) {
        tried.push(at);
        match begin_segment(core, shard, sealed, commits, at) {
            Ok(segment) => return Ok(Some(segment)),
            Err(error) if shard.removed.load(Ordering::Acquire) => {
                return Err(Error::new(ErrorKind::NotFound, error.to_string()));
            }
            Err(error) => {
                core.metrics.flush_failures.increment(1);
                tracing::error!(shard = %shard.key, app = %shard.app, bytes = len, %error, "a flush failed");
                core.folder(at).failed(&error);
            }
        }
    }
    Err(no_folder(len))
}

/// Writes a segment to a folder, on the folder's own thread. If that hangs, the segment will be deleted when it comes
/// back: by then another one has its blocks.
fn begin_segment(
    core: &Arc<Core>,
    shard: &Arc<Shard>,
    sealed: &Arc<Sealed>,
    commits: &Commits,
    at: usize,
) -> io::Result<Arc<Segment>> {
    let (writer, shard, sealed, commits) = (core.clone(), shard.clone(), sealed.clone(), commits.clone());
    let task = core.folder(at).begin(move |watch| write_segment_to(&writer, &shard, &sealed, &commits, at, watch))?;
    let cleaner = core.clone();
    core.folder(at).finish(task, core.settings.stall_timeout, move |written| {
        if let Ok(segment) = written {
            discard(&cleaner, &segment);
        }
    })?
}

fn write_segment_to(
    core: &Core,
    shard: &Shard,
    sealed: &Sealed,
    commits: &[(Attempt, Fin)],
    at: usize,
    watch: &Watch,
) -> io::Result<Arc<Segment>> {
    let folder = core.folder(at);
    let identity = shard.identity(folder.next_number());
    let name = SegmentName { app: shard.app.clone(), key: shard.key, number: identity.number };
    let path = name.path(folder.path());
    let sync = core.settings.durability == Durability::Disk;
    let _writing = folder.writing(sealed.totals().bytes);
    let began = Instant::now();
    let medium = Watched { medium: folder.medium(), watch };
    let stop = || watch.is_abandoned() || shard.removed.load(Ordering::Acquire);
    let written = segment::write(&medium, &path, &identity, sealed.sources(), sync, &stop)?;
    let took = began.elapsed();
    folder.wrote(written.extent.len, took);
    if written.damaged > 0 {
        core.metrics.damaged_blocks.increment(written.damaged);
        tracing::error!(shard = %shard.key, app = %shard.app, blocks = written.damaged,
            "blocks changed in memory and were left out of their segment; is the memory faulty?");
    }
    shard.indexed.store(true, Ordering::Release);
    let mut update = Update::default();
    update.add_segment(&identity, &written.extent, &written.cuts);
    commits.iter().for_each(|(attempt, fin)| update.add_commit(&shard.app, &shard.key, attempt, fin));
    let segment = Arc::new(Segment::new(identity, at, path, written.extent));
    folder.added(segment.extent.len);
    if watch.is_abandoned() {
        return Ok(segment);
    }
    if let Err(error) = core.indexes[at].apply(update, sync) {
        discard(core, &segment);
        return Err(io::Error::other(error.to_string()));
    }
    core.metrics.flushed_segments.increment(1);
    core.metrics.flushed_bytes.increment(segment.extent.len);
    core.metrics.flush_seconds.record(took.as_secs_f64());
    Ok(segment)
}

/// Writes commits to the index of the first folder that takes them.
fn write_commits(core: &Arc<Core>, shard: &Arc<Shard>, commits: &Commits) -> Result<()> {
    if commits.is_empty() {
        return Ok(());
    }
    shard.indexed.store(true, Ordering::Release);
    let mut tried = vec![];
    while let Some(at) = core.folders.choose(0, &tried) {
        tried.push(at);
        match write_commits_to(core, shard, commits, at) {
            Ok(()) => return Ok(()),
            Err(error) => {
                core.metrics.flush_failures.increment(1);
                core.folder(at).failed(&error);
            }
        }
    }
    Err(no_folder(0))
}

/// Commits that are in several indexes do no harm, so nothing need be undone if this hangs and comes back.
fn write_commits_to(core: &Arc<Core>, shard: &Arc<Shard>, commits: &Commits, at: usize) -> io::Result<()> {
    let (writer, shard, commits) = (core.clone(), shard.clone(), commits.clone());
    let task = core.folder(at).begin(move |_| {
        let sync = writer.settings.durability == Durability::Disk;
        let mut update = Update::default();
        commits.iter().for_each(|(attempt, fin)| update.add_commit(&shard.app, &shard.key, attempt, fin));
        writer.indexes[at].apply(update, sync).map_err(|error| io::Error::other(error.to_string()))
    })?;
    core.folder(at).finish(task, core.settings.stall_timeout, |_| ())?
}

/// Deletes a segment that no table has.
fn discard(core: &Core, segment: &Segment) {
    let mut update = Update::default();
    update.remove_segment(segment.identity.number);
    if let Err(error) = core.indexes[segment.folder].apply(update, false) {
        tracing::error!(%error, "a segment that is not needed stays in the index");
    }
    if let Err(error) = std::fs::remove_file(&segment.path) {
        tracing::error!(path = %segment.path.display(), %error, "a segment that is not needed can't be deleted");
    }
    core.folder(segment.folder).deleted(segment.extent.len);
}

fn no_folder(len: u64) -> Error {
    let text = format!("no data folder takes {len} bytes: all are full or failed; see `overhand status` and the log");
    Error::new(ErrorKind::Backpressure, text)
}
