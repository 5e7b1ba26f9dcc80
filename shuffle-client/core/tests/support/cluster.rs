//! A cluster for drivers: coordinators that say what a test wants, and workers that note what they are told.

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use overhand_client::{Application, ApplicationConfig, Error, ErrorKind, Place, WorkerId};
use overhand_common::{
    ids::ShardKey,
    message::{Failure, Forget, HEADER_LEN, Header, Hello, Kind, RemoveShuffle, Replicate, VERSION, Welcome, message},
};
use overhand_proto::v1::{
    self as proto, WorkerInfo,
    coordinator_server::{Coordinator, CoordinatorServer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads")
}

/// What a coordinator says, and what it was told.
#[derive(Debug, Default)]
pub struct Said {
    pub workers: Vec<WorkerInfo>,
    pub replicas: u32,
    pub over_quota: String,
    /// Takes requests and never answers them.
    pub hangs: bool,
    pub registered: usize,
    pub kept: usize,
    pub ended: usize,
    pub health: Option<proto::ApplicationHealth>,
}

/// A coordinator; dropping it kills it.
pub struct FakeCoordinator {
    pub address: String,
    said: Arc<Mutex<Said>>,
    _runtime: Runtime,
}

impl FakeCoordinator {
    pub fn start(workers: &[&FakeWorker]) -> Self {
        Self::start_at("127.0.0.1:0", workers)
    }

    /// One that comes back at the address that it had.
    pub fn start_at(address: &str, workers: &[&FakeWorker]) -> Self {
        let runtime = runtime();
        let incoming = {
            let _entered = runtime.enter();
            TcpIncoming::bind(address.parse().expect("an address")).expect("a port")
        };
        let address = incoming.local_addr().expect("bound").to_string();
        let workers = workers.iter().map(|worker| worker.info()).collect();
        let said = Arc::new(Mutex::new(Said { workers, ..Said::default() }));
        let service = CoordinatorServer::new(Service(Arc::clone(&said)));
        runtime.spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        Self { address, said, _runtime: runtime }
    }

    pub fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().expect("no panic")
    }

    /// Changes what it says of one worker.
    pub fn change(&self, worker: &FakeWorker, change: impl Fn(&mut WorkerInfo)) {
        let id = worker.place.worker.id.to_string();
        self.said().workers.iter_mut().filter(|info| info.id == id).for_each(change);
    }

    /// Hears no more of a worker.
    pub fn lose(&self, worker: &FakeWorker) {
        let id = worker.place.worker.id.to_string();
        self.said().workers.retain(|info| info.id != id);
    }
}

struct Service(Arc<Mutex<Said>>);

impl Service {
    async fn answer<T>(&self, say: impl FnOnce(&mut Said) -> T) -> Result<Response<T>, Status> {
        let hangs = self.0.lock().expect("no panic").hangs;
        if hangs {
            pending::<()>().await;
        }
        Ok(Response::new(say(&mut self.0.lock().expect("no panic"))))
    }
}

#[tonic::async_trait]
impl Coordinator for Service {
    async fn register_application(
        &self,
        _: Request<proto::RegisterApplicationRequest>,
    ) -> Result<Response<proto::RegisterApplicationResponse>, Status> {
        self.answer(|said| {
            said.registered += 1;
            proto::RegisterApplicationResponse {
                token: "token".into(),
                token_lifetime_ms: 3_600_000,
                lease_ms: 300,
                workers: said.workers.clone(),
                replicas: said.replicas,
                over_quota: said.over_quota.clone(),
            }
        })
        .await
    }

    async fn keep_alive(
        &self,
        request: Request<proto::KeepAliveRequest>,
    ) -> Result<Response<proto::KeepAliveResponse>, Status> {
        self.answer(|said| {
            said.kept += 1;
            said.health = request.into_inner().health;
            proto::KeepAliveResponse {
                lease_ms: 300,
                workers: said.workers.clone(),
                replicas: said.replicas,
                over_quota: said.over_quota.clone(),
            }
        })
        .await
    }

    async fn renew_token(
        &self,
        _: Request<proto::RenewTokenRequest>,
    ) -> Result<Response<proto::RenewTokenResponse>, Status> {
        self.answer(|_| proto::RenewTokenResponse { token: "token".into(), token_lifetime_ms: 3_600_000 }).await
    }

    async fn end_application(
        &self,
        _: Request<proto::EndApplicationRequest>,
    ) -> Result<Response<proto::EndApplicationResponse>, Status> {
        self.answer(|said| {
            said.ended += 1;
            proto::EndApplicationResponse {}
        })
        .await
    }

    async fn heartbeat(
        &self,
        _: Request<proto::HeartbeatRequest>,
    ) -> Result<Response<proto::HeartbeatResponse>, Status> {
        Err(Status::unimplemented("for workers"))
    }

    async fn status(&self, _: Request<proto::StatusRequest>) -> Result<Response<proto::StatusResponse>, Status> {
        Err(Status::unimplemented("for people"))
    }

    async fn drain(&self, _: Request<proto::DrainRequest>) -> Result<Response<proto::DrainResponse>, Status> {
        Err(Status::unimplemented("for people"))
    }
}

/// What a worker was told.
#[derive(Debug, Default)]
pub struct Told {
    pub copies: Vec<Replicate>,
    pub forgotten: Vec<ShardKey>,
    pub removed: Vec<u32>,
    /// Answers every copy with a failure.
    pub refuses: bool,
    /// How long a copy takes; it says meanwhile that it is busy.
    pub busy_for: Duration,
}

/// A worker that takes orders; dropping it kills it.
pub struct FakeWorker {
    pub place: Place,
    told: Arc<Mutex<Told>>,
    _runtime: Runtime,
}

impl FakeWorker {
    pub fn start(number: u128) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let worker = WorkerId { id: uuid::Uuid::from_u128(number), incarnation: 1 };
        let place = Place { worker, address: listener.local_addr().expect("bound").to_string() };
        let told = Arc::<Mutex<Told>>::default();
        let shared = Arc::clone(&told);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, worker, Arc::clone(&shared)));
            }
        });
        Self { place, told, _runtime: runtime }
    }

    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("no panic")
    }

    fn info(&self) -> WorkerInfo {
        WorkerInfo {
            id: self.place.worker.id.to_string(),
            incarnation: self.place.worker.incarnation,
            data_address: self.place.address.clone(),
            host: format!("host-{}", self.place.worker.id),
            memory_budget: 100,
            ..WorkerInfo::default()
        }
    }
}

async fn serve(mut stream: TcpStream, worker: WorkerId, told: Arc<Mutex<Told>>) -> Option<()> {
    loop {
        let mut bytes = [0; HEADER_LEN];
        stream.read_exact(&mut bytes).await.ok()?;
        let header = Header::decode(&bytes).expect("well-formed");
        let mut head = vec![0; header.head_len as usize];
        stream.read_exact(&mut head).await.ok()?;
        header.check_head(&head).expect("well-formed");
        let mut answer = message(Kind::Ack, header.stream, &[]);
        match header.kind {
            Kind::Hello => {
                Hello::decode(&head).expect("well-formed");
                let welcome = Welcome { version: VERSION, worker, window: 100_000 };
                answer = message(Kind::Welcome, 0, &welcome.encode());
            }
            Kind::Replicate => {
                let copy = Replicate::decode(&head).expect("well-formed");
                let (refuses, busy_for) = {
                    let mut told = told.lock().expect("no panic");
                    told.copies.push(copy);
                    (told.refuses, told.busy_for)
                };
                let until = Instant::now() + busy_for;
                while Instant::now() < until {
                    stream.write_all(&message(Kind::Busy, 0, &[])).await.ok()?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                if refuses {
                    let failure = Failure::new(Error::new(ErrorKind::Backpressure, "no folder takes data"));
                    answer = message(Kind::Failure, header.stream, &failure.encode(VERSION));
                }
            }
            Kind::Forget => {
                let key = Forget::decode(&head).expect("well-formed").key;
                told.lock().expect("no panic").forgotten.push(key);
            }
            Kind::RemoveShuffle => {
                let shuffle = RemoveShuffle::decode(&head).expect("well-formed").shuffle;
                told.lock().expect("no panic").removed.push(shuffle);
            }
            other => panic!("{other:?} is no order"),
        }
        stream.write_all(&answer).await.ok()?;
    }
}

/// Settings of a driver that is quick to act.
pub fn config(coordinators: &[&str]) -> ApplicationConfig {
    let coordinators = coordinators.iter().map(|address| (*address).to_owned()).collect();
    ApplicationConfig {
        replicas: Some(2),
        repair_after: Duration::from_millis(300),
        connect_timeout: Duration::from_millis(1500),
        request_timeout: Duration::from_secs(2),
        silence: Duration::from_secs(1),
        ..ApplicationConfig::new(coordinators, "app-1".parse().expect("valid"))
    }
}

pub fn register(coordinators: &[&FakeCoordinator]) -> Application {
    let addresses: Vec<_> = coordinators.iter().map(|coordinator| coordinator.address.as_str()).collect();
    Application::register(config(&addresses)).expect("registered")
}

/// Waits until something is so.
pub fn eventually(what: &str, so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < until, "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}
