//! The state machine: applications with their leases (see `applications`), workers with their last reports.

mod applications;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use overhand_common::{Error, ErrorKind, Result, ids::AppId};
use overhand_proto::v1::WorkerInfo;
use uuid::Uuid;

use super::{Event, Holdings, Quotas, Report, Wellbeing};

/// For how many leases a silent worker is remembered.
const REMEMBERED: u32 = 10;

/// How long things last, and how much there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// An application that nobody speaks for during this time is gone.
    pub lease: Duration,
    /// A worker that is silent for this time is given no new shuffles.
    pub worker_timeout: Duration,
    /// What tenants may have.
    pub quotas: Quotas,
}

/// What a coordinator knows. Every event carries the time at which it happens; times never go back.
#[derive(Debug)]
pub struct State {
    rules: Rules,
    started: Instant,
    apps: BTreeMap<AppId, App>,
    workers: BTreeMap<Uuid, Worker>,
    events: Vec<Event>,
}

#[derive(Debug)]
struct App {
    tenant: String,
    phase: Phase,
    /// When its driver last spoke to this coordinator.
    heard: Option<Instant>,
    wellbeing: Option<Wellbeing>,
}

/// How far an application is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Until then.
    Live(Instant),
    /// Since then nobody has spoken for it here. Other coordinators may still hear of it, and its driver may come back.
    Expired(Instant),
    /// As before, and since then a worker deletes its data: it is too late for its driver.
    Deleted(Instant),
    /// It ended by its driver's word then: its data goes.
    Ended(Instant),
}

/// A worker as it last reported.
#[derive(Debug, Clone)]
pub struct Worker {
    /// What it said.
    pub report: Report,
    /// What it holds.
    pub holdings: Holdings,
    /// When it said so.
    pub reported: Instant,
    /// It has been silent for too long.
    pub silent: bool,
}

/// An application, for those who look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The application.
    pub app: AppId,
    /// Who pays for it; empty if it is known only by a worker's report.
    pub tenant: String,
    /// How far it is.
    pub phase: Phase,
    /// What is left of its lease.
    pub lease: Duration,
    /// Since when its driver has said nothing to this coordinator.
    pub unheard: Option<Duration>,
    /// How its data fares, if its driver has said.
    pub wellbeing: Option<Wellbeing>,
}

/// What a worker is told about the applications that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leaving {
    /// Ended by their drivers' word.
    pub ended: Vec<AppId>,
    /// Their leases have expired here.
    pub expired: Vec<AppId>,
}

impl State {
    /// A coordinator that has just started.
    pub fn new(rules: Rules, now: Instant) -> Self {
        Self { rules, started: now, apps: BTreeMap::new(), workers: BTreeMap::new(), events: vec![] }
    }

    /// The rules that it was made with.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What has happened since this was last asked.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// A worker reports; the answer is what may leave it. A report of an older incarnation than the last one is `Stale`:
    /// somebody else uses a copy of the data folders.
    pub fn heartbeat(&mut self, report: Report, holdings: Holdings, now: Instant) -> Result<Leaving> {
        let id = report.id;
        let known = self.workers.get(&id.id);
        if let Some(known) = known
            && known.report.id.incarnation > id.incarnation
        {
            let text =
                format!("worker {id} is out of date: {} has reported; is one data folder used twice?", known.report.id);
            return Err(Error::new(ErrorKind::Stale, text));
        }
        if known.is_none_or(|known| known.silent || known.report.id != id) {
            self.events.push(Event::Heard(id));
        }
        if known.is_some_and(|known| known.report.draining) != report.draining {
            self.events.push(Event::Draining(id, report.draining));
        }
        for app in &holdings.apps {
            if !self.apps.contains_key(app) {
                self.renew(app, None, now)?;
            }
        }
        for app in &holdings.deleted {
            if let Some(known) = self.apps.get_mut(app)
                && !matches!(known.phase, Phase::Ended(_))
            {
                known.phase = Phase::Deleted(now);
            }
        }
        let apps = holdings.apps.clone();
        self.workers.insert(id.id, Worker { report, holdings, reported: now, silent: false });
        self.tidy(now);
        Ok(self.leaving(apps))
    }

    fn leaving(&self, held: BTreeSet<AppId>) -> Leaving {
        let mut leaving = Leaving::default();
        for app in held {
            match self.apps.get(&app).map(|known| known.phase) {
                Some(Phase::Ended(_)) => leaving.ended.push(app),
                Some(Phase::Expired(_) | Phase::Deleted(_)) => leaving.expired.push(app),
                Some(Phase::Live(_)) | None => {}
            }
        }
        leaving
    }

    /// The workers that are alive, for the driver of `app`; those that drain or whose disks are full are among them and
    /// say so.
    pub fn workers(&self, app: &AppId, now: Instant) -> Vec<WorkerInfo> {
        let timeout = self.rules.worker_timeout;
        let alive = self.workers.values().filter(|worker| now.duration_since(worker.reported) <= timeout);
        let tell = |worker: &Worker| {
            let held = worker.holdings.usage.get(app).map_or(0, |held| held.bytes);
            WorkerInfo { held, ..worker.report.clone().encode() }
        };
        alive.map(tell).collect()
    }

    /// Every worker that reported lately, also those that are silent now.
    pub fn all_workers(&self) -> Vec<Worker> {
        self.workers.values().cloned().collect()
    }

    /// The worker that is meant by its id, the beginning of its id, or an address. `NotFound` if there is none, `Invalid`
    /// if there are several; both name them.
    pub fn find_worker(&self, text: &str) -> Result<Report> {
        let is_meant = |worker: &&Worker| {
            let report = &worker.report;
            let id = report.id.id.to_string();
            !text.is_empty() && (id.starts_with(text) || report.data_address == text || report.control_address == text)
        };
        let found: Vec<&Worker> = self.workers.values().filter(is_meant).collect();
        let names = |workers: &[&Worker]| {
            let name = |worker: &&Worker| format!("{} at {}", worker.report.id.id, worker.report.data_address);
            workers.iter().map(name).collect::<Vec<_>>().join(", ")
        };
        match found.as_slice() {
            [worker] => Ok(worker.report.clone()),
            [] => {
                let all: Vec<&Worker> = self.workers.values().collect();
                let known = if all.is_empty() { "none has reported".to_owned() } else { names(&all) };
                Err(Error::new(ErrorKind::NotFound, format!("there is no worker {text:?}, there are: {known}")))
            }
            several => {
                let text = format!("{text:?} may be any of {}: write more of the id", names(several));
                Err(Error::new(ErrorKind::Invalid, text))
            }
        }
    }

    /// Takes note of what has expired or fallen silent, and forgets what is over.
    pub fn tidy(&mut self, now: Instant) {
        let (lease, worker_timeout) = (self.rules.lease, self.rules.worker_timeout);
        if now.duration_since(self.started) > lease {
            for (app, known) in &mut self.apps {
                if let Phase::Live(until) = known.phase
                    && until < now
                {
                    known.phase = Phase::Expired(now);
                    self.events.push(Event::Expired(app.clone()));
                }
            }
        }
        for worker in self.workers.values_mut() {
            if !worker.silent && now.duration_since(worker.reported) > worker_timeout {
                worker.silent = true;
                let bytes = worker.holdings.usage.values().map(|held| held.bytes).fold(0, u64::saturating_add);
                self.events.push(Event::Silent(worker.report.id, bytes));
            }
        }
        // A worker may be away for a while and come back; when it reports again it is known again. Until then people see
        // what it held.
        let silence = (lease * REMEMBERED).max(worker_timeout);
        self.workers.retain(|_, worker| now.duration_since(worker.reported) <= silence);
        let workers = &self.workers;
        self.apps.retain(|app, known| match known.phase {
            Phase::Live(_) => true,
            Phase::Expired(since) | Phase::Deleted(since) | Phase::Ended(since) => {
                now.duration_since(since) <= lease || workers.values().any(|worker| worker.holdings.apps.contains(app))
            }
        });
    }
}

#[cfg(test)]
mod tests;
