//! The state machine: applications with their leases, workers with their last reports.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use overhand_common::{Error, ErrorKind, Result, ids::AppId};
use uuid::Uuid;

use super::Report;

/// How long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// An application that nobody speaks for during this time is gone.
    pub lease: Duration,
    /// A worker that is silent for this time is given no new shuffles.
    pub worker_timeout: Duration,
}

/// What a coordinator knows. Every event carries the time at which it happens; times never go back.
#[derive(Debug)]
pub struct State {
    rules: Rules,
    started: Instant,
    apps: BTreeMap<AppId, App>,
    workers: BTreeMap<Uuid, Worker>,
}

#[derive(Debug)]
struct App {
    tenant: String,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until then.
    Live(Instant),
    /// Since then its data is being deleted.
    Ended(Instant),
}

/// A worker as it last reported.
#[derive(Debug, Clone)]
pub struct Worker {
    /// What it said.
    pub report: Report,
    /// When it said so.
    pub reported: Instant,
    apps: BTreeSet<AppId>,
}

/// A live application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The application.
    pub app: AppId,
    /// Who pays for it; empty if it is known only by a worker's report.
    pub tenant: String,
    /// What is left of its lease.
    pub lease: Duration,
}

impl State {
    /// A coordinator that has just started.
    pub fn new(rules: Rules, now: Instant) -> Self {
        Self { rules, started: now, apps: BTreeMap::new(), workers: BTreeMap::new() }
    }

    /// The rules that it was made with.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// A driver starts an application, or says so again. `Stale` if one of this id has ended and its data may still be
    /// there.
    pub fn register(&mut self, app: &AppId, tenant: &str, now: Instant) -> Result<()> {
        self.tidy(now);
        self.renew(app, Some(tenant), now)
    }

    /// A driver is alive. One that this coordinator does not know (it may have been restarted) is taken in.
    /// `Stale` if the application has ended or its lease expired.
    pub fn keep_alive(&mut self, app: &AppId, tenant: &str, now: Instant) -> Result<()> {
        // A late driver comes before the tidying: as long as no worker was told, nothing is lost.
        self.renew(app, Some(tenant), now)?;
        self.tidy(now);
        Ok(())
    }

    /// Whether an application may still have tokens. `Stale` if it has ended.
    pub fn may_renew_token(&self, app: &AppId) -> Result<()> {
        match self.apps.get(app) {
            Some(App { phase: Phase::Ended(_), .. }) => Err(ended(app)),
            _ => Ok(()),
        }
    }

    /// A driver ends its application: from now on workers are told to delete its data. Ending it twice is no error.
    pub fn end(&mut self, app: &AppId, now: Instant) {
        self.tidy(now);
        let entry = self.apps.entry(app.clone());
        let entry = entry.or_insert_with(|| App { tenant: String::new(), phase: Phase::Ended(now) });
        if let Phase::Live(_) = entry.phase {
            entry.phase = Phase::Ended(now);
        }
    }

    /// A worker reports what it holds; the answer is what of this it must delete. A report of an older incarnation than
    /// the last one is `Stale`: somebody else uses a copy of the data folders.
    pub fn heartbeat(&mut self, report: Report, apps: BTreeSet<AppId>, now: Instant) -> Result<Vec<AppId>> {
        let id = report.id;
        if let Some(known) = self.workers.get(&id.id)
            && known.report.id.incarnation > id.incarnation
        {
            let text =
                format!("worker {id} is out of date: {} has reported; is one data folder used twice?", known.report.id);
            return Err(Error::new(ErrorKind::Stale, text));
        }
        for app in &apps {
            if !self.apps.contains_key(app) {
                self.renew(app, None, now)?;
            }
        }
        self.workers.insert(id.id, Worker { report, reported: now, apps: apps.clone() });
        self.tidy(now);
        let has_ended = |app: &AppId| matches!(self.apps.get(app), Some(App { phase: Phase::Ended(_), .. }));
        Ok(apps.into_iter().filter(has_ended).collect())
    }

    /// The workers that new shuffles may be placed on.
    pub fn workers(&self, now: Instant) -> Vec<Report> {
        let timeout = self.rules.worker_timeout;
        let alive = self.workers.values().filter(|worker| now.duration_since(worker.reported) <= timeout);
        alive.map(|worker| worker.report.clone()).collect()
    }

    /// Every worker that reported lately, also those that are silent now.
    pub fn all_workers(&self) -> Vec<Worker> {
        self.workers.values().cloned().collect()
    }

    /// The live applications.
    pub fn applications(&self, now: Instant) -> Vec<Known> {
        let live = self.apps.iter().filter_map(|(app, entry)| match entry.phase {
            Phase::Live(until) => {
                let lease = until.saturating_duration_since(now);
                Some(Known { app: app.clone(), tenant: entry.tenant.clone(), lease })
            }
            Phase::Ended(_) => None,
        });
        live.collect()
    }

    /// Ends what has expired, and forgets what is over.
    pub fn tidy(&mut self, now: Instant) {
        let lease = self.rules.lease;
        if now.duration_since(self.started) > lease {
            for entry in self.apps.values_mut() {
                if let Phase::Live(until) = entry.phase
                    && until < now
                {
                    entry.phase = Phase::Ended(now);
                }
            }
        }
        // A worker may be away for a while and come back; when it reports again it is known again.
        let silence = (lease * 2).max(self.rules.worker_timeout);
        self.workers.retain(|_, worker| now.duration_since(worker.reported) <= silence);
        let workers = &self.workers;
        self.apps.retain(|app, entry| match entry.phase {
            Phase::Live(_) => true,
            Phase::Ended(since) => {
                now.duration_since(since) <= lease || workers.values().any(|worker| worker.apps.contains(app))
            }
        });
    }

    fn renew(&mut self, app: &AppId, tenant: Option<&str>, now: Instant) -> Result<()> {
        let until = now + self.rules.lease;
        match self.apps.get_mut(app) {
            Some(App { phase: Phase::Ended(_), .. }) => Err(ended(app)),
            Some(entry) => {
                entry.phase = Phase::Live(until);
                if let Some(tenant) = tenant {
                    entry.tenant = tenant.to_owned();
                }
                Ok(())
            }
            None => {
                let tenant = tenant.unwrap_or_default().to_owned();
                self.apps.insert(app.clone(), App { tenant, phase: Phase::Live(until) });
                Ok(())
            }
        }
    }
}

fn ended(app: &AppId) -> Error {
    let text =
        format!("application {app} has ended or its lease expired, and its data is being deleted: use another id");
    Error::new(ErrorKind::Stale, text)
}

#[cfg(test)]
mod tests;
