//! The part of the state machine that is about applications and their leases.

use std::time::{Duration, Instant};

use overhand_common::{Error, ErrorKind, Result, ids::AppId};

use super::{App, Known, Phase, State};
use crate::coordinator::{Event, Wellbeing};

impl State {
    /// A driver starts an application, or says so again. `Stale` if one of this id has ended and its data may still be
    /// there, `Backpressure` if its tenant runs as many as it may.
    pub fn register(&mut self, app: &AppId, tenant: &str, now: Instant) -> Result<()> {
        self.tidy(now);
        let is_new = self.apps.get(app).is_none_or(|known| known.heard.is_none());
        if is_new && let Some(reason) = self.rules.quotas.refuse_application(tenant, &self.running(tenant, app)) {
            self.events.push(Event::Refused(app.clone(), reason.clone()));
            return Err(Error::new(ErrorKind::Backpressure, reason));
        }
        self.renew(app, Some(tenant), now)?;
        if is_new {
            self.events.push(Event::Registered(app.clone()));
            if let Some(known) = self.apps.get_mut(app) {
                known.wellbeing = Some(Wellbeing::default());
            }
        }
        Ok(())
    }

    /// A driver is alive. One that this coordinator does not know (it may have been restarted) is taken in, and one whose
    /// lease expired is taken back: as long as nothing was deleted, nothing is lost. `Stale` if the application has
    /// ended, or if a worker deletes its data.
    pub fn keep_alive(&mut self, app: &AppId, tenant: &str, wellbeing: Option<Wellbeing>, now: Instant) -> Result<()> {
        self.renew(app, Some(tenant), now)?;
        if let (Some(now), Some(known)) = (wellbeing, self.apps.get_mut(app)) {
            // What happened before this coordinator started is no news.
            let before = known.wellbeing.replace(now.clone()).unwrap_or_else(|| now.clone());
            if before != now {
                self.events.push(Event::Fares(app.clone(), before, now));
            }
        }
        self.tidy(now);
        Ok(())
    }

    /// Why new shuffles of this tenant are refused, if they are.
    pub fn over_quota(&self, tenant: &str) -> Option<String> {
        let mine = |app: &AppId| {
            self.apps.get(app).is_some_and(|known| known.tenant == tenant && !matches!(known.phase, Phase::Ended(_)))
        };
        let heard = self.workers.values().filter(|worker| !worker.silent);
        let held = heard
            .flat_map(|worker| &worker.holdings.usage)
            .filter(|(app, _)| mine(app))
            .map(|(_, held)| held.bytes)
            .fold(0, u64::saturating_add);
        self.rules.quotas.over_bytes(tenant, held)
    }

    /// Whether an application may still have tokens. `Stale` if it has ended.
    pub fn may_renew_token(&self, app: &AppId) -> Result<()> {
        match self.apps.get(app) {
            Some(App { phase: Phase::Ended(_) | Phase::Deleted(_), .. }) => Err(over(app)),
            _ => Ok(()),
        }
    }

    /// A driver ends its application: from now on workers are told to delete its data. Ending it twice is no error.
    pub fn end(&mut self, app: &AppId, now: Instant) {
        self.tidy(now);
        let known = self.apps.entry(app.clone()).or_insert_with(|| App::new("", Phase::Expired(now)));
        if !matches!(known.phase, Phase::Ended(_)) {
            known.phase = Phase::Ended(now);
            self.events.push(Event::Ended(app.clone()));
        }
    }

    /// The applications, also those that are on their way out.
    pub fn applications(&self, now: Instant) -> Vec<Known> {
        let known = self.apps.iter().map(|(app, known)| Known {
            app: app.clone(),
            tenant: known.tenant.clone(),
            phase: known.phase,
            lease: match known.phase {
                Phase::Live(until) => until.saturating_duration_since(now),
                Phase::Expired(_) | Phase::Deleted(_) | Phase::Ended(_) => Duration::ZERO,
            },
            unheard: known.heard.map(|heard| now.saturating_duration_since(heard)),
            wellbeing: known.wellbeing.clone(),
        });
        known.collect()
    }

    /// The other live applications of a tenant.
    fn running(&self, tenant: &str, but: &AppId) -> Vec<&AppId> {
        let live =
            |known: &App| known.tenant == tenant && known.heard.is_some() && matches!(known.phase, Phase::Live(_));
        self.apps.iter().filter(|(app, known)| *app != but && live(known)).map(|(app, _)| app).collect()
    }

    pub(super) fn renew(&mut self, app: &AppId, tenant: Option<&str>, now: Instant) -> Result<()> {
        let live = Phase::Live(now + self.rules.lease);
        let known = self.apps.entry(app.clone()).or_insert_with(|| App::new(tenant.unwrap_or_default(), live));
        match known.phase {
            Phase::Ended(_) | Phase::Deleted(_) => return Err(over(app)),
            Phase::Expired(_) => self.events.push(Event::Returned(app.clone())),
            Phase::Live(_) => {}
        }
        known.phase = live;
        if let Some(tenant) = tenant {
            tenant.clone_into(&mut known.tenant);
            known.heard = Some(now);
        }
        Ok(())
    }
}

impl App {
    fn new(tenant: &str, phase: Phase) -> Self {
        Self { tenant: tenant.to_owned(), phase, heard: None, wellbeing: None }
    }
}

fn over(app: &AppId) -> Error {
    let text =
        format!("application {app} has ended or its lease expired, and its data is being deleted: use another id");
    Error::new(ErrorKind::Stale, text)
}
