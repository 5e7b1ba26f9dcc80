//! What to copy next, so that as many workers hold each epoch as should. Pure.
//!
//! New data comes first: a shard whose newest chain has a member that is lost, draining or started anew, or that was too
//! short for want of workers that are there now, goes on in a new epoch ([`State::follow`]). Then the epochs before are put right, the ones with the fewest good members first:
//!
//! | a member is | copy from | to | and then |
//! |---|---|---|---|
//! | lost | another member | another worker | it takes the member's place |
//! | started anew | another member | itself, as it is now | it takes its own place |
//! | on a worker that lost a disk since | another member | another worker, or itself if there is none | likewise |
//! | started anew, and alone | | | it takes its own place: what it still has is there |
//! | draining | itself | another worker | it takes the member's place; the copy at the draining one is forgotten when no member of the chain is amiss |
//! | draining, and all other workers are members | itself | another member | the chain is shorter: nothing is lost |
//! | missing: the chain was too short from the start | a member | another worker | it joins |
//!
//! Where all members that are there started anew, one of these has to do as the source, and may lack what it had not
//! yet written. Any other that holds, or held, the epoch may then have more than the chain: it is remembered
//! ([`Work::missed`]). When it is there, a member takes what it has, the others are copied again from that member, and
//! what is in no chain is forgotten only then.
//!
//! A worker that failed to take a copy is not asked again for that epoch for a while ([`BARRED_FOR`](super::work::BARRED_FOR)); the next try goes to
//! another one, and from another member where there is one. A shuffle that was removed drops out of everything.

use std::{collections::BTreeSet, time::Instant};

use overhand_common::ids::ShardKey;
use uuid::Uuid;

use super::{
    cluster::{Standing, Worker},
    placing::{Fit, Spot},
    state::{State, names},
    work::{Copy, Forget, Job},
};
use crate::{Epoch, Layout, Place};

/// An epoch whose chain is not as it should be.
#[derive(Debug)]
struct Flaw<'a> {
    born: u64,
    key: ShardKey,
    layout: Layout,
    epoch: &'a Epoch,
    standings: Vec<Standing>,
    amiss: Amiss,
}

/// What is not as it should be.
#[derive(Debug)]
enum Amiss {
    /// This member.
    Member(usize),
    /// The chain is too short.
    Short,
    /// A worker that may have more than the chain is there.
    Missed(Place),
}

impl Flaw<'_> {
    /// Fewest good members first; there is none where somebody may have more.
    fn risk(&self) -> (usize, ShardKey) {
        let good = self.standings.iter().filter(|standing| **standing == Standing::Whole).count();
        (if matches!(self.amiss, Amiss::Missed(_)) { 0 } else { good }, self.key)
    }

    /// A copy that puts it right.
    fn copy(&self, from: Place, to: Place, replaces: Option<Place>) -> Copy {
        let mut members = self.epoch.chain.iter().zip(&self.standings);
        let partial = members
            .any(|(place, standing)| place.worker.id == from.worker.id && matches!(standing, Standing::Restarted(_)));
        Copy { born: self.born, key: self.key, layout: self.layout, from, to, replaces, partial }
    }

    /// The members but for the one that is amiss.
    fn others(&self) -> impl Iterator<Item = usize> {
        (0..self.standings.len()).filter(|at| !matches!(self.amiss, Amiss::Member(amiss) if amiss == *at))
    }
}

impl State {
    /// Opens new epochs for shards whose newest chain has a member that must not have new data, and takes over where
    /// workers are and who they are now.
    pub fn follow(&mut self, now: Instant) {
        self.work.barred.retain(|_, until| *until > now);
        for (shuffle, shards) in self.to_leave(now) {
            if let Err(error) = self.open(shuffle, &shards, &[], now) {
                // It is tried again with every change of the view, until a worker comes.
                tracing::debug!(shuffle, %error, "shards can't be moved off workers that leave");
            }
        }
        let mut changed = BTreeSet::new();
        let Self { cluster, shuffles, .. } = self;
        for (shuffle, known) in shuffles.iter_mut() {
            for epoch in known.shards.iter_mut().flatten() {
                let alone = epoch.chain.len() == 1;
                for place in &mut epoch.chain {
                    let Some(worker) = cluster.get(place.worker.id) else { continue };
                    let same = place.worker == worker.place.worker;
                    if (same || (alone && worker.place.worker > place.worker)) && *place != worker.place {
                        *place = worker.place.clone();
                        changed.insert(*shuffle);
                    }
                }
            }
        }
        for shuffle in changed {
            let version = self.next_version();
            self.shuffles.get_mut(&shuffle).expect("it was there a moment ago").version = version;
        }
    }

    /// The most urgent thing to do, which counts as running until [`State::copied`] or [`State::forgot`].
    pub fn next_job(&mut self, now: Instant) -> Option<Job> {
        if let Some(forget) = self.next_forget(now) {
            self.work.running.insert(forget.key);
            return Some(Job::Forget(forget));
        }
        let workers = Fit::there(&self.cluster, &self.suspects, &self.tags, now);
        let mut flaws = self.flaws(now);
        flaws.sort_by_cached_key(Flaw::risk);
        let copy = flaws.iter().find_map(|flaw| self.mend(flaw, &workers, now))?;
        if let Some(to) = workers.iter().find(|worker| worker.place == copy.to) {
            self.turns.took(to, &workers);
        }
        if let Some(known) = self.shuffles.get_mut(&copy.key.shuffle) {
            known.met(std::slice::from_ref(&copy.to));
        }
        self.work.running.insert(copy.key);
        Some(Job::Copy(copy))
    }

    fn flaws(&self, now: Instant) -> Vec<Flaw<'_>> {
        let mut flaws = vec![];
        let replicas = self.replicas();
        for (shuffle, known) in &self.shuffles {
            for (shard, epochs) in (0..).zip(&known.shards) {
                let Some((_, closed)) = epochs.split_last() else { continue };
                for epoch in closed {
                    let key = ShardKey { shuffle: *shuffle, shard, epoch: epoch.epoch };
                    if self.work.running.contains(&key) {
                        continue;
                    }
                    let standings = self.standings(key, epoch, now);
                    let amiss = |standing: &Standing| !matches!(standing, Standing::Whole | Standing::Silent);
                    let members = (0..standings.len()).filter(|at| amiss(&standings[*at])).map(Amiss::Member);
                    let short = epoch.chain.len() < replicas && !standings.iter().any(amiss);
                    let missed = self.work.missed.get(&key).into_iter().flatten();
                    let missed = missed.filter_map(|place| self.reachable(place, now)).map(Amiss::Missed);
                    for amiss in members.chain(short.then_some(Amiss::Short)).chain(missed) {
                        let (born, layout, standings) = (known.born, known.layout, standings.clone());
                        flaws.push(Flaw { born, key, layout, epoch, standings, amiss });
                    }
                }
            }
        }
        flaws
    }

    /// The copy that puts an epoch right, if it can be made now.
    fn mend(&self, flaw: &Flaw<'_>, workers: &[&Worker], now: Instant) -> Option<Copy> {
        let chain = &flaw.epoch.chain;
        let member = match &flaw.amiss {
            Amiss::Member(at) => Some(*at),
            Amiss::Short => None,
            Amiss::Missed(from) => {
                let to = self.whole(flaw).find(|place| place.worker.id != from.worker.id)?.clone();
                // What it adds to is taken for whole, whatever it has itself.
                return Some(Copy { partial: false, ..flaw.copy(from.clone(), to, None) });
            }
        };
        let replaces = member.map(|at| chain[at].clone());
        let (from, to) = match (member.map(|at| &flaw.standings[at]), &replaces) {
            (Some(Standing::Draining), Some(draining)) => (draining.clone(), self.instead(flaw, workers, now)?),
            (Some(Standing::Restarted(itself)), _) => {
                let id = itself.worker.id;
                let takes = workers.iter().any(|worker| worker.place == *itself) && !self.work.is_barred(flaw.key, id);
                let itself = || takes.then(|| itself.clone());
                let to = if self.work.doubted.contains(&(flaw.key, id)) {
                    // It still has some of it, and would have that twice.
                    self.another(flaw, workers).or_else(itself)?
                } else {
                    itself().or_else(|| self.another(flaw, workers))?
                };
                (self.source(flaw)?, to)
            }
            _ => (self.source(flaw)?, self.another(flaw, workers)?),
        };
        Some(flaw.copy(from, to, replaces))
    }

    /// Another member to copy from: a whole one if there is one, the next one after each failure.
    fn source(&self, flaw: &Flaw<'_>) -> Option<Place> {
        let of = |wanted: fn(&Standing) -> bool| -> Vec<_> {
            flaw.others().filter(|at| wanted(&flaw.standings[*at])).collect()
        };
        let mut sources = of(|standing| *standing == Standing::Whole);
        sources.extend(of(|standing| *standing == Standing::Draining));
        sources.extend(of(|standing| matches!(standing, Standing::Restarted(_))));
        let failures = self.work.failures.get(&flaw.key).copied().unwrap_or(0);
        let at = *sources.get(failures.checked_rem(sources.len())?)?;
        match &flaw.standings[at] {
            Standing::Restarted(now) => Some(now.clone()),
            _ => Some(flaw.epoch.chain[at].clone()),
        }
    }

    /// A worker that is no member and that did not just fail to take this.
    fn another(&self, flaw: &Flaw<'_>, workers: &[&Worker]) -> Option<Place> {
        let chain = &flaw.epoch.chain;
        let is_member = |id: Uuid| chain.iter().any(|place| place.worker.id == id);
        let left = workers.iter().copied().filter(|worker| !is_member(worker.id()));
        let left = left.filter(|worker| !self.work.is_barred(flaw.key, worker.id()));
        let spots: Vec<_> = flaw.others().map(|at| Spot::find(&self.cluster, &chain[at])).collect();
        self.turns.first(left, &spots, &[]).map(|worker| worker.place.clone())
    }

    /// Who takes what a draining member has: another worker, or, if each one that there is or may soon be again is a
    /// member, one of these.
    fn instead(&self, flaw: &Flaw<'_>, workers: &[&Worker], now: Instant) -> Option<Place> {
        if let Some(other) = self.another(flaw, workers) {
            return Some(other);
        }
        let chain = &flaw.epoch.chain;
        let is_member = |worker: &&Worker| chain.iter().any(|place| place.worker.id == worker.id());
        let takes = |worker: &&Worker| !worker.draining && self.tags.iter().all(|tag| worker.tags.contains(tag));
        if self.cluster.alive().chain(self.cluster.silent(now)).filter(takes).any(|worker| !is_member(&worker)) {
            return None;
        }
        self.whole(flaw).next().cloned()
    }

    /// The members that have everything and did not just fail to take something of this.
    fn whole<'a>(&self, flaw: &'a Flaw<'_>) -> impl Iterator<Item = &'a Place> {
        let members = flaw.epoch.chain.iter().zip(&flaw.standings);
        let whole = members.filter(|(_, standing)| **standing == Standing::Whole).map(|(place, _)| place);
        whole.filter(|place| !self.work.is_barred(flaw.key, place.worker.id))
    }

    /// A copy was made or has failed. Says whether the target must be told to delete the shuffle, which is not there any
    /// more.
    pub fn copied(&mut self, copy: &Copy, made: bool, now: Instant) -> bool {
        self.work.running.remove(&copy.key);
        let shuffle = copy.key.shuffle;
        match self.shuffles.get_mut(&shuffle) {
            // It may have forgotten all else of the shuffle meanwhile.
            Some(known) if known.born == copy.born => known.met(std::slice::from_ref(&copy.to)),
            Some(_) => return false,
            None => return true,
        }
        if !made {
            self.health.copies_failed += 1;
            self.work.failed(copy.key, copy.to.worker.id, now);
            self.work.half.insert((shuffle, copy.to.worker.id));
            return false;
        }
        self.health.copies_made += 1;
        self.work.failures.remove(&copy.key);
        let version = self.next_version();
        let Self { shuffles, work, .. } = self;
        let known = shuffles.get_mut(&shuffle).expect("looked up above");
        known.version = version;
        let epochs = &mut known.shards[copy.key.shard as usize];
        let Some(epoch) = epochs.iter_mut().find(|epoch| epoch.epoch == copy.key.epoch) else { return false };
        let (from, to) = (copy.from.worker.id, copy.to.worker.id);
        let others = epoch.chain.iter().filter(|place| ![from, to].contains(&place.worker.id));
        if copy.partial {
            work.miss(copy.key, others);
        }
        let merges = copy.enter(&mut epoch.chain);
        work.doubted.remove(&(copy.key, to));
        work.stays(copy.key, to);
        if let Some(before) = copy.replaces.as_ref().filter(|before| before.worker.id != to) {
            work.replaced(copy.key, before);
        }
        if merges {
            work.merged(copy, &epoch.chain);
        }
        tracing::info!(key = %copy.key, chain = %names(&epoch.chain), "an epoch was copied");
        false
    }

    /// A worker whose copy of an epoch is of no more use, where the chain is as it should be.
    fn next_forget(&self, now: Instant) -> Option<Forget> {
        let whole = |key: ShardKey| {
            let epochs = self.shuffles.get(&key.shuffle).map(|known| &known.shards[key.shard as usize]);
            let epoch = epochs.and_then(|epochs| epochs.iter().find(|epoch| epoch.epoch == key.epoch));
            let good = |place: &Place| {
                let whole = self.standing(key, &place.worker, now) == Standing::Whole;
                // One that is yet to be merged may lack what others have, too.
                whole && !self.work.misses(key, place.worker.id)
            };
            epoch.is_some_and(|epoch| epoch.chain.iter().all(good))
        };
        let mut idle = self.work.leaving.iter().filter(|(key, _)| !self.work.running.contains(key));
        idle.find_map(|(key, places)| {
            let mut due = places.iter().filter(|place| !self.work.is_barred(*key, place.worker.id));
            let at = due.find_map(|place| self.reachable(place, now)).filter(|_| whole(*key))?;
            Some(Forget { key: *key, at })
        })
    }

    /// Where a worker is now, if it is there.
    fn reachable(&self, place: &Place, now: Instant) -> Option<Place> {
        let gone = matches!(self.cluster.standing(&place.worker, now), Standing::Silent | Standing::Lost);
        self.cluster.get(place.worker.id).filter(|_| !gone).map(|worker| worker.place.clone())
    }

    /// A worker has forgotten its copy, or failed to.
    pub fn forgot(&mut self, forget: &Forget, done: bool, now: Instant) {
        if !done {
            self.work.failed(forget.key, forget.at.worker.id, now);
            return;
        }
        self.work.running.remove(&forget.key);
        let id = forget.at.worker.id;
        self.work.stays(forget.key, id);
        let left = |key: &ShardKey, places: &Vec<Place>| {
            key.shuffle == forget.key.shuffle && places.iter().any(|place| place.worker.id == id)
        };
        let leaving = self.work.leaving.iter().chain(&self.work.missed).any(|(key, places)| left(key, places))
            || self.work.half.contains(&(forget.key.shuffle, id));
        if let Some(known) = self.shuffles.get_mut(&forget.key.shuffle) {
            let member = |epoch: &Epoch| epoch.chain.iter().any(|place| place.worker.id == id);
            if !leaving && !known.shards.iter().flatten().any(member) {
                known.ever.remove(&id);
            }
        }
    }

    /// When there may be something to do that nothing else will say.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let barred = self.work.barred.values().copied().filter(|until| *until > now).min();
        [self.cluster.next_loss(now), self.suspects.next_end(now), barred].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
