//! Deleting shuffles and applications, and what other deletions share.
//!
//! Memory is free at once. What a data folder has is deleted on the folder's own thread; nobody waits for one that hangs:
//! it deletes when that ends, before it takes anything new.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use overhand_common::{Error, ErrorKind, Result, ids::AppId};

use super::{
    apps::Shuffle,
    core::{Core, blocking},
    shard::Shard,
    table::TableState,
};
use crate::{
    disk::{Folder, Health, Medium, SegmentName, Task, Watch, Watched},
    index::Update,
};

/// Deletes a shuffle and leaves a tombstone.
pub async fn remove_shuffle(core: &Arc<Core>, app: &AppId, number: u32) -> Result<()> {
    let (newer_from, found, shuffle) = core.apps.strike(app, number, 0);
    let doomed: Vec<_> = shuffle.into_iter().collect();
    let indexed = is_indexed(&doomed);
    let remains = Remains::of_shuffles(doomed);
    core.metrics.removed_shuffles.increment(u64::from(!remains.shards.is_empty()));
    found.indexed.store(true, Ordering::Release);
    let (core, app) = (core.clone(), app.clone());
    blocking(move || {
        remains.clear(&core, |chores| {
            let healthy = core.folders.all().iter().position(|folder| folder.health() == Health::Ok);
            chores[healthy.unwrap_or(0)].update.add_tombstone(&app, number, newer_from);
            if indexed {
                chores.iter_mut().for_each(|chore| chore.update.remove_commits(&app, number));
            }
        })
    })
    .await
}

/// Lets an attempt that is newer than a shuffle's removal begin the shuffle anew; whether it is.
///
/// Spark 4 removes a query's shuffles when the query ends, and runs their map tasks again if somebody uses the plan
/// once more.
pub fn begin_anew(core: &Core, app: &AppId, number: u32, attempt: u64) -> Result<bool> {
    core.apps.lift(app, number, attempt, || {
        core.indexes.iter().try_for_each(|index| {
            let mut update = Update::default();
            update.remove_tombstone(app, number);
            index.apply(update, false)
        })
    })
}

/// Deletes an application with everything of it.
pub async fn remove_app(core: &Arc<Core>, app: &AppId) -> Result<()> {
    let Some((found, shuffles)) = core.apps.take(app) else { return Ok(()) };
    let indexed = found.indexed.load(Ordering::Acquire) || is_indexed(&shuffles);
    let remains = Remains::of_shuffles(shuffles);
    let (core, app) = (core.clone(), app.clone());
    blocking(move || {
        let leftovers = found.take_leftovers();
        remains.clear(&core, |chores| {
            for (folder, chore) in core.folders.all().iter().zip(chores) {
                if indexed {
                    chore.update.remove_app(&app);
                }
                let here = leftovers.iter().filter(|path| path.starts_with(folder.path()));
                chore.files.extend(here.map(|path| (path.clone(), 0)));
                chore.app_dir = Some(SegmentName::app_dir(folder.path(), &app));
            }
        })
    })
    .await
}

fn is_indexed(shuffles: &[Arc<Shuffle>]) -> bool {
    shuffles.iter().any(|shuffle| shuffle.is_indexed())
}

/// What is left of shards whose memory was freed: what indexes and data folders have of them.
pub struct Remains {
    shards: Vec<Arc<Shard>>,
    tables: Vec<TableState>,
}

impl Remains {
    fn of_shuffles(shuffles: Vec<Arc<Shuffle>>) -> Self {
        Self::of(shuffles.iter().flat_map(|shuffle| shuffle.take()).collect())
    }

    /// Takes apart shards that nobody finds any more, and frees their memory at once.
    pub fn of(shards: Vec<Arc<Shard>>) -> Self {
        let tables = shards.iter().flat_map(|shard| shard.remove());
        let on_disk = |table: &TableState| matches!(table, TableState::Segment(_) | TableState::Lost(_));
        let tables = tables.filter(on_disk).collect();
        Self { shards, tables }
    }

    /// Deletes index records, then files: a crash between the two leaves files that the next start takes back in, and
    /// that go when their application does.
    /// `more` is what else goes, one chore for each data folder. It may block, but not for longer than a disk may hang.
    pub fn clear(self, core: &Arc<Core>, more: impl FnOnce(&mut [Chore])) -> Result<()> {
        for shard in &self.shards {
            // A flush that was under way is over, and has deleted its own, when this lock is there.
            drop(shard.flushing.lock());
        }
        let mut chores: Vec<Chore> = core.indexes.iter().map(|_| Chore::default()).collect();
        for table in &self.tables {
            match table {
                TableState::Segment(segment) => {
                    let chore = &mut chores[segment.folder];
                    chore.update.remove_segment(segment.identity.number);
                    chore.files.push((segment.path.clone(), segment.extent.len));
                }
                TableState::Lost(lost) => {
                    let chore = &mut chores[lost.folder];
                    lost.number.into_iter().for_each(|number| chore.update.remove_segment(number));
                    chore.files.push((lost.path.clone(), lost.counted));
                }
                TableState::Memory(_) | TableState::Empty | TableState::Removed => {}
            }
        }
        more(&mut chores);
        let begun: Vec<_> = chores.into_iter().enumerate().filter_map(|(at, chore)| chore.begin(core, at)).collect();
        let ended: Vec<_> = begun.into_iter().map(|begun| begun.end(core)).collect();
        ended.into_iter().collect()
    }
}

/// What is to be deleted in one data folder.
#[derive(Default)]
pub struct Chore {
    /// Of its index.
    pub update: Update,
    /// Its files, with the bytes they count for.
    files: Vec<(PathBuf, u64)>,
    /// The folder of an application.
    app_dir: Option<PathBuf>,
}

/// A chore that was begun.
struct Begun {
    at: usize,
    task: io::Result<Task<Result<()>>>,
}

impl Chore {
    /// Begins it, if there is anything to do, and if its folder does not hang: there it is done when that ends.
    fn begin(self, core: &Arc<Core>, at: usize) -> Option<Begun> {
        if self.update.is_empty() && self.files.is_empty() && self.app_dir.is_none() {
            return None;
        }
        let folder = core.folder(at);
        let doer = core.clone();
        let task = folder.begin_some_time(move |watch| self.run(&doer, at, watch)).transpose();
        if task.is_none() {
            put_off(folder);
        }
        task.map(|task| Begun { at, task })
    }

    fn run(self, core: &Core, at: usize, watch: &Watch) -> Result<()> {
        let done = if self.update.is_empty() { Ok(()) } else { core.indexes[at].apply(self.update, false) };
        if let Err(error) = &done {
            tracing::error!(%error, "removing from an index failed");
        }
        watch.moved();
        let folder = core.folder(at);
        let medium = Watched { medium: folder.medium(), watch };
        for (path, len) in self.files {
            match medium.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::error!(path = %path.display(), %error, "a segment can't be deleted");
                }
                _ => folder.deleted(len),
            }
        }
        self.app_dir.iter().for_each(|path| remove_dir(path));
        done
    }
}

impl Begun {
    /// Waits until it is done, or its folder hangs.
    fn end(self, core: &Core) -> Result<()> {
        let folder = core.folder(self.at);
        match self.task.and_then(|task| folder.finish(task, core.settings.stall_timeout, |_| ())) {
            Ok(done) => done,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                put_off(folder);
                Ok(())
            }
            Err(error) => {
                Err(Error::new(ErrorKind::Internal, format!("deleting in {}: {error}", folder.path().display())))
            }
        }
    }
}

fn put_off(folder: &Folder) {
    tracing::warn!(folder = %folder.path().display(), "the disk hangs: what was removed is deleted when that ends");
}

/// Deletes an application's folder. One that is not empty has data of a new application of the same name.
fn remove_dir(path: &Path) {
    match fs::remove_dir(path) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {}
        Err(error) => tracing::error!(path = %path.display(), %error, "a folder can't be deleted"),
    }
}
