//! What a driver knows: the workers, who is suspected, and where each shuffle is. Pure: events come with their time, and
//! nothing here waits for anybody.
//!
//! # When an epoch is opened
//! - A task can't write to a chain ([`Trouble::Broken`]): all shards of the shuffle whose newest chain has the suspect
//!   move at once. A complaint about an epoch that is not the newest opens nothing, so however many tasks meet one
//!   failure, each shard moves once.
//! - A shard has grown too large ([`Trouble::Split`]): that one moves, to other workers where there are some.
//! - A member of the newest chain is lost, draining or started anew, or the chain could be longer by now: see `plan`.
//!
//! Every change takes the next of one row of version numbers, so that a shuffle that takes the id of a removed one
//! is newer than that was.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use overhand_common::{ids::ShardKey, message::MAX_CHAIN};
use uuid::Uuid;

use super::{
    ApplicationConfig, Health,
    cluster::{Answer, Cluster, Standing},
    placing::{Fit, Turns, layout},
    suspects::Suspects,
    work::Work,
};
use crate::{Epoch, Error, ErrorKind, Layout, Place, Result, Trouble, WorkerId};

/// Where only suspects are left, a shuffle moves to one of them at most so often in [`LAST_RESORTS_WITHIN`]. Writers rest
/// longer and longer between such tries; this bounds what many of them do together.
const LAST_RESORTS: u32 = 100;
const LAST_RESORTS_WITHIN: Duration = Duration::from_secs(10);

/// What a driver knows.
#[derive(Debug)]
pub struct State {
    /// As the application wants it; else the coordinators say.
    replicas: Option<u32>,
    pub tags: Vec<String>,
    pub cluster: Cluster,
    pub suspects: Suspects,
    pub turns: Turns,
    pub shuffles: BTreeMap<u32, Shuffle>,
    pub work: Work,
    pub health: Health,
    versions: u64,
    /// Whether the log was told that there are fewer workers than replicas.
    told_too_few: bool,
}

/// Where one shuffle is.
#[derive(Debug, Clone)]
pub struct Shuffle {
    /// The version that it started with: tells it from another one of the same id.
    pub born: u64,
    pub version: u64,
    pub layout: Layout,
    pub shards: Vec<Vec<Epoch>>,
    /// Every worker that may hold something of it.
    pub ever: HashMap<Uuid, Place>,
    /// Since when how often it moved to a suspect, for want of others.
    last_resorts: Option<(Instant, u32)>,
}

impl Shuffle {
    fn newest(&self, shard: u32) -> Result<&Epoch> {
        let epochs = self.shards.get(shard as usize);
        epochs.and_then(|epochs| epochs.last()).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("shard {shard} of a shuffle with {} shards", self.shards.len()))
        })
    }

    /// The shards whose newest epoch is like this.
    fn shards_whose_newest(&self, like: impl Fn(u32, &Epoch) -> bool) -> Vec<u32> {
        let shards = (0..).zip(&self.shards);
        let like = shards.filter(|(shard, epochs)| epochs.last().is_some_and(|newest| like(*shard, newest)));
        like.map(|(shard, _)| shard).collect()
    }

    /// All epochs of this shuffle, whose number is not its own to know.
    fn epochs(&self, shuffle: u32) -> impl Iterator<Item = (ShardKey, &Epoch)> {
        let shards = (0..).zip(&self.shards);
        let key = move |shard, epoch: &Epoch| ShardKey { shuffle, shard, epoch: epoch.epoch };
        shards.flat_map(move |(shard, epochs)| epochs.iter().map(move |epoch| (key(shard, epoch), epoch)))
    }

    /// Remembers that these workers may hold something of it.
    pub fn met(&mut self, places: &[Place]) {
        self.ever.extend(places.iter().map(|place| (place.worker.id, place.clone())));
    }
}

fn has(epoch: &Epoch, like: impl Fn(&WorkerId) -> bool) -> bool {
    epoch.chain.iter().any(|place| like(&place.worker))
}

impl State {
    pub fn new(config: &ApplicationConfig) -> Self {
        Self {
            replicas: config.replicas.filter(|replicas| *replicas > 0),
            tags: config.tags.clone(),
            cluster: Cluster::new(config.repair_after),
            suspects: Suspects::default(),
            turns: Turns::new(&config.app),
            shuffles: BTreeMap::new(),
            work: Work::default(),
            health: Health::default(),
            versions: 0,
            told_too_few: false,
        }
    }

    /// Takes the last answers of the coordinators that are in reach.
    pub fn see<'a>(&mut self, answers: impl Iterator<Item = &'a Answer>, now: Instant) {
        let news = self.cluster.see(answers, now);
        news.lost_a_disk.into_iter().for_each(|worker| self.doubt(worker));
        // What tasks complained about was that it stopped.
        news.started_again.iter().for_each(|worker| self.suspects.forgive(worker));
    }

    /// A worker lost a disk, and nobody knows what was on it: each of its copies that another worker has too is to be made
    /// again.
    fn doubt(&mut self, worker: Uuid) {
        let copies =
            self.epochs().filter(|(_, epoch)| epoch.chain.len() > 1 && has(epoch, |member| member.id == worker));
        let copies: Vec<_> = copies.map(|(key, _)| (key, worker)).collect();
        tracing::error!(%worker, epochs = copies.len(), "a worker lost a disk: what it held is copied again");
        self.work.doubted.extend(copies);
    }

    /// How a member of an epoch's chain fares. One that lost a disk is as one that started anew.
    pub fn standing(&self, key: ShardKey, member: &WorkerId, now: Instant) -> Standing {
        match (self.cluster.standing(member, now), self.cluster.get(member.id)) {
            (Standing::Whole | Standing::Draining, Some(worker)) if self.work.doubted.contains(&(key, member.id)) => {
                Standing::Restarted(worker.place.clone())
            }
            (standing, _) => standing,
        }
    }

    /// How many workers should hold each byte.
    pub fn replicas(&self) -> usize {
        (self.replicas.unwrap_or(self.cluster.replicas()) as usize).clamp(1, MAX_CHAIN)
    }

    /// Where a shuffle is; places it if it is new.
    ///
    /// # Errors
    /// `Backpressure` if the tenant is over its quota, `NotFound` if no worker takes new data, `Invalid` if
    /// `partitions` is out of bounds or the shuffle is there with another number.
    pub fn place(&mut self, shuffle: u32, partitions: u32, now: Instant) -> Result<&Shuffle> {
        if let Some(known) = self.shuffles.get(&shuffle) {
            if known.layout.partitions() != partitions {
                let text = format!(
                    "shuffle {shuffle} has {} partitions, not {partitions}: remove it first",
                    known.layout.partitions()
                );
                return Err(Error::new(ErrorKind::Invalid, text));
            }
            return self.get(shuffle);
        }
        let over = self.cluster.over_quota();
        if !over.is_empty() {
            return Err(Error::new(ErrorKind::Backpressure, format!("shuffle {shuffle} was refused: {over}")));
        }
        let layout = {
            let fit = Fit::find(&self.cluster, &self.suspects, &self.tags, now)?;
            layout(partitions, fit.workers.len())?
        };
        let born = self.next_version();
        let shards = vec![vec![]; layout.shards() as usize];
        let new = Shuffle { born, version: born, layout, shards, ever: HashMap::new(), last_resorts: None };
        self.shuffles.insert(shuffle, new);
        let shards: Vec<_> = (0..layout.shards()).collect();
        self.open(shuffle, &shards, &[], now)?;
        self.get(shuffle)
    }

    /// A shuffle that was placed.
    ///
    /// # Errors
    /// `NotFound` if it was not, or was removed.
    pub fn get(&self, shuffle: u32) -> Result<&Shuffle> {
        self.shuffles.get(&shuffle).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("shuffle {shuffle} is not there: it was removed, or never placed"))
        })
    }

    /// Forgets a shuffle and returns every worker that may hold something of it, where it is now.
    pub fn remove(&mut self, shuffle: u32) -> Vec<Place> {
        let Some(known) = self.shuffles.remove(&shuffle) else { return vec![] };
        self.work.forget(shuffle);
        let now_at = |place: &Place| self.cluster.get(place.worker.id).map(|worker| worker.place.clone());
        known.ever.into_values().map(|place| now_at(&place).unwrap_or(place)).collect()
    }

    /// Does what a task's trouble calls for, and returns the shuffle as it is then.
    ///
    /// # Errors
    /// `NotFound` if there is no such shuffle or no worker to move it to, `Backpressure` if all that are left
    /// failed lately, `Invalid` if the trouble is about a shard or an epoch that can't be known.
    pub fn trouble(&mut self, shuffle: u32, trouble: &Trouble, now: Instant) -> Result<&Shuffle> {
        match trouble {
            Trouble::Unreadable => {}
            Trouble::Broken { shard, epoch, suspect, why } => {
                if let Some(newest) = self.about_newest(shuffle, *shard, *epoch)? {
                    let member = suspect.filter(|suspect| has(newest, |member| member == suspect));
                    let suspect = member.unwrap_or(newest.primary().worker);
                    self.broken(shuffle, *shard, suspect, why, now)?;
                }
            }
            Trouble::Split { shard, epoch } => {
                if let Some(newest) = self.about_newest(shuffle, *shard, *epoch)? {
                    let members: Vec<_> = newest.chain.iter().map(|place| place.worker.id).collect();
                    self.open(shuffle, &[*shard], &members, now)?;
                    tracing::info!(shuffle, shard, epoch, "a shard has grown large and goes on in another epoch");
                }
            }
        }
        self.get(shuffle)
    }

    /// The newest epoch of a shard, if that is what `epoch` is.
    fn about_newest(&self, shuffle: u32, shard: u32, epoch: u32) -> Result<Option<&Epoch>> {
        let newest = self.get(shuffle)?.newest(shard)?;
        if epoch > newest.epoch {
            let text = format!("epoch {epoch} of shard {shard} of shuffle {shuffle}: the newest is {}", newest.epoch);
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok((epoch == newest.epoch).then_some(newest))
    }

    fn broken(&mut self, shuffle: u32, shard: u32, suspect: WorkerId, why: &str, now: Instant) -> Result<()> {
        self.suspects.add(suspect, now);
        let known = self.get(shuffle)?;
        let shards = known.shards_whose_newest(|_, newest| has(newest, |member| *member == suspect));
        let recent = known.last_resorts.filter(|(since, _)| now.duration_since(*since) < LAST_RESORTS_WITHIN);
        let (since, resorts) = recent.unwrap_or((now, 0));
        let last_resort = Fit::find(&self.cluster, &self.suspects, &self.tags, now)?.suspect;
        if last_resort && resorts == LAST_RESORTS {
            let text = format!(
                "shuffle {shuffle} shard {shard}: worker {suspect} failed ({why}), and all that are left failed lately: \
                 they were tried {resorts} times"
            );
            return Err(Error::new(ErrorKind::Backpressure, text));
        }
        tracing::warn!(shuffle, shard, worker = %suspect, why, shards = shards.len(), "chain broken");
        self.health.chains_broken += shards.len() as u64;
        self.open(shuffle, &shards, &[], now)?;
        if let Some(known) = self.shuffles.get_mut(&shuffle) {
            known.last_resorts = last_resort.then_some((since, resorts + 1));
        }
        Ok(())
    }

    /// Opens the next epoch of each of `shards`, on other workers than `avoided` where possible.
    pub fn open(&mut self, shuffle: u32, shards: &[u32], avoided: &[Uuid], now: Instant) -> Result<()> {
        let replicas = self.replicas();
        let version = self.next_version();
        let fit = Fit::find(&self.cluster, &self.suspects, &self.tags, now)?;
        let Some(known) = self.shuffles.get_mut(&shuffle) else { return Ok(()) };
        let mut shortest = replicas;
        for shard in shards {
            let chain = self.turns.chain(&fit.workers, replicas, avoided);
            shortest = shortest.min(chain.len());
            known.met(&chain);
            let epochs = &mut known.shards[*shard as usize];
            let epoch = epochs.last().map_or(0, |newest| newest.epoch + 1);
            if epoch > 0 {
                self.health.epochs_opened += 1;
                tracing::info!(shuffle, shard, epoch, chain = %names(&chain), "epoch opened");
            }
            epochs.push(Epoch { epoch, chain });
        }
        known.version = version;
        if shortest < replicas && !std::mem::replace(&mut self.told_too_few, true) {
            tracing::warn!(replicas, workers = shortest, "under-replicated: fewer workers take new data than replicas");
        } else if shortest == replicas {
            self.told_too_few = false;
        }
        Ok(())
    }

    /// The shards whose newest chain can't take data as it should, for what a worker is or does, or for being too short.
    pub fn to_leave(&self, now: Instant) -> Vec<(u32, Vec<u32>)> {
        let there = Fit::there(&self.cluster, &self.suspects, &self.tags, now).len().min(self.replicas());
        let shuffles = self.shuffles.iter().map(|(shuffle, known)| {
            let unfit = |shard, epoch: &Epoch| {
                let key = ShardKey { shuffle: *shuffle, shard, epoch: epoch.epoch };
                epoch.chain.len() < there
                    || has(epoch, |member| {
                        let standing = self.standing(key, member, now);
                        matches!(standing, Standing::Draining | Standing::Restarted(_) | Standing::Lost)
                    })
            };
            (*shuffle, known.shards_whose_newest(unfit))
        });
        shuffles.filter(|(_, shards)| !shards.is_empty()).collect()
    }

    pub fn next_version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    /// How the data fares now.
    pub fn health(&self, now: Instant) -> Health {
        let short: Vec<_> = self
            .epochs()
            .filter(|(key, epoch)| {
                self.work.missed.contains_key(key) || self.holders(*key, epoch, now) < self.replicas()
            })
            .collect();
        let mut health = Health { under_replicated_epochs: short.len() as u64, ..self.health.clone() };
        if !short.is_empty() {
            let mut epochs = HashMap::<Uuid, u64>::new();
            let members = self.epochs().flat_map(|(_, epoch)| &epoch.chain);
            members.for_each(|place| *epochs.entry(place.worker.id).or_default() += 1);
            let each = |place: &Place| Some(self.cluster.get(place.worker.id)?.held / epochs[&place.worker.id]);
            let bytes = short.iter().filter_map(|(_, epoch)| epoch.chain.iter().filter_map(each).max());
            health.under_replicated_bytes = bytes.sum();
        }
        health
    }

    /// How each member of an epoch's chain fares.
    pub fn standings(&self, key: ShardKey, epoch: &Epoch, now: Instant) -> Vec<Standing> {
        epoch.chain.iter().map(|place| self.standing(key, &place.worker, now)).collect()
    }

    /// How many members of an epoch's chain hold it.
    fn holders(&self, key: ShardKey, epoch: &Epoch, now: Instant) -> usize {
        let holds = |standing: &&Standing| matches!(standing, Standing::Whole | Standing::Draining | Standing::Silent);
        self.standings(key, epoch, now).iter().filter(holds).count()
    }

    /// All epochs of all shuffles.
    pub fn epochs(&self) -> impl Iterator<Item = (ShardKey, &Epoch)> {
        self.shuffles.iter().flat_map(|(shuffle, known)| known.epochs(*shuffle))
    }
}

/// Workers, for the log.
pub fn names(chain: &[Place]) -> String {
    let names: Vec<_> = chain.iter().map(|place| format!("{} at {}", place.worker, place.address)).collect();
    names.join(", ")
}

#[cfg(test)]
pub mod tests;
