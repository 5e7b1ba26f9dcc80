//! The coordinator over gRPC. Handlers decode, make one call to the state, and encode.

use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::AppId,
    token::{Claims, TokenKey},
};
use overhand_proto::v1::{
    self as proto, ApplicationStatus, StatusResponse, WorkerStatus, coordinator_server::Coordinator,
};
use parking_lot::Mutex;
use tonic::{Request, Response, Status};

use super::{Report, State, describe::ask_all};
use crate::control::{millis, status_of};

/// The application that workers' tokens are made out to; no real application may have this name.
pub const WORKER_APP: &str = "worker";

/// Who is let in.
#[derive(Clone)]
pub struct Access {
    /// Signs and checks tokens.
    pub key: TokenKey,
    /// How long a token is good for.
    pub token_lifetime: Duration,
    /// What a driver must show to register, if anything.
    pub registration_secret: Option<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("token_lifetime", &self.token_lifetime).finish_non_exhaustive()
    }
}

/// The gRPC service of a coordinator.
#[derive(Debug, Clone)]
pub struct Service {
    state: Arc<Mutex<State>>,
    access: Access,
    heartbeat_interval: Duration,
    started: Instant,
}

impl Service {
    /// A service around this state.
    pub fn new(state: State, access: Access, heartbeat_interval: Duration) -> Self {
        Self { state: Arc::new(Mutex::new(state)), access, heartbeat_interval, started: Instant::now() }
    }

    fn sign(&self, app: &AppId, tenant: &str) -> Result<String> {
        self.access.key.sign(app, tenant, SystemTime::now(), self.access.token_lifetime)
    }

    fn driver(&self, token: &str) -> Result<Claims> {
        let claims = self.access.key.verify(token)?;
        if claims.app.as_str() == WORKER_APP {
            return Err(Error::new(ErrorKind::Denied, "this is a worker's token, an application's is needed"));
        }
        Ok(claims)
    }

    fn register(
        &self,
        request: proto::RegisterApplicationRequest,
        now: Instant,
    ) -> Result<proto::RegisterApplicationResponse> {
        if let Some(secret) = &self.access.registration_secret
            && !same(secret.as_bytes(), request.registration_secret.as_bytes())
        {
            let text = "the registration secret is wrong: set the one of this cluster's auth.registration_secret_file";
            return Err(Error::new(ErrorKind::Denied, text));
        }
        let app: AppId = request.app.parse()?;
        if app.as_str() == WORKER_APP {
            return Err(Error::new(ErrorKind::Invalid, format!("an application can't be called {WORKER_APP:?}")));
        }
        let token = self.sign(&app, &request.tenant)?;
        let mut state = self.state.lock();
        state.register(&app, &request.tenant, now)?;
        tracing::info!(%app, tenant = request.tenant, "application registered");
        Ok(proto::RegisterApplicationResponse {
            token,
            token_lifetime_ms: millis(self.access.token_lifetime),
            lease_ms: millis(state.rules().lease),
            workers: state.workers(now).into_iter().map(Report::encode).collect(),
            replicas: 1,
            over_quota: String::new(),
        })
    }

    fn keep_alive(&self, request: &proto::KeepAliveRequest, now: Instant) -> Result<proto::KeepAliveResponse> {
        let claims = self.driver(&request.token)?;
        let mut state = self.state.lock();
        state.keep_alive(&claims.app, &claims.tenant, now)?;
        let workers = state.workers(now).into_iter().map(Report::encode).collect();
        let lease_ms = millis(state.rules().lease);
        Ok(proto::KeepAliveResponse { lease_ms, workers, replicas: 1, over_quota: String::new() })
    }

    fn renew_token(&self, request: &proto::RenewTokenRequest) -> Result<proto::RenewTokenResponse> {
        let claims = self.driver(&request.token)?;
        self.state.lock().may_renew_token(&claims.app)?;
        let token = self.sign(&claims.app, &claims.tenant)?;
        Ok(proto::RenewTokenResponse { token, token_lifetime_ms: millis(self.access.token_lifetime) })
    }

    fn end(&self, request: &proto::EndApplicationRequest, now: Instant) -> Result<proto::EndApplicationResponse> {
        let claims = self.driver(&request.token)?;
        self.state.lock().end(&claims.app, now);
        tracing::info!(app = %claims.app, "application ended");
        Ok(proto::EndApplicationResponse {})
    }

    fn heartbeat(&self, request: proto::HeartbeatRequest, now: Instant) -> Result<proto::HeartbeatResponse> {
        let claims = self.access.key.verify(&request.token)?;
        if claims.app.as_str() != WORKER_APP {
            return Err(Error::new(ErrorKind::Denied, "only a worker may report, this is an application's token"));
        }
        let info = request.worker.ok_or_else(|| Error::new(ErrorKind::Invalid, "the report names no worker"))?;
        let report = Report::decode(info)?;
        let apps = request.apps.iter().map(|app| app.parse()).collect::<Result<BTreeSet<AppId>, _>>()?;
        let ended = self.state.lock().heartbeat(report, apps, now)?;
        Ok(proto::HeartbeatResponse {
            ended_apps: ended.into_iter().map(String::from).collect(),
            interval_ms: millis(self.heartbeat_interval),
            expired_apps: vec![],
        })
    }

    async fn status(&self, now: Instant) -> StatusResponse {
        let (workers, known) = {
            let state = self.state.lock();
            (state.all_workers(), state.applications(now))
        };
        let addresses = workers.iter().map(|worker| worker.report.control_address.clone()).collect();
        let (descriptions, mut shuffles) = ask_all(addresses).await;
        let mut applications: Vec<ApplicationStatus> = vec![];
        for known in known {
            let app = String::from(known.app);
            let held = shuffles.remove(&app).unwrap_or_default();
            applications.push(ApplicationStatus {
                app,
                tenant: known.tenant,
                lease_ms: millis(known.lease),
                shuffles: held,
                health: None,
            });
        }
        // What is left belongs to applications that have ended and whose data is on its way out.
        let leaving = shuffles.into_iter().map(|(app, shuffles)| ApplicationStatus {
            app,
            shuffles,
            ..ApplicationStatus::default()
        });
        applications.extend(leaving);
        let workers = workers.into_iter().zip(descriptions).map(|(worker, asked)| WorkerStatus {
            info: Some(worker.report.encode()),
            reported_ms_ago: millis(now.duration_since(worker.reported)),
            disks: asked.disks,
            error: asked.error,
        });
        StatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: millis(now.duration_since(self.started)),
            workers: workers.collect(),
            applications,
        }
    }
}

/// Compares without telling by the time it takes where the first difference is.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
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
        answer(self.register(request.into_inner(), Instant::now()))
    }

    async fn keep_alive(
        &self,
        request: Request<proto::KeepAliveRequest>,
    ) -> Result<Response<proto::KeepAliveResponse>, Status> {
        answer(Service::keep_alive(self, request.get_ref(), Instant::now()))
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

    async fn drain(&self, _request: Request<proto::DrainRequest>) -> Result<Response<proto::DrainResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn status(&self, _request: Request<proto::StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(Service::status(self, Instant::now()).await))
    }
}
