//! A worker: the real store and the real order of answers, between simulated connections.
//!
//! In the place of the server's `net`: what a connection does with a message, forwarding, and copies.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use overhand_common::{
    Error, ErrorKind, Result, block,
    ids::{AppId, Place, WorkerId},
    message::{
        Ack, Credit, End, Failure, Fetch, Forget, Hello, Kind, Last, Push, RemoveShuffle, Replicate, VERSION, Welcome,
    },
};
use overhand_server::{
    disk::Member,
    worker::{
        net::sim::{Order, Verdict, passed_on},
        store::{Metrics, Piece, Settings, Store},
    },
};
use uuid::Uuid;

use crate::{
    clock::{Host, Sim},
    disk::Disk,
    link::{Link, Outcome, SILENCE, dial, heard, request},
    net::{Conn, Message, Net},
    options::Broken,
};

/// How often a worker that owes an answer says that it is alive.
const BUSY: Duration = Duration::from_secs(1);

/// A worker that runs.
#[derive(Clone)]
pub struct Worker(Rc<Inner>);

struct Inner {
    sim: Sim,
    net: Net,
    host: Host,
    app: AppId,
    store: Arc<Store>,
    disk: Arc<Disk>,
    broken: Option<Broken>,
    /// How long a flush waits for the disk.
    slowness: Cell<Duration>,
    links: RefCell<BTreeMap<(Uuid, u64, usize), Link>>,
}

/// Makes an empty data folder whose worker has this id.
pub fn make_folder(path: &Path, id: u128) {
    std::fs::create_dir_all(path).expect("the folder above is there");
    let (worker, folder) = (Uuid::from_u128(id), Uuid::from_u128(id + (1 << 64)));
    let member = Member { version: 1, worker, folder, folders: [folder].into(), incarnation: 0, clean: true };
    member.write(path).expect("written");
}

impl Worker {
    /// Opens the store in `dir` and serves it.
    pub fn start(
        (sim, net): (&Sim, &Net),
        host: Host,
        app: &AppId,
        dir: PathBuf,
        settings: impl FnOnce(Settings) -> Settings,
        broken: Option<Broken>,
    ) -> Self {
        let disk = Arc::<Disk>::default();
        let plain = Settings { disk_reserve: 0, flush_threads: 0, ..Settings::new(vec![dir], 2 << 20) };
        let metrics = Metrics::new(&metrics::NoopRecorder);
        let store = Store::open_on(disk.clone(), settings(plain), metrics).expect("the store opens");
        let this = Self(Rc::new(Inner {
            sim: sim.clone(),
            net: net.clone(),
            host,
            app: app.clone(),
            store,
            disk,
            broken,
            slowness: Cell::default(),
            links: RefCell::default(),
        }));
        sim.trace(format_args!("worker {host} starts as {}", this.id()));
        let (server, flusher) = (this.clone(), this.clone());
        sim.spawn(host, async move { server.listen().await });
        sim.spawn(host, async move { flusher.flush().await });
        this
    }

    /// Who it is.
    pub fn id(&self) -> WorkerId {
        self.0.store.worker_id()
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place { worker: self.id(), address: format!("w{}:7338", self.0.host) }
    }

    /// What it holds.
    pub fn store(&self) -> &Arc<Store> {
        &self.0.store
    }

    /// What it writes to.
    pub fn disk(&self) -> &Disk {
        &self.0.disk
    }

    /// From now on each flush takes that long.
    pub fn slow_down(&self, by: Duration) {
        self.0.slowness.set(by);
    }

    async fn listen(self) {
        let mut connections = self.0.net.listen(self.0.host);
        while let Some(conn) = connections.recv().await {
            let this = self.clone();
            self.0.sim.spawn(self.0.host, async move { this.serve(Rc::new(conn)).await });
        }
    }

    async fn flush(self) {
        let Inner { sim, store, slowness, .. } = &*self.0;
        let mut round = 0_u64;
        loop {
            sim.sleep(Duration::from_millis(50)).await;
            sim.sleep(slowness.get()).await;
            while store.flush_some() {}
            round += 1;
            if round.is_multiple_of(40) {
                store.probe();
            }
        }
    }

    async fn serve(self, conn: Rc<Conn>) {
        let Some(hello) = conn.recv().await else { return };
        let version = Hello::decode(hello.head()).expect("as it was sent").negotiate().expect("the same code");
        let welcome = Welcome { version, worker: self.id(), window: 1 << 20 };
        conn.send(Kind::Welcome, 0, &welcome.encode(), &[], 0);
        let owed = Rc::new(Cell::new(0_u64));
        let (sim, weak, owes) = (self.0.sim.clone(), Rc::downgrade(&conn), Rc::clone(&owed));
        self.0.sim.spawn(self.0.host, async move {
            loop {
                sim.sleep(BUSY).await;
                let Some(conn) = weak.upgrade() else { return };
                if owes.get() > 0 {
                    conn.send(Kind::Busy, 0, &[], &[], 0);
                }
            }
        });
        let mut order = Order::new(1000);
        while let Some(message) = conn.recv().await {
            owed.set(owed.get() + 1);
            if message.header.kind == Kind::Push {
                self.push(&conn, &owed, &mut order, message).await;
                continue;
            }
            let (this, conn, owed) = (self.clone(), Rc::clone(&conn), Rc::clone(&owed));
            self.0.sim.spawn(self.0.host, async move {
                this.other(&conn, message).await;
                owed.set(owed.get() - 1);
            });
        }
    }

    /// Takes a frame; returns when the next message may be read.
    async fn push(&self, conn: &Rc<Conn>, owed: &Rc<Cell<u64>>, order: &mut Order, message: Message) {
        let Inner { sim, host, store, app, .. } = &*self.0;
        let push = Push::decode(message.head(), VERSION).expect("as it was sent");
        let (blocks, stream) = (message.header.blocks, message.header.stream);
        let memory = match self.may_take(&push) {
            Ok(()) => store.reserve(app, message.body().len(), blocks).await,
            Err(error) => Err(error),
        };
        let mut queued = (!push.chain.is_empty()).then(|| order.next(&push));
        let next = match &memory {
            Ok(_) if !push.chain.is_empty() && self.0.broken != Some(Broken::NoForwarding) => {
                Some(self.forward(&push, message.body(), blocks))
            }
            _ => None,
        };
        let (this, conn, owed) = (self.clone(), Rc::clone(conn), Rc::clone(owed));
        sim.spawn(*host, async move {
            let mut verdict = match memory {
                Ok(mut memory) => {
                    memory.copy_from_slice(message.body());
                    this.verdict(&push, Arc::new(memory), blocks, next).await
                }
                Err(error) => Err(this.own_failure(error)),
            };
            if let Some(queued) = &mut queued {
                verdict = queued.turn(verdict).await;
            }
            answer(&conn, stream, &verdict);
            if let Some(queued) = queued {
                queued.answered(&verdict);
            }
            owed.set(owed.get() - 1);
        });
    }

    fn may_take(&self, push: &Push) -> Result<()> {
        if self.0.store.is_draining() && !matches!(push.last, Some(Last::Settled(_))) {
            return Err(Error::new(ErrorKind::Broken, "this worker is being drained: it takes no new data"));
        }
        Ok(())
    }

    async fn verdict(
        &self,
        push: &Push,
        body: Arc<overhand_server::memory::PooledBuf>,
        blocks: u32,
        next: Option<(Place, tokio::sync::oneshot::Receiver<Outcome>)>,
    ) -> Verdict {
        let own = self.0.store.push(&self.0.app, push, body, blocks).await;
        let own = own.map_err(|error| self.own_failure(error))?;
        let Some((place, next)) = next else { return Ok(own) };
        match heard(next).await {
            Outcome::Done(ack) => Ok(Ack { split: own.split || ack.split }),
            Outcome::Refused(failure) => Err(passed_on(&place, failure)),
            Outcome::Gone(error) => {
                let error = Error::new(ErrorKind::Broken, format!("the chain is broken: {error}"));
                Err(Failure { error, suspect: Some(place.worker) })
            }
        }
    }

    fn own_failure(&self, error: Error) -> Failure {
        let suspect = (error.kind() == ErrorKind::Broken).then(|| self.id());
        Failure { error, suspect }
    }

    /// Sends a frame to the next of its chain.
    fn forward(&self, push: &Push, body: &[u8], blocks: u32) -> (Place, tokio::sync::oneshot::Receiver<Outcome>) {
        let Inner { sim, net, host, links, .. } = &*self.0;
        let (place, rest) = push.chain.split_first().expect("it has a chain");
        let key = (place.worker.id, place.worker.incarnation, push.chain.len());
        let mut links = links.borrow_mut();
        links.retain(|_, link| link.is_open());
        let link = links.entry(key).or_insert_with(|| Link::new(sim, net, *host, place, false));
        let push = Push { chain: rest.to_vec(), ..push.clone() };
        (place.clone(), link.send(request(&push, Rc::new(body.to_vec()), blocks)))
    }

    async fn other(&self, conn: &Conn, message: Message) {
        let Inner { store, app, .. } = &*self.0;
        let (stream, head) = (message.header.stream, message.head());
        let done = match message.header.kind {
            Kind::Fetch => {
                let sent = self.fetch(conn, stream, &Fetch::decode(head, VERSION).expect("as it was sent")).await;
                match sent {
                    Ok(bytes) => conn.send(Kind::End, stream, &End { bytes }.encode(), &[], 0),
                    Err(error) => answer(conn, stream, &Err(Failure::new(error))),
                }
                return;
            }
            Kind::RemoveShuffle => {
                store.remove_shuffle(app, RemoveShuffle::decode(head).expect("as it was sent").shuffle).await
            }
            Kind::Replicate => self.copy(&Replicate::decode(head).expect("as it was sent")).await,
            Kind::Forget => store.forget(app, &Forget::decode(head).expect("as it was sent").key).await,
            _ => return,
        };
        answer(conn, stream, &done.map(|()| Ack::default()).map_err(Failure::new));
    }

    async fn fetch(&self, conn: &Conn, stream: u64, fetch: &Fetch) -> Result<u64> {
        let Inner { sim, store, app, .. } = &*self.0;
        let mut cursor = store.fetch(app, fetch)?;
        let mut sent = 0;
        while let Some(piece) = cursor.next(16 << 10).await? {
            let bytes = match &piece {
                Piece::Memory(slices) => slices.iter().flat_map(|slice| slice.as_ref().to_vec()).collect(),
                Piece::File { file, range } => {
                    let mut bytes = vec![0; (range.end - range.start) as usize];
                    if let Err(error) = file.read_exact_at(&mut bytes, range.start) {
                        cursor.read_failed(&error);
                        continue;
                    }
                    bytes
                }
            };
            sent += bytes.len() as u64;
            conn.send(Kind::Data, stream, &[], &bytes, 0);
            sim.sleep(Duration::from_micros(500)).await;
        }
        Ok(sent)
    }

    async fn copy(&self, what: &Replicate) -> Result<()> {
        let Inner { sim, net, host, store, app, .. } = &*self.0;
        let conn = dial(sim, net, *host, &what.from, true).await.map_err(retry)?;
        let partitions = what.layout.range(what.key.shard);
        let (maps, credit) = (0..u32::MAX, u64::MAX);
        let fetch = Fetch { key: what.key, partitions, maps, credit, without: vec![], ends: true };
        conn.send(Kind::Fetch, 1, &fetch.encode(VERSION), &[], 0);
        let mut taken = 0;
        loop {
            let message = sim.timeout(SILENCE, conn.recv()).await.flatten();
            let message = message.ok_or_else(|| Error::new(ErrorKind::Retry, "the source is gone"))?;
            match message.header.kind {
                Kind::Data => {
                    let len = message.body().len();
                    let mut body = store.reserve(app, len, (len / block::HEADER_LEN) as u32).await?;
                    body.copy_from_slice(message.body());
                    store.adopt(app, &what.key, what.layout, body).await?;
                    taken += len as u64;
                    conn.send(Kind::Credit, 1, &Credit { bytes: len as u64 }.encode(), &[], 0);
                }
                Kind::End if End::decode(message.head()).expect("as it was sent").bytes == taken => break,
                Kind::End => return Err(Error::new(ErrorKind::Retry, "not all of it came")),
                Kind::Failure => match Failure::decode(message.head()).expect("as it was sent").error {
                    error if error.kind() == ErrorKind::NotFound && taken == 0 => return Ok(()),
                    error => return Err(retry(error)),
                },
                _ => {}
            }
        }
        store.adopted(app, &what.key).await
    }
}

fn answer(conn: &Conn, stream: u64, verdict: &Verdict) {
    match verdict {
        Ok(ack) => conn.send(Kind::Ack, stream, ack.encode(VERSION), &[], 0),
        Err(failure) => conn.send(Kind::Failure, stream, &failure.encode(VERSION), &[], 0),
    }
}

fn retry(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::DataLost | ErrorKind::Invalid | ErrorKind::Internal => error,
        _ => Error::new(ErrorKind::Retry, error.message()),
    }
}
