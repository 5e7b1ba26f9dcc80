//! Opening a store, and closing it cleanly.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use overhand_common::{Error, ErrorKind, Result, ids::WorkerId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::{
    Metrics, Settings, Store,
    core::Core,
    flusher::{self, Queue},
    recovery::recover,
};
use crate::{
    disk::{Folder, Folders, Medium, Member, Membership, RealMedium},
    index::{Index, Update},
    memory::{Budget, Pool},
};

impl Store {
    /// Opens the data folders and recovers what is in them. It blocks: call it before serving, or on a blocking thread.
    pub fn open(settings: Settings, metrics: Metrics) -> Result<Arc<Store>> {
        Self::open_on(Arc::new(RealMedium), settings, metrics)
    }

    /// As [`Store::open`], with segments written through `medium`.
    pub fn open_on(medium: Arc<dyn Medium>, settings: Settings, metrics: Metrics) -> Result<Arc<Store>> {
        if settings.data_dirs.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "no data folder is given: give one at least"));
        }
        let open = |path: &std::path::PathBuf| Folder::open(path, settings.disk_reserve, medium.clone()).map(Arc::new);
        let folders = settings.data_dirs.iter().map(open).collect::<Result<Vec<_>>>()?;
        let members = folders.iter().map(|folder| Member::read(folder.path())).collect::<Result<Vec<_>>>()?;
        for (folder, member) in folders.iter().zip(&members) {
            if member.is_none() {
                check_room(folder, settings.disk_reserve)?;
            }
        }
        let paths: Vec<&Path> = folders.iter().map(|folder| folder.path()).collect();
        let membership = Membership::join(&paths, &members)?;
        let mut indexes = vec![];
        let mut whole = membership.whole;
        for (folder, member) in folders.iter().zip(&members) {
            let (index, made) = Index::open(&folder.path().join("index"))?;
            if made && member.is_some() {
                tracing::warn!(folder = %folder.path().display(), "the index is gone: it is rebuilt from the segments");
                whole = false;
            }
            indexes.push(index);
        }
        if !membership.missing.is_empty() {
            let missing = &membership.missing;
            tracing::error!(folders = ?missing, "data folders of this worker were not given: their data is missing");
        }
        let recovered = recover(&folders, &indexes, &metrics)?;
        let whole = whole && recovered.whole;
        if whole {
            recovered.take_left_by_close(&indexes)?;
        }
        let apps = recovered.apps;
        let incarnation = if whole { membership.incarnation } else { membership.incarnation + 1 };
        write_members(&folders, &membership, incarnation, false)?;
        for index in indexes.iter().filter(|index| index.has_left_by_close()) {
            let mut update = Update::default();
            update.remove_left_by_close();
            index.apply(update, false)?;
        }
        folders.iter().for_each(|folder| folder.measure());
        let worker = WorkerId { id: membership.worker, incarnation };
        let found = apps.len();
        tracing::info!(%worker, whole, applications = found, folders = folders.len(), "store opened");
        let core = Arc::new(Core {
            pool: Pool::new(Budget::new(settings.memory_budget)),
            settings,
            membership,
            worker,
            folders: Folders::new(folders),
            indexes,
            apps,
            queue: Queue::default(),
            stalled: watch::Sender::new(false),
            draining: AtomicBool::new(false),
            closed: RwLock::new(false),
            stopping: AtomicBool::new(false),
            metrics,
        });
        let threads = flusher::start(&core).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                format!("starting a thread: {error}; is there a limit on them (ulimit -u)?"),
            )
        })?;
        Ok(Arc::new(Store { core, threads: Mutex::new(threads) }))
    }
}

/// Everything is flushed: makes it durable, and says so in the data folders.
pub fn mark_clean(core: &Core) -> Result<()> {
    if let Some(folder) = core.folders.all().iter().find(|folder| folder.is_stalled()) {
        let text = format!("the data folder {} hangs, so it can't be closed cleanly", folder.path().display());
        return Err(Error::new(ErrorKind::Backpressure, text));
    }
    let mut left = Update::default();
    for shard in core.apps.shards() {
        for (attempt, after) in shard.under_way() {
            left.add_under_way(&shard.app, &shard.key, shard.layout, &attempt, &after);
        }
    }
    core.apps.ended().iter().for_each(|(app, key)| left.add_ended(app, key));
    // Any folder will do: a start is clean only if all of them are there.
    if !left.is_empty() {
        core.indexes[0].apply(left, false)?;
    }
    for (folder, index) in core.folders.all().iter().zip(&core.indexes) {
        index.sync()?;
        folder.sync_all().map_err(|error| unwritable(folder, &error))?;
    }
    write_members(core.folders.all(), &core.membership, core.worker.incarnation, true)
}

/// A new folder must have more than its reserve; one with data is opened full, for its readers.
fn check_room(folder: &Folder, reserve: u64) -> Result<()> {
    let space = folder.space().map_err(|error| unwritable(folder, &error))?;
    if space.free > reserve {
        return Ok(());
    }
    let text = format!(
        "the data folder {} is full: {} bytes are free and {reserve} are kept in reserve; \
         free some space, or lower the reserve",
        folder.path().display(),
        space.free
    );
    Err(Error::new(ErrorKind::Invalid, text))
}

fn write_members(folders: &[Arc<Folder>], membership: &Membership, incarnation: u64, clean: bool) -> Result<()> {
    for (at, folder) in folders.iter().enumerate() {
        let written = membership.member(at, incarnation, clean).write(folder.path());
        written.map_err(|error| unwritable(folder, &error))?;
    }
    Ok(())
}

fn unwritable(folder: &Folder, error: &std::io::Error) -> Error {
    let path = folder.path().display();
    Error::new(ErrorKind::Internal, format!("the data folder {path} can't be written: {error}; check the disk"))
}
