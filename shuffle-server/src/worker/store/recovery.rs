//! What a store finds when it opens.
//!
//! The index says which segments there are; the files say whether that is so. A file that the index does not know (the
//! index was lost, or the process died between the two) describes itself and is taken in. One that is torn, or that the
//! index knows and that is not there, makes a lost table: readers of that shard are told, and others are served.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::{AppId, Layout, ShardKey},
    segment::{Identity, MAX_PREAMBLE},
};

use super::{
    apps::Apps,
    metrics::Metrics,
    table::{Lost, TableState},
};
use crate::{
    disk::{Folder, SegmentName, segments_dir},
    index::{Index, Update},
    segment::{Extent, Segment, inspect},
};

/// What was found.
pub struct Recovered {
    /// Applications with their shards, commits and tombstones.
    pub apps: Apps,
    /// Whether nothing was missing or damaged, and no index had to be rebuilt.
    pub whole: bool,
}

impl Recovered {
    /// Takes in what a clean close has left: epochs that had ended, and attempts that were under way. After any other
    /// close some of their frames may be gone, and the worker is another one for those who wrote them.
    pub fn take_left_by_close(&self, indexes: &[Index]) -> Result<()> {
        for index in indexes {
            for ended in index.ended() {
                let (app, key) = ended?;
                self.apps.end(&app, &key);
            }
            for attempt in index.under_way() {
                let (app, key, layout, attempt, after) = attempt?;
                match self.apps.shard_or_new(&app, &key, layout) {
                    Ok(shard) => shard.recover_progress(attempt, after),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
                self.apps.saw(&app, key.shuffle, attempt.attempt);
            }
        }
        Ok(())
    }
}

/// Reads indexes and data folders.
pub fn recover(folders: &[Arc<Folder>], indexes: &[Index], metrics: &Metrics) -> Result<Recovered> {
    let apps = Apps::default();
    for index in indexes {
        for tombstone in index.tombstones() {
            let (app, shuffle, newer_from) = tombstone?;
            let (_, app, _) = apps.strike(&app, shuffle, newer_from);
            app.indexed.store(true, Ordering::Release);
        }
    }
    let mut whole = true;
    let mut torn = vec![];
    for (at, (folder, index)) in folders.iter().zip(indexes).enumerate() {
        let mut recovery = FolderRecovery { apps: &apps, at, folder, index, unknown: 0, torn: vec![] };
        whole &= recovery.run()?;
        torn.append(&mut recovery.torn);
    }
    // Last, because the layout of a torn segment's shuffle may be known by another segment only.
    for torn in torn {
        whole = false;
        torn.report(&apps, metrics)?;
    }
    for index in indexes {
        for commit in index.commits() {
            let (app, key, attempt, fin) = commit?;
            apps.saw(&app, key.shuffle, attempt.attempt);
            // A shard without segments is not there: what was committed in it had no blocks.
            if let Ok(shard) = apps.shard(&app, &key) {
                shard.recover_commit(attempt, fin);
            }
        }
    }
    Ok(Recovered { apps, whole })
}

/// A segment that can't be read.
struct Torn {
    app: AppId,
    key: ShardKey,
    layout: Option<Layout>,
    lost: Lost,
}

impl Torn {
    /// Makes a lost table of it.
    fn report(self, apps: &Apps, metrics: &Metrics) -> Result<()> {
        let Self { app, key, layout, lost } = self;
        metrics.lost_segments.increment(1);
        tracing::error!(path = %lost.path.display(), %app, shard = %key, reason = lost.reason, "a segment is lost");
        let Some(layout) = layout.or_else(|| apps.layout(&app, key.shuffle)) else {
            apps.add_leftover(&app, lost.path);
            return Ok(());
        };
        match apps.shard_or_new(&app, &key, layout) {
            Ok(shard) => {
                shard.indexed.store(true, Ordering::Release);
                shard.recover_table(TableState::Lost(Arc::new(lost)));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => apps.add_leftover(&app, lost.path),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Recovers one data folder.
struct FolderRecovery<'a> {
    apps: &'a Apps,
    at: usize,
    folder: &'a Folder,
    index: &'a Index,
    /// Segments that the index did not know.
    unknown: u64,
    torn: Vec<Torn>,
}

impl FolderRecovery<'_> {
    /// Takes in the folder's segments; whether the index knew all of them.
    fn run(&mut self) -> Result<bool> {
        let mut known = HashMap::new();
        for segment in self.index.segments() {
            let (identity, extent) = segment?;
            self.folder.number_seen(identity.number);
            known.insert(identity.number, (identity, extent));
        }
        let files = list(self.folder.path()).map_err(|error| {
            let path = self.folder.path().display();
            Error::new(ErrorKind::Internal, format!("the data folder {path} can't be read: {error}; check the disk"))
        })?;
        for path in files {
            let Some(name) = SegmentName::parse(&path) else {
                self.stranger(&path);
                continue;
            };
            self.folder.number_seen(name.number);
            match known.remove(&name.number) {
                Some((identity, extent)) => self.known(&path, identity, extent)?,
                None => self.unknown(path, name)?,
            }
        }
        for (identity, extent) in known.into_values() {
            let name = SegmentName { app: identity.app.clone(), key: identity.key, number: identity.number };
            self.lose(identity, &extent, name.path(self.folder.path()), "the file is missing".into());
        }
        if self.unknown > 0 {
            let folder = self.folder.path().display();
            tracing::warn!(%folder, segments = self.unknown, "taken into the index, which did not know them");
        }
        Ok(self.unknown == 0)
    }

    /// A file that has not the name of a segment.
    fn stranger(&self, path: &Path) {
        if SegmentName::is_unfinished(path) {
            remove_file(path);
        } else {
            tracing::warn!(path = %path.display(), "a file that is no segment is left alone");
        }
    }

    /// A segment that the index knows.
    fn known(&mut self, path: &Path, identity: Identity, extent: Extent) -> Result<()> {
        let wrong = match fs::metadata(path) {
            Ok(metadata) if metadata.len() == extent.len => return self.add(path, identity, extent),
            Ok(metadata) => format!("it has {} bytes, {} were written", metadata.len(), extent.len),
            Err(error) => error.to_string(),
        };
        self.lose(identity, &extent, path.to_owned(), wrong);
        Ok(())
    }

    /// A file that the index does not know.
    fn unknown(&mut self, path: PathBuf, name: SegmentName) -> Result<()> {
        let found = match inspect(&path) {
            Ok(found) if found.identity.number == name.number && found.identity.key == name.key => found,
            Ok(_) => return self.tear(path, name, "it is another segment than its name says".into()),
            Err(error) => return self.tear(path, name, error.to_string()),
        };
        self.unknown += 1;
        let mut update = Update::default();
        update.add_segment(&found.identity, &found.extent, &found.cuts);
        self.index.apply(update, false)?;
        self.add(&path, found.identity, found.extent)
    }

    fn add(&mut self, path: &Path, identity: Identity, extent: Extent) -> Result<()> {
        let shard = match self.apps.shard_or_new(&identity.app, &identity.key, identity.layout) {
            Ok(shard) => shard,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Its shuffle was removed, and the process died before the file was deleted.
                let mut update = Update::default();
                update.remove_segment(identity.number);
                self.index.apply(update, false)?;
                remove_file(path);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        shard.indexed.store(true, Ordering::Release);
        self.folder.added(extent.len);
        let segment = Segment::new(identity, self.at, path.to_owned(), extent);
        shard.recover_table(TableState::Segment(Arc::new(segment)));
        Ok(())
    }

    /// The index knows it, the file is not what it was.
    fn lose(&mut self, identity: Identity, extent: &Extent, path: PathBuf, reason: String) {
        let Identity { app, key, layout, number } = identity;
        let reason = format!("{reason}; {} blocks are gone", extent.blocks);
        let lost = Lost { reason, folder: self.at, path, number: Some(number), counted: 0 };
        self.torn.push(Torn { app, key, layout: Some(layout), lost });
    }

    /// The index does not know it, and it does not describe itself.
    fn tear(&mut self, path: PathBuf, name: SegmentName, reason: String) -> Result<()> {
        let layout = preamble(&path).ok().map(|identity| identity.layout);
        let SegmentName { app, key, .. } = name;
        let lost = Lost { reason, folder: self.at, path, number: None, counted: 0 };
        self.torn.push(Torn { app, key, layout, lost });
        Ok(())
    }
}

fn preamble(path: &Path) -> io::Result<Identity> {
    let mut bytes = vec![];
    File::open(path)?.take(MAX_PREAMBLE as u64).read_to_end(&mut bytes)?;
    let (identity, _) = Identity::decode(&bytes).map_err(|malformed| io::Error::other(malformed.to_string()))?;
    Ok(identity)
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = vec![];
    for app in fs::read_dir(segments_dir(folder))? {
        let app = app?.path();
        if !app.is_dir() {
            files.push(app);
            continue;
        }
        let mut empty = true;
        for file in fs::read_dir(&app)? {
            files.push(file?.path());
            empty = false;
        }
        if empty {
            fs::remove_dir(&app)?;
        }
    }
    Ok(files)
}

fn remove_file(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::error!(path = %path.display(), %error, "a file that is not needed can't be deleted");
    }
}
