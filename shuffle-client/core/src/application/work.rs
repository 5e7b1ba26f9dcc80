//! What workers are to be told so that chains are as they should be, what of it is being done, and what must wait.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use overhand_common::ids::ShardKey;
use uuid::Uuid;

use crate::{Layout, Place};

/// For that long a worker that failed to take a copy of an epoch is not asked again.
pub const BARRED_FOR: Duration = Duration::from_secs(10);

/// Something to tell a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    Copy(Copy),
    Forget(Forget),
}

/// An epoch of a shard is to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Tells the shuffle from another one of the same id.
    pub born: u64,
    pub key: ShardKey,
    pub layout: Layout,
    pub from: Place,
    pub to: Place,
    /// Whose place in the chain it takes.
    pub replaces: Option<Place>,
    /// Nobody was there who is known to have everything: the source started anew, and may lack something.
    pub partial: bool,
}

impl Copy {
    /// Puts the target where it belongs in the chain.
    pub fn enter(&self, chain: &mut Vec<Place>) {
        let find = |id: Uuid| chain.iter().position(|place| place.worker.id == id);
        let at = self.replaces.as_ref().and_then(|before| find(before.worker.id));
        let there = find(self.to.worker.id);
        match (at, there) {
            (Some(at), Some(there)) if at != there => {
                chain.remove(at);
            }
            (Some(at), _) => chain[at] = self.to.clone(),
            (None, Some(_)) => {}
            (None, None) => chain.push(self.to.clone()),
        }
    }
}

/// A worker that was drained need not hold its copy any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    pub key: ShardKey,
    pub at: Place,
}

/// What is being done and what must wait.
#[derive(Debug, Default)]
pub struct Work {
    pub running: BTreeSet<ShardKey>,
    pub barred: HashMap<(ShardKey, Uuid), Instant>,
    /// How often an epoch's copies failed: the next one is taken from another member.
    pub failures: BTreeMap<ShardKey, usize>,
    /// Copies that are of no more use when their epoch is whole, also of workers that are lost: these may come back with
    /// their disks.
    pub leaving: BTreeMap<ShardKey, Vec<Place>>,
    /// Copies that lack something: of workers that have lost a disk since, or that others know more than.
    pub doubted: BTreeSet<(ShardKey, Uuid)>,
    /// Copies that may have more than the chain, whose places were taken when nobody else was there who is known to have
    /// everything. They are merged into the chain when their workers come back.
    pub missed: BTreeMap<ShardKey, Vec<Place>>,
    /// Workers that may hold a part of a copy that failed, by shuffle.
    pub half: BTreeSet<(u32, Uuid)>,
}

impl Work {
    /// A shuffle was removed; what runs for it ends by itself.
    pub fn forget(&mut self, shuffle: u32) {
        self.barred.retain(|(key, _), _| key.shuffle != shuffle);
        self.failures.retain(|key, _| key.shuffle != shuffle);
        self.leaving.retain(|key, _| key.shuffle != shuffle);
        self.doubted.retain(|(key, _)| key.shuffle != shuffle);
        self.missed.retain(|key, _| key.shuffle != shuffle);
        self.half.retain(|(of, _)| *of != shuffle);
    }

    /// Whether somebody may have more of an epoch than its chain.
    pub fn misses(&self, key: &ShardKey) -> bool {
        self.missed.contains_key(key)
    }

    /// A copy has its place in the chain, and `before` has lost it.
    pub fn replaced(&mut self, key: ShardKey, before: &Place) {
        self.doubted.remove(&(key, before.worker.id));
        self.leaving.entry(key).or_default().push(before.clone());
    }

    /// All that is known to be whole may be in copies that were thought to be of no more use.
    pub fn miss(&mut self, key: ShardKey) {
        if let Some(leaving) = self.leaving.remove(&key) {
            self.missed.entry(key).or_default().extend(leaving);
        }
    }

    /// Takes a worker out of those that may have more than the chain; whether it was one.
    pub fn merged(&mut self, key: ShardKey, worker: Uuid) -> bool {
        let Some(places) = self.missed.get_mut(&key) else { return false };
        let before = places.len();
        places.retain(|place| place.worker.id != worker);
        let found = places.len() < before;
        if places.is_empty() {
            self.missed.remove(&key);
        }
        found
    }

    pub fn is_barred(&self, key: ShardKey, worker: Uuid) -> bool {
        self.barred.contains_key(&(key, worker))
    }

    pub fn failed(&mut self, key: ShardKey, worker: Uuid, now: Instant) {
        self.running.remove(&key);
        self.barred.insert((key, worker), now + BARRED_FOR);
        *self.failures.entry(key).or_default() += 1;
    }
}
