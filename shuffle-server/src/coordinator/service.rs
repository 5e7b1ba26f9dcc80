//! The coordinator over gRPC. Handlers decode, make one call to the state, and encode.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use overhand_common::{Error, ErrorKind, Result, ids::AppId, token::Claims};
use overhand_proto::{
    status_of,
    v1::{self as proto, StatusResponse, coordinator_server::Coordinator},
};
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{Event, Holdings, Metrics, Report, State, Wellbeing, drain, status::status};
use crate::{
    control::millis,
    secret::{Registration, Secret, WORKER_APP},
};

/// Who is let in.
#[derive(Debug, Clone)]
pub struct Access {
    /// Signs and checks tokens.
    pub secret: Secret,
    /// How long a token is good for.
    pub token_lifetime: Duration,
    /// What a driver must show to register, if anything.
    pub registration_secret: Option<Registration>,
}

/// What everybody in the cluster goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// How often workers report.
    pub heartbeat_interval: Duration,
    /// How many workers hold each byte, unless an application asks for another number.
    pub replicas: u32,
}

/// The gRPC service of a coordinator.
#[derive(Debug, Clone)]
pub struct Service {
    state: Arc<Mutex<State>>,
    access: Access,
    cluster: Cluster,
    metrics: Metrics,
    started: Instant,
}

impl Service {
    /// A service around this state.
    pub fn new(state: State, access: Access, cluster: Cluster, metrics: Metrics) -> Self {
        Self { state: Arc::new(Mutex::new(state)), access, cluster, metrics, started: Instant::now() }
    }

    /// Notices what becomes of those that are silent, until `stop`.
    pub async fn watch(self, stop: CancellationToken) -> Result<()> {
        let mut ticks = interval(self.cluster.heartbeat_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.tidy(Instant::now()),
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Notices what has become of those that are silent.
    pub fn tidy(&self, now: Instant) {
        self.change(|state| state.tidy(now));
    }

    /// Sets the gauges to what is so now.
    pub fn refresh_metrics(&self) {
        self.metrics.refresh(&self.state.lock(), Instant::now());
    }

    /// Changes the state, and tells what happened.
    fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let (done, events) = {
            let mut state = self.state.lock();
            let done = work(&mut state);
            (done, state.events())
        };
        events.iter().for_each(|event| self.metrics.count(event));
        events.iter().for_each(Event::log);
        done
    }

    fn sign(&self, app: &AppId, tenant: &str) -> Result<String> {
        self.access.secret.key.sign(app, tenant, SystemTime::now(), self.access.token_lifetime)
    }

    fn driver(&self, token: &str) -> Result<Claims> {
        let claims = self.access.secret.key.verify(token)?;
        if claims.app.as_str() == WORKER_APP {
            return Err(Error::new(ErrorKind::Denied, "this is a worker's token, an application's is needed"));
        }
        Ok(claims)
    }

    /// What a driver is told about its tenant's quota: empty while all is well.
    fn over_quota(&self, state: &State, tenant: &str) -> String {
        let over = state.over_quota(tenant);
        if over.is_some() {
            self.metrics.count_over_quota();
        }
        over.unwrap_or_default()
    }

    /// Answers a driver that starts an application. `Denied` without the registration secret, else as of
    /// [`State::register`].
    pub fn register(
        &self,
        request: &proto::RegisterApplicationRequest,
        now: Instant,
    ) -> Result<proto::RegisterApplicationResponse> {
        if let Some(secret) = &self.access.registration_secret
            && !secret.is(&request.registration_secret)
        {
            let text = "the registration secret is wrong: set the one of this cluster's auth.registration_secret_file";
            return Err(Error::new(ErrorKind::Denied, text));
        }
        let app: AppId = request.app.parse()?;
        if app.as_str() == WORKER_APP {
            return Err(Error::new(ErrorKind::Invalid, format!("an application can't be called {WORKER_APP:?}")));
        }
        let token = self.sign(&app, &request.tenant)?;
        self.change(|state| {
            state.register(&app, &request.tenant, now)?;
            Ok(proto::RegisterApplicationResponse {
                token,
                token_lifetime_ms: millis(self.access.token_lifetime),
                lease_ms: millis(state.rules().lease),
                workers: state.workers(&app, now),
                replicas: self.cluster.replicas,
                over_quota: self.over_quota(state, &request.tenant),
            })
        })
    }

    /// Answers a driver that is alive, with the workers that are. `Denied` if its token is not good, else as of
    /// [`State::keep_alive`].
    pub fn keep_alive(&self, request: proto::KeepAliveRequest, now: Instant) -> Result<proto::KeepAliveResponse> {
        let Claims { app, tenant, .. } = self.driver(&request.token)?;
        let wellbeing = request.health.map(Wellbeing::decode);
        self.change(|state| {
            state.keep_alive(&app, &tenant, wellbeing, now)?;
            Ok(proto::KeepAliveResponse {
                lease_ms: millis(state.rules().lease),
                workers: state.workers(&app, now),
                replicas: self.cluster.replicas,
                over_quota: self.over_quota(state, &tenant),
            })
        })
    }

    fn renew_token(&self, request: &proto::RenewTokenRequest) -> Result<proto::RenewTokenResponse> {
        let claims = self.driver(&request.token)?;
        self.state.lock().may_renew_token(&claims.app)?;
        let token = self.sign(&claims.app, &claims.tenant)?;
        Ok(proto::RenewTokenResponse { token, token_lifetime_ms: millis(self.access.token_lifetime) })
    }

    /// Answers a driver that ends its application. `Denied` if its token is not good.
    pub fn end(&self, request: &proto::EndApplicationRequest, now: Instant) -> Result<proto::EndApplicationResponse> {
        let claims = self.driver(&request.token)?;
        self.change(|state| state.end(&claims.app, now));
        Ok(proto::EndApplicationResponse {})
    }

    /// Answers a worker's report with what may leave it. `Denied` if it is none of the cluster, else as of
    /// [`State::heartbeat`].
    pub fn heartbeat(&self, request: proto::HeartbeatRequest, now: Instant) -> Result<proto::HeartbeatResponse> {
        self.access.secret.check_own(&request.token)?;
        let holdings = Holdings::decode(&request)?;
        let info = request.worker.ok_or_else(|| Error::new(ErrorKind::Invalid, "the report names no worker"))?;
        let report = Report::decode(info)?;
        let leaving = self.change(|state| state.heartbeat(report, holdings, now))?;
        Ok(proto::HeartbeatResponse {
            ended_apps: leaving.ended.into_iter().map(String::from).collect(),
            interval_ms: millis(self.cluster.heartbeat_interval),
            expired_apps: leaving.expired.into_iter().map(String::from).collect(),
        })
    }

    async fn drain(&self, request: proto::DrainRequest) -> Result<proto::DrainResponse> {
        self.access.secret.check_own(&request.token)?;
        let worker = self.state.lock().find_worker(&request.worker)?;
        let draining = !request.undo;
        drain::set_draining(&worker, draining, request.token).await?;
        Ok(proto::DrainResponse { worker: Some(Report { draining, ..worker }.encode()) })
    }

    async fn status(&self, now: Instant) -> StatusResponse {
        let (workers, known) = self.change(|state| {
            state.tidy(now);
            (state.all_workers(), state.applications(now))
        });
        status(workers, known, self.started, now).await
    }
}

fn answer<T>(result: Result<T>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| status_of(&error))
}

#[tonic::async_trait]
impl Coordinator for Service {
    async fn register_application(
        &self,
        request: Request<proto::RegisterApplicationRequest>,
    ) -> Result<Response<proto::RegisterApplicationResponse>, Status> {
        answer(self.register(request.get_ref(), Instant::now()))
    }

    async fn keep_alive(
        &self,
        request: Request<proto::KeepAliveRequest>,
    ) -> Result<Response<proto::KeepAliveResponse>, Status> {
        answer(Service::keep_alive(self, request.into_inner(), Instant::now()))
    }

    async fn renew_token(
        &self,
        request: Request<proto::RenewTokenRequest>,
    ) -> Result<Response<proto::RenewTokenResponse>, Status> {
        answer(Service::renew_token(self, request.get_ref()))
    }

    async fn end_application(
        &self,
        request: Request<proto::EndApplicationRequest>,
    ) -> Result<Response<proto::EndApplicationResponse>, Status> {
        answer(self.end(request.get_ref(), Instant::now()))
    }

    async fn heartbeat(
        &self,
        request: Request<proto::HeartbeatRequest>,
    ) -> Result<Response<proto::HeartbeatResponse>, Status> {
        answer(Service::heartbeat(self, request.into_inner(), Instant::now()))
    }

    async fn drain(&self, request: Request<proto::DrainRequest>) -> Result<Response<proto::DrainResponse>, Status> {
        answer(Service::drain(self, request.into_inner()).await)
    }

    async fn status(&self, _request: Request<proto::StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(Service::status(self, Instant::now()).await))
    }
}
