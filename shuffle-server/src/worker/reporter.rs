//! A worker's reports to a coordinator, and what it deletes because of the answers.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use overhand_common::{Result, ids::AppId, token::TokenKey};
use overhand_proto::v1::{HeartbeatRequest, HeartbeatResponse, coordinator_client::CoordinatorClient};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::store::Store;
use crate::{
    control,
    coordinator::{Report, WORKER_APP},
    health::Part,
};

/// How long a coordinator may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon a coordinator that did not answer is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// A token is for one report; this much allows for clocks that differ.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// What does not change about a worker while it runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// host:port that others reach the data plane by.
    pub data_address: String,
    /// host:port that others reach the control plane by.
    pub control_address: String,
    /// Rack or zone.
    pub zone: String,
    /// Anything that placement should know.
    pub tags: Vec<String>,
}

/// Reports to one coordinator.
pub struct Reporter {
    store: Arc<Store>,
    key: TokenKey,
    place: Place,
    health: Part,
}

impl Reporter {
    /// A reporter for this store; whether the coordinator takes its reports is told to `health`.
    pub fn new(store: Arc<Store>, key: TokenKey, place: Place, health: Part) -> Self {
        Self { store, key, place, health }
    }

    /// Reports to the coordinator at `address` until `stop`.
    pub async fn run(self, address: String, stop: CancellationToken) -> Result<()> {
        let mut channel: Option<Channel> = None;
        let mut failing = false;
        let mut removals = Removals::new(self.store.clone());
        loop {
            let begun = Instant::now();
            let reported = tokio::select! {
                reported = self.report(&address, &mut channel) => reported,
                () = stop.cancelled() => break,
            };
            let pause = match reported {
                Ok(answer) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!(coordinator = address, "the coordinator takes reports again");
                    }
                    self.health.good();
                    answer.ended_apps.iter().for_each(|app| removals.begin(app));
                    Duration::from_millis(answer.interval_ms)
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(coordinator = address, error, "the coordinator takes no reports");
                    }
                    self.health.bad(error);
                    channel = None;
                    AGAIN
                }
            };
            tokio::select! {
                () = sleep_until(begun + pause) => {}
                () = removals.reap() => {}
                () = stop.cancelled() => break,
            }
        }
        removals.finish().await;
        Ok(())
    }

    async fn report(&self, address: &str, channel: &mut Option<Channel>) -> Result<HeartbeatResponse, String> {
        let connected = match channel.take() {
            Some(connected) => connected,
            None => control::connect(address, PATIENCE).await?,
        };
        let usage = self.store.usage();
        let report = Report {
            id: self.store.worker_id(),
            data_address: self.place.data_address.clone(),
            control_address: self.place.control_address.clone(),
            zone: self.place.zone.clone(),
            tags: self.place.tags.clone(),
            memory_budget: usage.memory_budget,
            memory_used: usage.memory_used,
            disk_free: usage.disk_free,
            disk_used: usage.disk_used,
            draining: false,
        };
        let ourselves: AppId = WORKER_APP.parse().map_err(|error| format!("{error}"))?;
        let token = self.key.sign(&ourselves, "", SystemTime::now(), TOKEN_LIFETIME);
        let request = HeartbeatRequest {
            worker: Some(report.encode()),
            apps: self.store.apps().into_iter().map(String::from).collect(),
            token: token.map_err(|error| error.to_string())?,
            usage: vec![],
        };
        let answer = CoordinatorClient::new(connected.clone()).heartbeat(request).await;
        let answer = answer.map_err(|status| format!("{address}: {}", status.message()))?;
        *channel = Some(connected);
        Ok(answer.into_inner())
    }
}

/// Removals of applications: each may take long, and reports go on meanwhile.
struct Removals {
    store: Arc<Store>,
    tasks: JoinSet<AppId>,
    under_way: HashSet<AppId>,
}

impl Removals {
    fn new(store: Arc<Store>) -> Self {
        Self { store, tasks: JoinSet::new(), under_way: HashSet::new() }
    }

    /// Begins to remove an application, unless that is under way.
    fn begin(&mut self, app: &str) {
        let Ok(app) = app.parse::<AppId>() else { return };
        if !self.under_way.insert(app.clone()) {
            return;
        }
        let store = self.store.clone();
        self.tasks.spawn(async move {
            match store.remove_app(&app).await {
                Ok(()) => tracing::info!(%app, "application removed"),
                // It is reported again with the next heartbeat, and so it is tried again.
                Err(error) => tracing::error!(%app, %error, "an application could not be removed"),
            }
            app
        });
    }

    /// Takes note of those that are through; never returns.
    async fn reap(&mut self) {
        loop {
            match self.tasks.join_next().await {
                Some(done) => self.ended(done),
                None => std::future::pending().await,
            }
        }
    }

    async fn finish(&mut self) {
        while let Some(done) = self.tasks.join_next().await {
            self.ended(done);
        }
    }

    fn ended(&mut self, done: Result<AppId, tokio::task::JoinError>) {
        match done {
            Ok(app) => {
                self.under_way.remove(&app);
            }
            Err(error) => tracing::error!(%error, "a removal failed badly"),
        }
    }
}
