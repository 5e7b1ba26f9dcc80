//! Which workers the shards of a shuffle go to. Pure and deterministic.
//!
//! Workers take turns, by stride: each time that one is chosen its *pass* grows by an amount that is the smaller the
//! more memory and disk it has free, and who has the lowest pass is next. So similar workers get similar shares, over
//! shards and over shuffles. Among equals a hash decides that is other for each application and each turn: that spreads
//! small applications, and mixes the pairs of workers that share a chain. A worker that joins starts at the lowest
//! pass of the others.
//!
//! The members of a chain are on distinct hosts and in distinct zones when it can be helped.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Instant,
};

use uuid::Uuid;

use super::{
    cluster::{Cluster, Standing, Worker, host_of},
    suspects::Suspects,
};
use crate::{AppId, Error, ErrorKind, Layout, Place, Result};

/// With fewer partitions a further shard costs more (a frame and a commit for each map task) than it brings.
const PARTITIONS_PER_SHARD: u32 = 128;
const SHARDS_PER_WORKER: u32 = 2;
/// A worker whose memory is used this far gets new data only if all are.
const BUSY: f64 = 0.9;
/// Weights are 1 to this.
const HEAVIEST: u64 = 8;
/// Divisible by every weight.
const STRIDE: u64 = 840;

/// How `partitions` are split, with so many workers at hand.
pub fn layout(partitions: u32, workers: usize) -> Result<Layout> {
    let most = SHARDS_PER_WORKER.saturating_mul(workers as u32).max(1);
    Ok(Layout::new(partitions, (partitions / PARTITIONS_PER_SHARD).clamp(1, most))?)
}

/// Workers that take new data.
#[derive(Debug)]
pub struct Fit<'a> {
    pub workers: Vec<&'a Worker>,
    /// Whether they are suspects, for want of others.
    pub suspect: bool,
}

impl<'a> Fit<'a> {
    /// Those of `cluster` that have all of `tags`, are not draining, have room and that nobody complained about; if there are
    /// none, silent ones, and if there are none either, the one that was not complained about for longest: with any luck it is
    /// well again, and it alone is more likely to be than it and another.
    ///
    /// # Errors
    /// `NotFound` if there is none at all.
    pub fn find(cluster: &'a Cluster, suspects: &Suspects, tags: &[String], now: Instant) -> Result<Self> {
        let takes = |worker: &&Worker| !worker.draining && tags.iter().all(|tag| worker.tags.contains(tag));
        let (suspected, mut good): (Vec<_>, Vec<_>) =
            cluster.alive().filter(takes).partition(|worker| suspects.last(&worker.place.worker, now).is_some());
        // One with no room on any disk takes nothing, unless nobody says how much room there is.
        if good.iter().any(|worker| worker.disk_free > 0) {
            good.retain(|worker| worker.disk_free > 0);
        }
        if !good.is_empty() {
            return Ok(Self { workers: good, suspect: false });
        }
        let (silent_suspects, silent): (Vec<_>, Vec<_>) =
            cluster.silent(now).filter(takes).partition(|worker| suspects.last(&worker.place.worker, now).is_some());
        if !silent.is_empty() {
            return Ok(Self { workers: silent, suspect: false });
        }
        let all = suspected.into_iter().chain(silent_suspects);
        let first = all.min_by_key(|worker| suspects.last(&worker.place.worker, now));
        let workers = first.map(|worker| vec![worker]).ok_or_else(|| nobody(cluster, tags))?;
        Ok(Self { workers, suspect: true })
    }

    /// As [`Fit::find`], but only those that are there and that nobody complained about.
    pub fn there(cluster: &'a Cluster, suspects: &Suspects, tags: &[String], now: Instant) -> Vec<&'a Worker> {
        let found = Self::find(cluster, suspects, tags, now).ok().filter(|fit| !fit.suspect);
        let mut workers = found.map(|fit| fit.workers).unwrap_or_default();
        workers.retain(|worker| cluster.standing(&worker.place.worker, now) == Standing::Whole);
        workers
    }
}

fn nobody(cluster: &Cluster, tags: &[String]) -> Error {
    let (known, draining) = (cluster.alive().count(), cluster.alive().filter(|worker| worker.draining).count());
    let tagged = match tags {
        [] => String::new(),
        tags => format!(", and only those with the tags {} are wanted", tags.join(", ")),
    };
    let text = format!(
        "no worker takes new data ({known} are known, {draining} of them draining{tagged}): is one running, and does \
         it report to these coordinators?"
    );
    Error::new(ErrorKind::NotFound, text)
}

/// Whose turn it is.
#[derive(Debug)]
pub struct Turns {
    seed: u64,
    turn: u64,
    passes: HashMap<Uuid, Pass>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Pass {
    /// As any member of a chain.
    member: u64,
    /// As a primary.
    primary: u64,
}

impl Turns {
    pub fn new(app: &AppId) -> Self {
        Self { seed: hash(app), turn: 0, passes: HashMap::new() }
    }

    /// A chain of up to `len` of these workers, others than `avoided` if possible; empty only if there are none.
    pub fn chain(&mut self, workers: &[&Worker], len: usize, avoided: &[Uuid]) -> Vec<Place> {
        self.meet(workers);
        let mut chain: Vec<&Worker> = vec![];
        while chain.len() < len {
            let left = workers.iter().copied().filter(|worker| chain.iter().all(|member| member.id() != worker.id()));
            let spots: Vec<_> = chain.iter().map(|member| Spot::of(member)).collect();
            let Some(next) = self.first(left, &spots, avoided) else { break };
            self.took(next, workers);
            chain.push(next);
        }
        let primary = (0..chain.len()).min_by_key(|at| self.passes[&chain[*at].id()].primary);
        if let Some(primary) = primary {
            chain.swap(0, primary);
            let pass = self.passes.get_mut(&chain[0].id()).expect("it was met above");
            pass.primary += STRIDE / weight(chain[0], workers);
        }
        chain.into_iter().map(|worker| worker.place.clone()).collect()
    }

    /// Who of `left` should join a chain whose members are on `spots`.
    pub fn first<'a>(
        &self,
        left: impl Iterator<Item = &'a Worker>,
        spots: &[Spot<'_>],
        avoided: &[Uuid],
    ) -> Option<&'a Worker> {
        left.min_by_key(|worker| {
            let spot = Spot::of(worker);
            let pass = self.passes.get(&worker.id()).map_or(0, |pass| pass.member);
            (
                avoided.contains(&worker.id()),
                spots.iter().filter(|other| other.host == spot.host).count(),
                spots.iter().filter(|other| !spot.zone.is_empty() && other.zone == spot.zone).count(),
                is_busy(worker),
                pass,
                hash((self.seed, self.turn, worker.id())),
            )
        })
    }

    /// A worker was chosen out of `among`.
    pub fn took(&mut self, worker: &Worker, among: &[&Worker]) {
        self.turn += 1;
        self.passes.entry(worker.id()).or_default().member += STRIDE / weight(worker, among);
    }

    /// Lets workers join that were not there at the last turn, and forgets those that are not there any more.
    fn meet(&mut self, workers: &[&Worker]) {
        let here = |id: &Uuid| workers.iter().any(|worker| worker.id() == *id);
        self.passes.retain(|id, _| here(id));
        let start = Pass {
            member: self.passes.values().map(|pass| pass.member).min().unwrap_or(0),
            primary: self.passes.values().map(|pass| pass.primary).min().unwrap_or(0),
        };
        for worker in workers {
            self.passes.entry(worker.id()).or_insert(start);
        }
    }
}

/// Where something can fail as one.
#[derive(Debug, Clone, Copy)]
pub struct Spot<'a> {
    host: &'a str,
    zone: &'a str,
}

impl<'a> Spot<'a> {
    pub fn of(worker: &'a Worker) -> Self {
        Self { host: &worker.host, zone: &worker.zone }
    }

    /// Of a member of a chain, which may have been forgotten.
    pub fn find(cluster: &'a Cluster, place: &'a Place) -> Self {
        let unknown = Self { host: host_of(&place.address), zone: "" };
        cluster.get(place.worker.id).map_or(unknown, Self::of)
    }
}

fn is_busy(worker: &Worker) -> bool {
    worker.memory_used as f64 > BUSY * worker.memory_budget as f64
}

/// 1 to [`HEAVIEST`]: how much memory and disk is free, beside the one of `workers` that has most. In steps, so that
/// similar workers weigh the same.
fn weight(worker: &Worker, workers: &[&Worker]) -> u64 {
    let share = |free: fn(&Worker) -> u64| {
        let most = workers.iter().map(|worker| free(worker)).max().unwrap_or(0);
        if most == 0 { 1.0 } else { free(worker) as f64 / most as f64 }
    };
    let memory = share(|worker| worker.memory_budget.saturating_sub(worker.memory_used));
    let disk = share(|worker| worker.disk_free);
    (((memory + disk) / 2.0 * HEAVIEST as f64).round() as u64).clamp(1, HEAVIEST)
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
