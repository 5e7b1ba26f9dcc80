//! What the coordinators say of the workers, joined into one view. Pure: events come with their time.
//!
//! A worker that any coordinator takes for alive is alive; of two incarnations the newer one counts; it is draining if
//! anybody says so. One that no coordinator names any more is *silent*, and *lost* when that has lasted for a while. As
//! long as no coordinator is in reach, nobody becomes lost: the view stays.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use overhand_proto::v1::WorkerInfo;
use uuid::Uuid;

use crate::{Place, WorkerId};

/// A worker that was lost for that long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// A worker as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    pub place: Place,
    pub host: String,
    /// Empty where nothing is known.
    pub zone: String,
    pub tags: Vec<String>,
    pub memory_budget: u64,
    pub memory_used: u64,
    pub disk_free: u64,
    pub draining: bool,
    /// How often it lost a disk since it started.
    pub disks_lost: u64,
    /// Another number for each start of its process; 0 if it does not say.
    pub start: u64,
    /// Bytes of this application that it holds, as it last reported.
    pub held: u64,
}

impl Worker {
    /// What a coordinator says of a worker; none if that makes no sense.
    pub fn read(info: WorkerInfo) -> Option<Self> {
        let Ok(id) = info.id.parse::<Uuid>() else {
            tracing::warn!(worker = info.id, "a coordinator names a worker whose id is no UUID: it is left out");
            return None;
        };
        let place =
            Place { worker: WorkerId { id, incarnation: info.incarnation }, address: info.data_address.clone() };
        let host = if info.host.is_empty() { host_of(&info.data_address).to_owned() } else { info.host };
        Some(Self {
            place,
            host,
            zone: info.zone,
            tags: info.tags,
            memory_budget: info.memory_budget,
            memory_used: info.memory_used,
            disk_free: info.disk_free,
            draining: info.draining,
            disks_lost: info.disks_lost,
            start: info.start,
            held: info.held,
        })
    }

    /// The worker's id, whatever its incarnation.
    pub fn id(&self) -> Uuid {
        self.place.worker.id
    }
}

/// The host's part of `host:port`.
pub fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// What one coordinator answered last.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub workers: Vec<Worker>,
    /// 0 if it does not say.
    pub replicas: u32,
    /// Empty unless the tenant is over its quota.
    pub over_quota: String,
}

impl Answer {
    /// What a coordinator answered, without the workers that make no sense.
    pub fn read(workers: Vec<WorkerInfo>, replicas: u32, over_quota: String) -> Self {
        Self { workers: workers.into_iter().filter_map(Worker::read).collect(), replicas, over_quota }
    }
}

/// How a member of a chain fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is alive and holds what it was given.
    Whole,
    /// As whole, but it wants to be rid of its data.
    Draining,
    /// It is alive, started anew, and may have lost something. Where it is, and who it is now.
    Restarted(Place),
    /// No coordinator names it any more, for now.
    Silent,
    /// It has been silent for so long that it is taken for gone.
    Lost,
}

/// The workers.
#[derive(Debug)]
pub struct Cluster {
    workers: BTreeMap<Uuid, Known>,
    lost_after: Duration,
    replicas: u32,
    over_quota: String,
    /// Whether a coordinator is in reach.
    sighted: bool,
}

/// What the coordinators say that was not so before.
#[derive(Debug, Default)]
pub struct News {
    pub lost_a_disk: Vec<Uuid>,
    /// Workers that were stopped and started, and are who they were.
    pub started_again: Vec<WorkerId>,
}

#[derive(Debug)]
struct Known {
    worker: Worker,
    silent_since: Option<Instant>,
    /// Whether the log has been told that it is lost.
    told: bool,
}

impl Cluster {
    pub fn new(lost_after: Duration) -> Self {
        Self { workers: BTreeMap::new(), lost_after, replicas: 1, over_quota: String::new(), sighted: false }
    }

    /// Takes the last answers of the coordinators that are in reach.
    pub fn see<'a>(&mut self, answers: impl Iterator<Item = &'a Answer>, now: Instant) -> News {
        let answers: Vec<_> = answers.collect();
        if answers.is_empty() {
            self.sighted = false;
            return News::default();
        }
        if !std::mem::replace(&mut self.sighted, true) {
            // Nobody could be heard meanwhile: whoever was silent is so from now on.
            let silent = self.workers.values_mut().filter_map(|known| known.silent_since.as_mut());
            silent.for_each(|since| *since = now);
        }
        self.replicas = answers.iter().map(|answer| answer.replicas).max().unwrap_or(0).max(1);
        let over = answers.iter().map(|answer| &answer.over_quota).find(|text| !text.is_empty());
        self.over_quota = over.cloned().unwrap_or_default();
        let alive = joined(answers.into_iter().flat_map(|answer| &answer.workers));
        for (id, known) in &mut self.workers {
            if !alive.contains_key(id) && known.silent_since.is_none() {
                known.silent_since = Some(now);
                tracing::warn!(worker = %known.worker.place.worker, "no coordinator hears of a worker");
            }
        }
        let mut news = News::default();
        for (id, mut worker) in alive {
            match self.workers.get(&id).map(|known| &known.worker) {
                // A coordinator that lags behind.
                Some(known) if known.place.worker > worker.place.worker => worker = known.clone(),
                Some(known) if known.place.worker == worker.place.worker => {
                    if worker.disks_lost > known.disks_lost {
                        news.lost_a_disk.push(id);
                    }
                    if worker.start != known.start {
                        news.started_again.push(worker.place.worker);
                    }
                    worker.disks_lost = worker.disks_lost.max(known.disks_lost);
                }
                _ => {}
            }
            let before = self.workers.insert(id, Known { worker, silent_since: None, told: false });
            note(before.as_ref(), &self.workers[&id].worker);
        }
        self.tidy(now);
        news
    }

    fn tidy(&mut self, now: Instant) {
        let gone = self.lost_after + FORGOTTEN_AFTER;
        self.workers.retain(|_, known| known.silent_since.is_none_or(|since| now.duration_since(since) < gone));
        for known in self.workers.values_mut().filter(|known| !known.told) {
            if known.silent_since.is_some_and(|since| now.duration_since(since) >= self.lost_after) {
                known.told = true;
                tracing::error!(worker = %known.worker.place.worker, address = known.worker.place.address, "worker lost");
            }
        }
    }

    /// How a member of a chain fares.
    pub fn standing(&self, member: &WorkerId, now: Instant) -> Standing {
        let Some(known) = self.workers.get(&member.id) else { return Standing::Lost };
        match known.silent_since {
            Some(since) if self.sighted && now.duration_since(since) >= self.lost_after => Standing::Lost,
            Some(_) => Standing::Silent,
            None if known.worker.place.worker.incarnation > member.incarnation => {
                Standing::Restarted(known.worker.place.clone())
            }
            None if known.worker.draining => Standing::Draining,
            None => Standing::Whole,
        }
    }

    /// The workers that coordinators name now, in order.
    pub fn alive(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values().filter(|known| known.silent_since.is_none()).map(|known| &known.worker)
    }

    /// The workers that are silent but not yet lost, in order.
    pub fn silent(&self, now: Instant) -> impl Iterator<Item = &Worker> {
        let short = move |known: &&Known| {
            let since = known.silent_since;
            since.is_some_and(|since| !self.sighted || now.duration_since(since) < self.lost_after)
        };
        self.workers.values().filter(short).map(|known| &known.worker)
    }

    /// The worker of this id, silent or not.
    pub fn get(&self, id: Uuid) -> Option<&Worker> {
        self.workers.get(&id).map(|known| &known.worker)
    }

    /// When the next silent worker becomes lost.
    pub fn next_loss(&self, now: Instant) -> Option<Instant> {
        let silent = self.workers.values().filter_map(|known| known.silent_since);
        silent.map(|since| since + self.lost_after).filter(|at| self.sighted && *at > now).min()
    }

    /// How many workers should hold each byte.
    pub fn replicas(&self) -> u32 {
        self.replicas
    }

    /// Why new shuffles are refused; empty if they are not.
    pub fn over_quota(&self) -> &str {
        &self.over_quota
    }
}

/// Each worker once: as its newest incarnation, with the worst that anybody says of it.
fn joined<'a>(reports: impl Iterator<Item = &'a Worker>) -> BTreeMap<Uuid, Worker> {
    let mut joined = BTreeMap::<Uuid, Worker>::new();
    for report in reports {
        let known = joined.entry(report.id()).or_insert_with(|| report.clone());
        let (seen, new) = (known.place.worker.incarnation, report.place.worker.incarnation);
        if new > seen {
            *known = report.clone();
        } else if new == seen {
            known.draining |= report.draining;
            known.disks_lost = known.disks_lost.max(report.disks_lost);
            known.held = known.held.max(report.held);
        }
    }
    joined
}

/// Tells the log what is new about a worker.
fn note(before: Option<&Known>, worker: &Worker) {
    let Place { worker: id, address } = &worker.place;
    let Some(before) = before else {
        tracing::info!(worker = %id, address, "a worker is there");
        return;
    };
    if before.worker.place.worker != *id {
        tracing::warn!(worker = %id, address, "a worker started anew and may have lost data");
    } else if before.silent_since.is_some() {
        tracing::info!(worker = %id, address, "a worker is back");
    }
    match (before.worker.draining, worker.draining) {
        (false, true) => tracing::info!(worker = %id, address, "a worker is draining"),
        (true, false) => tracing::info!(worker = %id, address, "a worker is back in service"),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
