//! Applications, their shuffles, and the shuffles' shards.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    mem,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::{AppId, Layout, ShardKey},
};
use parking_lot::RwLock;

use super::{
    shard::{Shard, removed},
    stats::{AppStats, Held, ShuffleStats},
};

/// All applications. Shuffles come into being with their first frame.
#[derive(Default)]
pub struct Apps {
    apps: RwLock<BTreeMap<AppId, Arc<App>>>,
}

/// An application.
#[derive(Default)]
pub struct App {
    /// Whether an index may have records of it.
    pub indexed: AtomicBool,
    state: RwLock<AppState>,
}

#[derive(Default)]
struct AppState {
    removed: bool,
    /// Damaged files whose shuffle is not known: they go with the application.
    leftovers: Vec<PathBuf>,
    shuffles: BTreeMap<u32, Entry>,
    /// The epochs that take no new data, also of shuffles of which nothing came yet.
    ended: BTreeSet<ShardKey>,
}

enum Entry {
    Live(Arc<Shuffle>),
    /// It was removed: a late frame must not bring it back. Attempts from this one on are newer than the removal: their
    /// engine runs the shuffle again.
    Tombstone {
        newer_from: u64,
    },
}

/// By shard and epoch, in an order that is the same in every run.
type Shards = BTreeMap<(u32, u32), Arc<Shard>>;

/// A shuffle.
pub struct Shuffle {
    /// How it is split.
    pub layout: Layout,
    /// Whether an index may have records of it.
    pub indexed: Arc<AtomicBool>,
    /// One more than the highest attempt that has sent anything.
    newer_from: AtomicU64,
    /// `None` when it was removed.
    shards: RwLock<Option<Shards>>,
}

impl Apps {
    /// The shard that `key` names; application, shuffle and shard are made if they are not there.
    pub fn shard_or_new(&self, app: &AppId, key: &ShardKey, layout: Layout) -> Result<Arc<Shard>> {
        loop {
            let found = self.app_or_new(app);
            // None: the application was removed between the two; this is the first frame of a new one.
            if let Some(shuffle) = found.shuffle_or_new(key.shuffle, layout)? {
                return match shuffle.shard(key)? {
                    Some(shard) => Ok(shard),
                    None => found.new_shard(app, &shuffle, key),
                };
            }
        }
    }

    /// The shard that `key` names.
    pub fn shard(&self, app: &AppId, key: &ShardKey) -> Result<Arc<Shard>> {
        let missing =
            |what: String| Error::new(ErrorKind::NotFound, format!("{what} of application {app} is not here"));
        let found = self.apps.read().get(app).cloned();
        let found = found.ok_or_else(|| missing(format!("shuffle {}", key.shuffle)))?;
        let shuffle = match found.state.read().shuffles.get(&key.shuffle) {
            Some(Entry::Live(shuffle)) => shuffle.clone(),
            Some(Entry::Tombstone { .. }) => return Err(removed(format_args!("shuffle {}", key.shuffle))),
            None => return Err(missing(format!("shuffle {}", key.shuffle))),
        };
        shuffle.shard(key)?.ok_or_else(|| missing(key.to_string()))
    }

    /// Every shard that there is.
    pub fn shards(&self) -> Vec<Arc<Shard>> {
        self.all().iter().flat_map(|(_, app)| app.live()).flat_map(|(_, shuffle)| shuffle.shards()).collect()
    }

    /// The applications' ids.
    pub fn ids(&self) -> Vec<AppId> {
        self.apps.read().keys().cloned().collect()
    }

    /// How many applications there are.
    pub fn len(&self) -> usize {
        self.apps.read().len()
    }

    /// What there is of each application.
    pub fn stats(&self) -> Vec<AppStats> {
        self.all().into_iter().map(|(id, app)| AppStats { app: id, shuffles: app.stats() }).collect()
    }

    fn all(&self) -> Vec<(AppId, Arc<App>)> {
        self.apps.read().iter().map(|(id, app)| (id.clone(), app.clone())).collect()
    }

    /// Takes note that `attempt` has sent something.
    pub fn saw(&self, app: &AppId, shuffle: u32, attempt: u64) {
        let Some(found) = self.apps.read().get(app).cloned() else { return };
        if let Some(Entry::Live(shuffle)) = found.state.read().shuffles.get(&shuffle) {
            shuffle.newer_from.fetch_max(attempt.saturating_add(1), Ordering::AcqRel);
        }
    }

    /// Puts a tombstone in the place of a shuffle, for attempts below `newer_from` and for all that were seen; returns
    /// what it is for, the shuffle, and its application.
    pub fn strike(&self, app: &AppId, shuffle: u32, newer_from: u64) -> (u64, Arc<App>, Option<Arc<Shuffle>>) {
        loop {
            let found = self.app_or_new(app);
            let mut state = found.state.write();
            if state.removed {
                continue;
            }
            let (newer_from, before) = match state.shuffles.remove(&shuffle) {
                Some(Entry::Live(live)) => (newer_from.max(live.newer_from.load(Ordering::Acquire)), Some(live)),
                Some(Entry::Tombstone { newer_from: before }) => (newer_from.max(before), None),
                None => (newer_from, None),
            };
            state.shuffles.insert(shuffle, Entry::Tombstone { newer_from });
            state.ended.retain(|key| key.shuffle != shuffle);
            drop(state);
            return (newer_from, found, before);
        }
    }

    /// Takes a tombstone away if `attempt` is newer than it, after `forget` has taken it out of the indexes; whether
    /// it did.
    pub fn lift(&self, app: &AppId, shuffle: u32, attempt: u64, forget: impl FnOnce() -> Result<()>) -> Result<bool> {
        let Some(found) = self.apps.read().get(app).cloned() else { return Ok(false) };
        let mut state = found.state.write();
        match state.shuffles.get(&shuffle) {
            Some(Entry::Tombstone { newer_from }) if *newer_from <= attempt => {}
            _ => return Ok(false),
        }
        forget()?;
        state.shuffles.remove(&shuffle);
        Ok(true)
    }

    /// Takes an application out, with its shuffles.
    pub fn take(&self, app: &AppId) -> Option<(Arc<App>, Vec<Arc<Shuffle>>)> {
        let found = self.apps.write().remove(app)?;
        let mut state = found.state.write();
        state.removed = true;
        let shuffles = mem::take(&mut state.shuffles).into_values().filter_map(Entry::live).collect();
        drop(state);
        Some((found, shuffles))
    }

    /// Takes what is here of a shard's epoch out of its shuffle; `None` if there is nothing.
    pub fn take_shard(&self, app: &AppId, key: &ShardKey) -> Option<Arc<Shard>> {
        let found = self.apps.read().get(app)?.clone();
        found.end(key);
        let state = found.state.read();
        let Entry::Live(shuffle) = state.shuffles.get(&key.shuffle)? else { return None };
        shuffle.shards.write().as_mut()?.remove(&(key.shard, key.epoch))
    }

    /// Ends a shard's epoch: new data is refused, also if there was none yet.
    pub fn end(&self, app: &AppId, key: &ShardKey) {
        while !self.app_or_new(app).end(key) {}
    }

    /// All epochs that take no new data.
    pub fn ended(&self) -> Vec<(AppId, ShardKey)> {
        let of = |(id, app): (AppId, Arc<App>)| -> Vec<_> {
            app.state.read().ended.iter().map(|key| (id.clone(), *key)).collect()
        };
        self.all().into_iter().flat_map(of).collect()
    }

    /// What each application has here.
    pub fn held(&self) -> Vec<Held> {
        self.all().into_iter().map(|(id, app)| app.held(id)).collect()
    }

    /// The layout of a shuffle that is here.
    pub fn layout(&self, app: &AppId, shuffle: u32) -> Option<Layout> {
        let found = self.apps.read().get(app)?.clone();
        let state = found.state.read();
        match state.shuffles.get(&shuffle)? {
            Entry::Live(shuffle) => Some(shuffle.layout),
            Entry::Tombstone { .. } => None,
        }
    }

    /// A damaged file of `app` whose shuffle is not known.
    pub fn add_leftover(&self, app: &AppId, path: PathBuf) {
        self.app_or_new(app).state.write().leftovers.push(path);
    }

    fn app_or_new(&self, app: &AppId) -> Arc<App> {
        if let Some(found) = self.apps.read().get(app) {
            return found.clone();
        }
        self.apps.write().entry(app.clone()).or_default().clone()
    }
}

impl App {
    fn shuffle_or_new(&self, shuffle: u32, layout: Layout) -> Result<Option<Arc<Shuffle>>> {
        let check = |entry: &Entry| match entry {
            Entry::Live(found) if found.layout == layout => Ok(Some(found.clone())),
            Entry::Live(found) => {
                let text = format!("shuffle {shuffle} is here with {:?}, not with {layout:?}", found.layout);
                Err(Error::new(ErrorKind::Invalid, text))
            }
            Entry::Tombstone { .. } => Err(removed(format_args!("shuffle {shuffle}"))),
        };
        if let Some(entry) = self.state.read().shuffles.get(&shuffle) {
            return check(entry);
        }
        let mut state = self.state.write();
        if state.removed {
            return Ok(None);
        }
        match state.shuffles.entry(shuffle) {
            btree_map::Entry::Occupied(entry) => check(entry.get()),
            btree_map::Entry::Vacant(entry) => {
                let new = Arc::new(Shuffle::new(layout));
                entry.insert(Entry::Live(new.clone()));
                Ok(Some(new))
            }
        }
    }

    /// Ends a shard's epoch, unless its shuffle was removed; false if the application was.
    fn end(&self, key: &ShardKey) -> bool {
        // A copy asks with each message.
        if self.state.read().ended.contains(key) {
            return true;
        }
        let mut state = self.state.write();
        if state.removed {
            return false;
        }
        match state.shuffles.get(&key.shuffle) {
            // One that begins anew has epochs of the same numbers.
            Some(Entry::Tombstone { .. }) => return true,
            Some(Entry::Live(shuffle)) => {
                if let Ok(Some(shard)) = shuffle.shard(key) {
                    shard.end();
                }
            }
            None => {}
        }
        state.ended.insert(*key);
        true
    }

    /// A shard of a shuffle of this application, made if it is not there.
    fn new_shard(&self, app: &AppId, shuffle: &Shuffle, key: &ShardKey) -> Result<Arc<Shard>> {
        // Locked until it is there, so that who ends the epoch meanwhile finds it.
        let state = self.state.read();
        let mut shards = shuffle.shards.write();
        let shards = shards.as_mut().ok_or_else(|| removed(format_args!("shuffle {}", key.shuffle)))?;
        match shards.entry((key.shard, key.epoch)) {
            btree_map::Entry::Occupied(entry) => Ok(entry.get().clone()),
            btree_map::Entry::Vacant(entry) => {
                let new = Shard::new(app.clone(), *key, shuffle.layout, shuffle.indexed.clone());
                if state.ended.contains(key) {
                    new.end();
                }
                Ok(entry.insert(Arc::new(new)).clone())
            }
        }
    }

    /// Takes out the damaged files whose shuffle is not known.
    pub fn take_leftovers(&self) -> Vec<PathBuf> {
        mem::take(&mut self.state.write().leftovers)
    }

    fn live(&self) -> Vec<(u32, Arc<Shuffle>)> {
        let state = self.state.read();
        let live = state.shuffles.iter().filter_map(|(number, entry)| match entry {
            Entry::Live(shuffle) => Some((*number, shuffle.clone())),
            Entry::Tombstone { .. } => None,
        });
        live.collect()
    }

    fn held(&self, app: AppId) -> Held {
        let of = |shuffle: &Shuffle| -> u64 { shuffle.shards().iter().map(|shard| shard.held()).sum() };
        let each = self.live().into_iter().map(|(_, shuffle)| of(&shuffle)).filter(|bytes| *bytes > 0);
        let (bytes, shuffles) = each.fold((0, 0u32), |(sum, count), bytes| (sum + bytes, count + 1));
        Held { app, bytes, shuffles }
    }

    fn stats(&self) -> Vec<ShuffleStats> {
        self.live().into_iter().map(|(number, shuffle)| shuffle.stats(number)).collect()
    }
}

impl Entry {
    fn live(self) -> Option<Arc<Shuffle>> {
        match self {
            Entry::Live(shuffle) => Some(shuffle),
            Entry::Tombstone { .. } => None,
        }
    }
}

impl Shuffle {
    fn new(layout: Layout) -> Self {
        Self {
            layout,
            indexed: Arc::new(AtomicBool::new(false)),
            newer_from: AtomicU64::new(0),
            shards: RwLock::new(Some(Shards::new())),
        }
    }

    /// The shard that `key` names, if it is there.
    fn shard(&self, key: &ShardKey) -> Result<Option<Arc<Shard>>> {
        let shards = self.shards.read();
        let shards = shards.as_ref().ok_or_else(|| removed(format_args!("shuffle {}", key.shuffle)))?;
        Ok(shards.get(&(key.shard, key.epoch)).cloned())
    }

    fn shards(&self) -> Vec<Arc<Shard>> {
        self.shards.read().iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Takes its shards out; there will be no others.
    pub fn take(&self) -> Vec<Arc<Shard>> {
        self.shards.write().take().into_iter().flatten().map(|(_, shard)| shard).collect()
    }

    fn stats(&self, shuffle: u32) -> ShuffleStats {
        let layout = self.layout;
        let mut stats =
            ShuffleStats { shuffle, partitions: layout.partitions(), shards: layout.shards(), ..Default::default() };
        self.shards().iter().for_each(|shard| shard.add_stats(&mut stats));
        stats
    }

    /// Whether an index may have records of it.
    pub fn is_indexed(&self) -> bool {
        self.indexed.load(Ordering::Acquire)
    }
}
