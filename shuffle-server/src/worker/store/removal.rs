//! Deleting shuffles and applications, and what other deletions share.

use std::{fs, io, path::Path, sync::Arc, sync::atomic::Ordering};

use overhand_common::{Result, ids::AppId};

use super::{
    apps::Shuffle,
    core::{Core, blocking},
    shard::Shard,
    table::TableState,
};
use crate::{
    disk::{Health, SegmentName},
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
        remains.clear(&core, &app, |updates| {
            let healthy = core.folders.all().iter().position(|folder| folder.health() == Health::Ok);
            updates[healthy.unwrap_or(0)].add_tombstone(&app, number, newer_from);
            if indexed {
                updates.iter_mut().for_each(|update| update.remove_commits(&app, number));
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
        let done = remains.clear(&core, &app, |updates| {
            if indexed {
                updates.iter_mut().for_each(|update| update.remove_app(&app));
            }
        });
        for path in found.take_leftovers() {
            remove_file(&path);
        }
        for folder in core.folders.all() {
            remove_dir(&SegmentName::app_dir(folder.path(), &app));
        }
        done
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
    /// `more` is what else changes in the indexes, one update for each data folder.
    pub fn clear(self, core: &Core, app: &AppId, more: impl FnOnce(&mut [Update])) -> Result<()> {
        for shard in &self.shards {
            // A flush that was under way is over, and has deleted its own, when this lock is there.
            drop(shard.flushing.lock());
        }
        let mut updates: Vec<Update> = core.indexes.iter().map(|_| Update::default()).collect();
        let mut files = vec![];
        for table in &self.tables {
            match table {
                TableState::Segment(segment) => {
                    updates[segment.folder].remove_segment(segment.identity.number);
                    files.push((segment.folder, segment.path.clone(), segment.extent.len));
                }
                TableState::Lost(lost) => {
                    lost.number.into_iter().for_each(|number| updates[lost.folder].remove_segment(number));
                    files.push((lost.folder, lost.path.clone(), lost.counted));
                }
                TableState::Memory(_) | TableState::Empty | TableState::Removed => {}
            }
        }
        more(&mut updates);
        let mut done = Ok(());
        for (index, update) in core.indexes.iter().zip(updates) {
            if !update.is_empty()
                && let Err(error) = index.apply(update, false)
            {
                tracing::error!(%app, %error, "removing from an index failed");
                done = Err(error);
            }
        }
        for (folder, path, len) in files {
            if remove_file(&path) {
                core.folder(folder).deleted(len);
            }
        }
        done
    }
}

/// Deletes a file; whether it is gone.
fn remove_file(path: &Path) -> bool {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::error!(path = %path.display(), %error, "a segment can't be deleted");
            false
        }
        _ => true,
    }
}

/// Deletes an application's folder. One that is not empty has data of a new application of the same name.
fn remove_dir(path: &Path) {
    match fs::remove_dir(path) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {}
        Err(error) => tracing::error!(path = %path.display(), %error, "a folder can't be deleted"),
    }
}
