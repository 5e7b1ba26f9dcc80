//! One per executor: settings, connections, memory, counters.
//!
//! A [`Client`] holds what its writers and readers share: the pool of buffers, a link per worker for pushes and one
//! for fetches, the threads that encode, the tokens. Its asynchronous runtime lives and ends with it.

mod config;
mod counters;
mod patience;
mod placements;
mod threads;
mod tokens;

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};

pub use self::{config::ClientConfig, counters::Counters};
pub(crate) use self::{
    counters::{Tally, count},
    patience::Patience,
    placements::Placements,
    threads::Threads,
    tokens::{Tokens, now},
};
use crate::{
    AppId, Attempt, Driver, Error, ErrorKind, Place, Placement, ReadRequest, Reader, Result, Writer,
    codec::Cipher,
    link::{
        Context, Target,
        fetch::FetchLink,
        push::{PushLink, Tries},
    },
    pool::Pool,
    reader::Pace,
    writer::Workspaces,
};

/// Whether the engine wants its thread back: while a call waits, it asks this about once a second.
pub type Interrupt = Arc<dyn Fn() -> bool + Send + Sync>;

/// Writes and reads shuffles. Cheap to clone: all clones share connections, memory and threads, which go with the last
/// of them (writers and readers count as clones).
#[derive(Debug, Clone)]
pub struct Client(Arc<Shared>);

/// What a client's writers and readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ClientConfig,
    pub(crate) cipher: Option<Arc<Cipher>>,
    pub(crate) pool: Pool,
    pub(crate) workspaces: Workspaces,
    pub(crate) threads: Threads,
    pub(crate) placements: Placements,
    pub(crate) pace: Pace,
    context: Arc<Context>,
    pushes: Mutex<HashMap<Target, Arc<PushLink>>>,
    fetches: Mutex<HashMap<Target, Arc<FetchLink>>>,
    runtime: OwnedRuntime,
}

impl Shared {
    /// The push connection to a worker.
    pub(crate) fn push_link(&self, app: &AppId, place: &Place) -> Arc<PushLink> {
        let target = Target { app: app.clone(), place: place.clone() };
        let tries = if self.placements.can_ask() { Tries::Few } else { Tries::Many };
        let start = |target: Target| PushLink::start(Arc::clone(&self.context), target, tries, self.runtime.handle());
        Arc::clone(self.pushes.lock().entry(target.clone()).or_insert_with(|| start(target)))
    }

    /// The fetch connection to a worker.
    pub(crate) fn fetch_link(&self, placement: &Placement, place: &Place) -> Arc<FetchLink> {
        let target = Target { app: placement.app.clone(), place: place.clone() };
        let start = |target: Target| FetchLink::start(Arc::clone(&self.context), target, self.runtime.handle());
        Arc::clone(self.fetches.lock().entry(target.clone()).or_insert_with(|| start(target)))
    }

    /// What is counted.
    pub(crate) fn tally(&self) -> &Tally {
        &self.context.tally
    }

    /// Where the client's own tasks run.
    pub(crate) fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    fn learn(&self, placement: &Arc<Placement>) {
        let context = &self.context;
        if context.tokens.learn(placement) {
            let renewing = Arc::clone(&context.tokens).keep_fresh(Arc::clone(placement), Arc::clone(&context.tally));
            self.runtime.handle().spawn(renewing);
        }
    }
}

impl Client {
    /// A client with these settings; it connects to a worker when it first needs it.
    ///
    /// # Errors
    /// `Invalid` if a setting is out of bounds, `Internal` if threads can't be started.
    pub fn new(config: ClientConfig) -> Result<Self> {
        Self::start(config, None)
    }

    /// A client that asks `driver` when a placement is out of date: without one, a worker that fails for good fails
    /// what needs it.
    ///
    /// # Errors
    /// As of [`Client::new`].
    pub fn with_driver(config: ClientConfig, driver: Arc<dyn Driver>) -> Result<Self> {
        Self::start(config, Some(driver))
    }

    fn start(config: ClientConfig, driver: Option<Arc<dyn Driver>>) -> Result<Self> {
        config.validate()?;
        let cipher = config.encryption_key.as_deref().map(Cipher::new).transpose()?.map(Arc::new);
        let pool = Pool::new(config.idle_memory);
        let context = Arc::new(Context {
            pool: pool.clone(),
            tokens: Arc::default(),
            tally: Arc::default(),
            connect_timeout: config.connect_timeout,
            answer_timeout: config.answer_timeout,
            silence: config.silence,
            retry_for: config.retry_for,
        });
        let placements = Placements::new(driver, Arc::clone(&context.tally));
        let threads = Threads::start(config.encode_threads)?;
        let runtime = OwnedRuntime::start("overhand-io", config.io_threads)?;
        Ok(Self(Arc::new(Shared {
            config,
            cipher,
            pool,
            workspaces: Workspaces::default(),
            threads,
            placements,
            pace: Pace::default(),
            context,
            pushes: Mutex::default(),
            fetches: Mutex::default(),
            runtime,
        })))
    }

    /// A writer of one attempt's output.
    ///
    /// # Errors
    /// `Internal` if there is no memory.
    pub fn writer(&self, placement: Arc<Placement>, attempt: Attempt) -> Result<Writer> {
        self.0.learn(&placement);
        Writer::new(Arc::clone(&self.0), placement, attempt)
    }

    /// A reader of a range of partitions and map indexes.
    ///
    /// # Errors
    /// `Invalid` if a range is out of bounds or an expected attempt is outside of it.
    pub fn reader(&self, placement: Arc<Placement>, request: ReadRequest) -> Result<Reader> {
        self.0.learn(&placement);
        Reader::new(Arc::clone(&self.0), placement, request)
    }

    /// How many bytes of records to collect before a [`Writer::push`], so that the runs of `partitions` make decent
    /// blocks.
    pub fn batch_size(&self, partitions: u32) -> usize {
        (partitions as usize).saturating_mul(self.0.config.min_block_size).clamp(4 << 20, 32 << 20)
    }

    /// Calls and messages so far.
    pub fn counters(&self) -> Counters {
        self.0.context.tally.read()
    }

    /// Bytes of buffers in use and kept for the next use, by all writers and readers together.
    pub fn memory(&self) -> usize {
        self.0.pool.memory()
    }
}

/// A runtime that does not wait for its tasks when it is dropped, wherever that is.
#[derive(Debug)]
pub(crate) struct OwnedRuntime(Option<Runtime>);

impl OwnedRuntime {
    pub(crate) fn start(name: &str, threads: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build();
        let runtime = runtime
            .map_err(|error| Error::new(ErrorKind::Internal, format!("threads could not be started: {error}")))?;
        Ok(Self(Some(runtime)))
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.0.as_ref().expect("taken only in drop").handle()
    }
}

impl Drop for OwnedRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
