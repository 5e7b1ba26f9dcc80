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
    /// Puts the target where it belongs in the chain; whether nothing changes by that, because a member takes what somebody
    /// may have more.
    pub fn enter(&self, chain: &mut Vec<Place>) -> bool {
        let find = |id: Uuid| chain.iter().position(|place| place.worker.id == id);
        let at = self.replaces.as_ref().and_then(|before| find(before.worker.id));
        let there = find(self.to.worker.id);
        match (at, there) {
            (Some(at), Some(there)) if at != there => {
                chain.remove(at);
            }
            (Some(at), _) => chain[at] = self.to.clone(),
            (None, Some(_)) => return true,
            (None, None) => chain.push(self.to.clone()),
        }
        false
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
    /// Copies that may have more than the members that are taken for whole: these were made when nobody was there who is
    /// known to have everything. They are merged into the chain when their workers are there.
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

    /// `before` has lost its place in a chain.
    pub fn replaced(&mut self, key: ShardKey, before: &Place) {
        self.doubted.remove(&(key, before.worker.id));
        if !self.misses(key, before.worker.id) {
            self.leaving.entry(key).or_default().push(before.clone());
        }
    }

    /// A worker's copy is not to be forgotten any more: it is of use again, or was forgotten.
    pub fn stays(&mut self, key: ShardKey, worker: Uuid) {
        take_out(&mut self.leaving, key, worker);
    }

    /// These may have more than the members that are taken for whole, and so may those whose copies seemed to be of no use.
    pub fn miss<'a>(&mut self, key: ShardKey, places: impl Iterator<Item = &'a Place>) {
        let mut places: Vec<_> = places.cloned().chain(self.leaving.remove(&key).unwrap_or_default()).collect();
        places.retain(|place| !self.misses(key, place.worker.id));
        if !places.is_empty() {
            self.missed.entry(key).or_default().extend(places);
        }
    }

    /// Whether a worker may have more of an epoch than the members that are taken for whole.
    pub fn misses(&self, key: ShardKey, worker: Uuid) -> bool {
        self.missed.get(&key).is_some_and(|places| places.iter().any(|place| place.worker.id == worker))
    }

    /// `copy.to` has what `copy.from` may have had more, and of the members of `chain` it alone: the others, `copy.from` too,
    /// may lack what it has.
    pub fn merged(&mut self, copy: &Copy, chain: &[Place]) {
        let Copy { key, from, to, .. } = copy;
        take_out(&mut self.missed, *key, from.worker.id);
        for place in chain.iter().filter(|place| *place != to) {
            if !self.misses(*key, place.worker.id) {
                self.doubted.insert((*key, place.worker.id));
            }
        }
        if chain.iter().all(|place| place.worker.id != from.worker.id) {
            self.leaving.entry(*key).or_default().push(from.clone());
        }
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

fn take_out(copies: &mut BTreeMap<ShardKey, Vec<Place>>, key: ShardKey, worker: Uuid) {
    if let Some(places) = copies.get_mut(&key) {
        places.retain(|place| place.worker.id != worker);
        if places.is_empty() {
            copies.remove(&key);
        }
    }
}
