//! A worker's reports to its coordinators, and what it deletes because of the answers.
//!
//! - [`Reports`]: what is reported, and to whom; one loop for each coordinator.
//! - [`Votes`]: which applications may go, counted over all coordinators.
//! - [`Deletions`]: deletes them meanwhile.

mod deletions;
mod votes;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use overhand_common::{Result, ids::AppId};
use overhand_proto::v1::{
    ApplicationUsage, HeartbeatRequest, HeartbeatResponse, coordinator_client::CoordinatorClient,
};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, transport::Channel};
use uuid::Uuid;

pub use deletions::Deletions;
pub use votes::Votes;

use super::store::{Held, Store};
use crate::{control, coordinator::Report, health::Part, secret::Secret};

/// How long a coordinator may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon a coordinator that did not answer is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// The least and the most that a coordinator may ask to wait between two reports.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(3600));
/// Deletions that wait to be begun. What does not fit is named again by the next answer.
const WAITING: usize = 256;

/// What does not change about a worker while it runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// host:port that others reach the data plane by.
    pub data_address: String,
    /// host:port that others reach the control plane by.
    pub control_address: String,
    /// The machine.
    pub host: String,
    /// Rack or zone.
    pub zone: String,
    /// Anything that placement should know.
    pub tags: Vec<String>,
}

/// What a worker reports, and to whom.
pub struct Reports {
    store: Arc<Store>,
    secret: Secret,
    place: Place,
    coordinators: Vec<Coordinator>,
    /// Another number for each start.
    start: u64,
    votes: Mutex<Votes>,
    deletions: mpsc::Sender<AppId>,
    news: watch::Sender<()>,
}

/// A coordinator to report to.
struct Coordinator {
    address: String,
    health: Part,
}

impl Reports {
    /// Reports of this store to these coordinators; whether one takes them is told to its part. Also what deletes what
    /// their answers name.
    pub fn new(
        store: Arc<Store>,
        secret: Secret,
        place: Place,
        coordinators: Vec<(String, Part)>,
    ) -> (Arc<Self>, Deletions) {
        let (deletions, wanted) = mpsc::channel(WAITING);
        let votes = Mutex::new(Votes::new(coordinators.len()));
        let coordinators = coordinators.into_iter().map(|(address, health)| Coordinator { address, health }).collect();
        let news = watch::Sender::new(());
        let start = Uuid::new_v4().as_u64_pair().0;
        let reports = Arc::new(Self { store, secret, place, coordinators, start, votes, deletions, news });
        (reports.clone(), Deletions::new(reports, wanted))
    }

    /// How many coordinators there are.
    pub fn count(&self) -> usize {
        self.coordinators.len()
    }

    /// Each coordinator's address, and why it takes no reports; `None` if it does.
    pub fn coordinators(&self) -> Vec<(String, Option<String>)> {
        self.coordinators.iter().map(|known| (known.address.clone(), known.health.problem())).collect()
    }

    /// Something changed that coordinators should know at once.
    pub fn wake(&self) {
        self.news.send_replace(());
    }

    /// Changes when something changed that coordinators should know at once.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// The worker deletes this application: drivers that come back are to be told.
    fn deleting(&self, app: &AppId) {
        self.votes.lock().deleting(app);
        self.wake();
    }

    /// Reports to the coordinator of this number until `stop`.
    pub async fn run(self: Arc<Self>, to: usize, stop: CancellationToken) -> Result<()> {
        let address = &self.coordinators[to].address;
        let mut news = self.news();
        let mut channel: Option<Channel> = None;
        let mut failing = false;
        loop {
            let begun = Instant::now();
            news.mark_unchanged();
            let reported = tokio::select! {
                reported = self.report(to, &mut channel) => reported,
                () = stop.cancelled() => break,
            };
            let pause = match reported {
                Ok((deleted, answer)) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!(coordinator = address, "the coordinator takes reports again");
                    }
                    self.heard(to, &deleted, answer)
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(coordinator = address, error, "the coordinator takes no reports");
                    }
                    channel = None;
                    self.unheard(to, error)
                }
            };
            tokio::select! {
                () = sleep_until(begun + pause) => {}
                // The one that sends lives as long as this.
                Ok(()) = news.changed(), if !failing => {}
                () = stop.cancelled() => break,
            }
        }
        Ok(())
    }

    /// What is told to the coordinator of this number now, and which deletions it hears of by that.
    pub fn next(&self, to: usize) -> Result<(HeartbeatRequest, BTreeSet<AppId>)> {
        let deleted = self.votes.lock().untold(to);
        let request = HeartbeatRequest {
            worker: Some(self.own().encode()),
            apps: self.store.apps().into_iter().map(String::from).collect(),
            token: self.secret.sign_own()?,
            usage: self.usage(),
            deleted_apps: deleted.iter().cloned().map(String::from).collect(),
        };
        Ok((request, deleted))
    }

    /// Coordinator `from`, which was told of `deleted`, has answered. Has deleted what may go by its word and the others'.
    /// Returns how long after the beginning of this report the next one is due.
    pub fn heard(&self, from: usize, deleted: &BTreeSet<AppId>, answer: HeartbeatResponse) -> Duration {
        self.coordinators[from].health.good();
        // A name that is none is of no application that is here.
        let known = |names: Vec<String>| -> BTreeSet<AppId> {
            names.into_iter().filter_map(|name| name.parse().ok()).collect()
        };
        let gone = {
            let mut votes = self.votes.lock();
            votes.told(from, deleted);
            votes.heard(from, known(answer.ended_apps), known(answer.expired_apps))
        };
        for app in gone {
            if self.deletions.try_send(app).is_err() {
                break;
            }
        }
        Duration::from_millis(answer.interval_ms).clamp(PAUSES.0, PAUSES.1)
    }

    /// Coordinator `from` did not answer, and why. Returns how long after the beginning of this report the next one is due.
    pub fn unheard(&self, from: usize, why: String) -> Duration {
        self.coordinators[from].health.bad(why);
        self.votes.lock().silent(from);
        AGAIN
    }

    async fn report(
        &self,
        to: usize,
        channel: &mut Option<Channel>,
    ) -> Result<(BTreeSet<AppId>, HeartbeatResponse), String> {
        let address = &self.coordinators[to].address;
        let connected = match channel.take() {
            Some(connected) => connected,
            None => control::connect(address, PATIENCE).await?,
        };
        let (request, deleted) = self.next(to).map_err(|error| error.to_string())?;
        let answer = CoordinatorClient::new(connected.clone()).heartbeat(request).await;
        let answer = answer.map_err(|status| match status.code() {
            Code::PermissionDenied => {
                let file = self.secret.file.display();
                format!("{address}: {}; this worker's secret is in {file}", status.message())
            }
            _ => format!("{address}: {}", status.message()),
        })?;
        *channel = Some(connected);
        Ok((deleted, answer.into_inner()))
    }

    fn own(&self) -> Report {
        let usage = self.store.usage();
        Report {
            id: self.store.worker_id(),
            data_address: self.place.data_address.clone(),
            control_address: self.place.control_address.clone(),
            host: self.place.host.clone(),
            zone: self.place.zone.clone(),
            tags: self.place.tags.clone(),
            memory_budget: usage.memory_budget,
            memory_used: usage.memory_used,
            disk_free: usage.disk_free,
            disk_used: usage.disk_used,
            draining: self.store.is_draining(),
            disks_lost: usage.disks_lost,
            start: self.start,
        }
    }

    fn usage(&self) -> Vec<ApplicationUsage> {
        let held = self.store.held().into_iter();
        held.map(|Held { app, bytes, shuffles }| ApplicationUsage { app: app.into(), bytes, shuffles }).collect()
    }
}
