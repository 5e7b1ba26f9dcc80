//! A server process: the coordinator's part, the worker's, or both, put together from the configuration.
//!
//! The start is: listen on all ports (so that a port in use is known before anything is touched), serve health, recover
//! the store, serve the planes, report to the coordinators, write the endpoints down. Stopping is the same backwards.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use overhand_common::{Error, ErrorKind, Result};
use overhand_proto::v1::{coordinator_server::CoordinatorServer, worker_server::WorkerServer};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::server::TcpIncoming};

use crate::{
    admin::{self, Registry},
    config::{Config, Role},
    coordinator::{Access, Cluster, Metrics as CoordinatorMetrics, Rules, Service, State},
    endpoints::{Endpoints, Listeners, Published},
    health::{Health, Part},
    secret::{Registration, Secret},
    tasks::Tasks,
    worker::{
        Describe, Place, Reports,
        net::{self, Limits, Plane},
        store::{self, Store},
    },
};

/// How long a standalone server may take to find itself.
const FIRST_REPORT: Duration = Duration::from_secs(30);

/// A process that serves.
pub struct Running {
    /// Where.
    pub endpoints: Endpoints,
    health: Health,
    tasks: Tasks,
    admin: Tasks,
    store: Option<Arc<Store>>,
    published: Option<Published>,
    close_timeout: Duration,
}

impl Running {
    /// Starts a process of this role; the configuration was checked for it. When this returns, it serves.
    pub async fn start(config: &Config, role: Role) -> Result<Self> {
        let mut listeners = Listeners::bind(&config.listen, role.stores()).await?;
        let endpoints = listeners.endpoints(&config.listen.advertise)?;
        let own_control = listeners.own_control()?;
        let data = listeners.data.take();
        let Listeners { control, admin: admin_listener, .. } = listeners;

        let health = Health::default();
        let registry = Registry::new()?;
        // Health outlives everything else, so that it can be asked during recovery and while stopping.
        let admin = Tasks::new(health.clone());
        admin.spawn("admin port", admin::serve(admin_listener, health.clone(), registry.clone(), admin.stop()));
        let tasks = Tasks::new(health.clone());
        let mut this = Self {
            endpoints,
            health: health.clone(),
            tasks: tasks.clone(),
            admin,
            store: None,
            published: None,
            close_timeout: config.network.close_timeout.0,
        };
        match this.serve(config, role, (control, data), &registry, own_control).await {
            Ok(()) => Ok(this),
            Err(error) => {
                if let Err(also) = this.stop().await {
                    tracing::error!(error = %also, "stopping after a failed start failed too");
                }
                Err(error)
            }
        }
    }

    async fn serve(
        &mut self,
        config: &Config,
        role: Role,
        (control, data): (TcpListener, Option<TcpListener>),
        registry: &Arc<Registry>,
        own_control: String,
    ) -> Result<()> {
        let store = match role.stores() {
            true => Some(self.open_store(config, registry).await?),
            false => None,
        };
        let (store, part) = store.unzip();
        let folder = config.storage.data_dirs.first();
        if let (Some(folder), None) = (folder, &store) {
            // A store makes its own folders.
            make(folder)?;
        }
        let secret = Secret::open(&config.auth.secret_file, folder.map(AsRef::as_ref), &mut rand::rng())?;

        let mut routes = Routes::builder();
        if role.coordinates() {
            let service = coordinator(config, role, secret.clone(), registry)?;
            self.tasks.spawn("coordinator watch", service.clone().watch(self.tasks.stop()));
            routes.add_service(CoordinatorServer::new(service));
        }
        let reports = store.as_ref().map(|store| {
            let addresses = match role {
                Role::Standalone => vec![own_control],
                Role::Coordinator | Role::Worker => config.worker.coordinators.clone(),
            };
            self.reports(addresses, config, store, &secret)
        });
        if let (Some(store), Some(part), Some((reports, _))) = (&store, part, &reports) {
            self.watch_folders(store, &part, reports);
            routes.add_service(WorkerServer::new(Describe::new(store.clone(), secret.clone(), reports.clone())));
        }
        self.tasks.spawn("control plane", control_plane(control, routes.routes(), self.tasks.stop()));

        if let (Some(store), Some(listener), Some((reports, parts))) = (store, data, reports) {
            let metrics = net::Metrics::new(registry.recorder());
            let plane = Plane::new(store, secret.key, limits(config), metrics);
            self.tasks.spawn("data plane", plane.serve(listener, self.tasks.stop()));
            for at in 0..reports.count() {
                self.tasks.spawn("reports", reports.clone().run(at, self.tasks.stop()));
            }
            for part in parts {
                // A driver that comes as soon as this process is ready must find its worker.
                if role == Role::Standalone && timeout(FIRST_REPORT, part.until_good()).await.is_err() {
                    return Err(Error::new(ErrorKind::Internal, format!("no report was taken: {:?}", self.problems())));
                }
            }
        }
        if let Some(folder) = folder {
            self.published = Some(self.endpoints.publish(folder)?);
        }
        Ok(())
    }

    /// The store, and the part of health where it is judged.
    async fn open_store(&mut self, config: &Config, registry: &Arc<Registry>) -> Result<(Arc<Store>, Part)> {
        let part = self.health.part("storage");
        part.bad("it is being recovered");
        let (settings, metrics) = (config.store(), store::Metrics::new(registry.recorder()));
        let opening = tokio::task::spawn_blocking(move || Store::open(settings, metrics));
        let store = opening.await.map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))??;
        self.store = Some(store.clone());
        judge(&store, &part);
        let (gauges, judged, verdict) = (store.clone(), store.clone(), part.clone());
        registry.before_render(move || gauges.refresh_metrics());
        let (stop, pause) = (self.tasks.stop(), config.storage.probe_interval.0);
        self.tasks.spawn("storage watch", async move {
            while timeout(pause, stop.cancelled()).await.is_err() {
                judge(&judged, &verdict);
            }
            Ok(())
        });
        Ok((store, part))
    }

    /// Whether a data folder takes data is judged and told to the coordinators as soon as it changes.
    fn watch_folders(&self, store: &Arc<Store>, part: &Part, reports: &Arc<Reports>) {
        for mut health in store.folders_health() {
            let (store, part, reports, stop) = (store.clone(), part.clone(), reports.clone(), self.tasks.stop());
            self.tasks.spawn("folder watch", async move {
                while let Some(Ok(())) = stop.run_until_cancelled(health.changed()).await {
                    judge(&store, &part);
                    reports.wake();
                }
                Ok(())
            });
        }
    }

    /// What is reported to the coordinators at these addresses, and the part of health where each has its say.
    fn reports(
        &self,
        addresses: Vec<String>,
        config: &Config,
        store: &Arc<Store>,
        secret: &Secret,
    ) -> (Arc<Reports>, Vec<Part>) {
        let place = Place {
            data_address: self.endpoints.data.clone().unwrap_or_default(),
            control_address: self.endpoints.control.clone(),
            host: config.worker.host.clone(),
            zone: config.worker.zone.clone(),
            tags: config.worker.tags.clone(),
        };
        let parts: Vec<Part> =
            addresses.iter().map(|address| self.health.part(format!("coordinator {address}"))).collect();
        let coordinators = addresses.into_iter().zip(parts.iter().cloned()).collect();
        let (reports, deletions) = Reports::new(store.clone(), secret.clone(), place, coordinators);
        self.tasks.spawn("deletions", deletions.run(self.tasks.stop()));
        (reports, parts)
    }

    /// Takes no more requests, ends what is under way, brings everything to disk, and forgets the endpoints. An error
    /// means that not everything that is in memory reached the disk.
    pub async fn stop(mut self) -> Result<()> {
        // Who still finds the file finds a process that answers.
        self.published.take();
        // The data plane takes its own time to close; the rest follows at once.
        if !self.tasks.finish(self.close_timeout * 2).await {
            tracing::warn!("some tasks did not stop in time");
        }
        let closed = match self.store.take() {
            Some(store) => store.close().await,
            None => Ok(()),
        };
        self.admin.finish(self.close_timeout).await;
        closed
    }

    /// Everything that stands in the way of serving.
    pub fn problems(&self) -> Vec<String> {
        self.health.problems()
    }
}

/// Makes a folder if only its last part is missing.
fn make(folder: &Path) -> Result<()> {
    match std::fs::create_dir(folder) {
        Err(error) if !folder.is_dir() => {
            Err(Error::new(ErrorKind::Invalid, format!("the folder {} can't be made: {error}", folder.display())))
        }
        _ => Ok(()),
    }
}

/// A worker whose store can't do its work is not ready. One that is being drained is: it serves what it has.
fn judge(store: &Store, part: &Part) {
    match store.check() {
        Ok(()) => part.good(),
        Err(error) => part.bad(error.message()),
    }
}

fn coordinator(config: &Config, role: Role, secret: Secret, registry: &Arc<Registry>) -> Result<Service> {
    let rules = Rules {
        lease: config.coordinator.lease.0,
        worker_timeout: config.coordinator.worker_timeout.0,
        quotas: config.limits(),
    };
    let access = Access {
        secret,
        token_lifetime: config.coordinator.token_lifetime.0,
        registration_secret: Registration::open(&config.auth.registration_secret_file)?,
    };
    let cluster =
        Cluster { heartbeat_interval: config.coordinator.heartbeat_interval.0, replicas: config.replicas(role) };
    let state = State::new(rules, Instant::now());
    let service = Service::new(state, access, cluster, CoordinatorMetrics::new(registry.recorder()));
    let gauges = service.clone();
    registry.before_render(move || gauges.refresh_metrics());
    Ok(service)
}

async fn control_plane(listener: TcpListener, routes: Routes, stop: CancellationToken) -> Result<()> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_routes(routes);
    let served = server.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await;
    served.map_err(|error| Error::new(ErrorKind::Internal, format!("the control plane failed: {error}")))
}

fn limits(config: &Config) -> Limits {
    let network = &config.network;
    Limits {
        connections: network.connections,
        streams: network.streams,
        window: network.window.0,
        hello_timeout: network.hello_timeout.0,
        stall_timeout: network.stall_timeout.0,
        close_timeout: network.close_timeout.0,
        silence: network.silence.0,
        copy_bandwidth: config.storage.copy_bandwidth.0,
    }
}
