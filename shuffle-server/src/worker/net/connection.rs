//! One connection: the hello, then message by message.

use std::{
    collections::HashMap,
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use overhand_common::{
    Error, ErrorKind, Malformed,
    ids::AppId,
    message::{Credit, Failure, Fetch, Header, Hello, Kind, MIN_VERSION, Welcome, message},
};
use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    task::{JoinError, JoinSet, yield_now},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Broken, Plane,
    busy::Owing,
    fetch::{self, Stream},
    input::Input,
    order::Order,
    output::Output,
    push::at_once,
};

/// How long the other side may take to notice that the connection is being closed.
const LINGER: Duration = Duration::from_secs(1);

/// Body bytes after which a connection lets others have the thread. One whose peer always has more would keep it as long
/// as Tokio's budget of operations lasts, which with large reads is tens of milliseconds.
const TURN: u64 = 1 << 20;

/// What a connection's reader shares with its requests.
pub struct Shared {
    pub(super) plane: Arc<Plane>,
    pub(super) app: AppId,
    /// Of the protocol.
    pub(super) version: u16,
    pub(super) output: Output,
    pub(super) stop: CancellationToken,
    /// What the peer waits for.
    pub(super) owing: Arc<Owing>,
    streams: Mutex<HashMap<u64, Arc<Stream>>>,
}

/// A connection that has said hello.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) input: Input,
    /// Fetches: when the peer leaves they end at once.
    fetches: JoinSet<Result<(), Broken>>,
    /// Requests that change something, with the bytes of their bodies: frames that wait for the next worker or for the
    /// disk, removals, copies. They are carried through even if the peer leaves.
    pub(super) changes: JoinSet<(u64, Result<(), Broken>)>,
    pub(super) changes_bytes: u64,
    /// Of the answers to frames that were forwarded.
    pub(super) order: Order,
}

/// Serves a connection until it ends, or until `stop`, and says goodbye.
pub async fn serve(plane: Arc<Plane>, socket: TcpStream, stop: CancellationToken) {
    let peer = socket.peer_addr().map_or_else(|_| "unknown".to_owned(), |address| address.to_string());
    let (receiver, sender) = socket.into_split();
    let mut input = Input::new(receiver, plane.limits.stall_timeout);
    let output = Output::new(sender, plane.limits.stall_timeout);
    let greeted = tokio::select! {
        greeted = greet(&plane, &mut input, &output) => greeted,
        () = stop.cancelled() => return,
    };
    let (app, version) = match greeted {
        Ok(Some(greeted)) => greeted,
        Ok(None) => return,
        Err(broken) => {
            plane.metrics.refused.increment(1);
            tracing::info!(peer, reason = %broken, "connection refused");
            return close(&broken, MIN_VERSION, &mut input, &output).await;
        }
    };
    tracing::debug!(peer, %app, "connection opened");
    let order = Order::new(plane.limits.streams);
    let (owing, streams) = (Arc::default(), Mutex::default());
    let shared = Arc::new(Shared { plane, app, version, output, stop, owing, streams });
    let (fetches, changes) = (JoinSet::new(), JoinSet::new());
    let mut connection = Connection { shared: shared.clone(), input, fetches, changes, changes_bytes: 0, order };
    let ended = tokio::select! {
        ended = connection.run() => ended,
        never = shared.owing.beat(&shared.output, version) => match never {},
    };
    let Connection { mut input, .. } = connection;
    match ended {
        Ok(()) => shared.output.shutdown().await,
        Err(Broken::Socket(error)) => tracing::debug!(peer, app = %shared.app, %error, "connection lost"),
        Err(broken) => {
            shared.plane.metrics.broken.increment(1);
            tracing::warn!(peer, app = %shared.app, reason = %broken, "connection broken");
            close(&broken, version, &mut input, &shared.output).await;
        }
    }
}

/// The hello: whose data, and the version; `None` if the peer left without a word.
async fn greet(plane: &Plane, input: &mut Input, output: &Output) -> Result<Option<(AppId, u16)>, Broken> {
    let hello = async {
        let Some(header) = input.header().await? else { return Ok(None) };
        let refuse = |error: Error| Broken::Untrusted(header.stream, error);
        if header.kind != Kind::Hello {
            let text = format!("a connection begins with a hello, {:?} came", header.kind);
            return Err(refuse(Error::new(ErrorKind::Invalid, text)));
        }
        let head = input.head(&header).await?;
        header.check_head(head).map_err(|malformed| refuse(malformed.into()))?;
        let hello = Hello::decode(head).map_err(|malformed| refuse(malformed.into()))?;
        let version = hello.negotiate().map_err(refuse)?;
        let claims = plane.key.verify(&hello.token).map_err(refuse)?;
        let welcome = Welcome { version, worker: plane.store.worker_id(), window: plane.limits.window };
        plane.tokens.shown(&hello.token, &claims, SystemTime::now());
        output.send(&message(Kind::Welcome, header.stream, &welcome.encode())).await?;
        Ok(Some((claims.app, version)))
    };
    timeout(plane.limits.hello_timeout, hello)
        .await
        .unwrap_or_else(|_| Err(Broken::Untrusted(0, Error::new(ErrorKind::Closed, "no hello came in time"))))
}

/// Tells the other side why, if it still listens, and closes so that it can hear it.
async fn close(broken: &Broken, version: u16, input: &mut Input, output: &Output) {
    let (stream, error) = match broken {
        Broken::Untrusted(stream, error) => (*stream, error.clone()),
        Broken::Internal(what) => (0, Error::new(ErrorKind::Internal, what.clone())),
        Broken::Socket(_) | Broken::Truncated | Broken::Stalled => return,
    };
    let goodbye = async {
        if output.send(&message(Kind::Failure, stream, &Failure::new(error).encode(version))).await.is_ok() {
            output.shutdown().await;
            input.drain().await;
        }
    };
    let _heard_or_not = timeout(LINGER, goodbye).await;
}

impl Connection {
    async fn run(&mut self) -> Result<(), Broken> {
        let read = self.read().await;
        let finished = self.finish(read.is_err()).await;
        read.and(finished)
    }

    /// Takes messages until the peer closes or the worker stops.
    async fn read(&mut self) -> Result<(), Broken> {
        let stop = self.shared.stop.clone();
        let mut taken = 0;
        loop {
            if taken >= TURN {
                taken = 0;
                yield_now().await;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(done) = self.fetches.join_next() => joined(done)??,
                Some(done) = self.changes.join_next() => self.changed(done)?,
                header = self.input.header() => match header? {
                    Some(header) => {
                        taken += u64::from(header.body_len);
                        self.take(header).await?;
                    }
                    None => {
                        // Nobody is there any more to read what fetches would send.
                        self.fetches.abort_all();
                        return Ok(());
                    }
                },
            }
        }
    }

    /// Lets what is under way come to its end.
    async fn finish(&mut self, broken: bool) -> Result<(), Broken> {
        if broken {
            self.fetches.abort_all();
        }
        let mut result = Ok(());
        while let Some(done) = self.changes.join_next().await {
            result = result.and(self.changed(done));
        }
        while let Some(done) = self.fetches.join_next().await {
            if !done.as_ref().is_err_and(JoinError::is_cancelled) {
                result = result.and(joined(done).flatten());
            }
        }
        result
    }

    async fn take(&mut self, header: Header) -> Result<(), Broken> {
        match header.kind {
            Kind::Push => self.push(header).await,
            Kind::Fetch => {
                self.fetch(header).await?;
                while self.input.holds_fetch()
                    && let Some(header) = self.input.header().await?
                {
                    self.fetch(header).await?;
                }
                let shared = self.shared.clone();
                self.answer(async move { shared.output.flush().await }).await
            }
            Kind::Credit => {
                if let Some(credit) = self.head(&header, Credit::decode).await?
                    && let Some(stream) = self.shared.streams.lock().get(&header.stream)
                {
                    stream.grant(credit.bytes);
                }
                Ok(())
            }
            Kind::Cancel => {
                self.input.head(&header).await?;
                if let Some(stream) = self.shared.streams.lock().remove(&header.stream) {
                    stream.cancel();
                }
                Ok(())
            }
            Kind::RemoveShuffle => self.remove_shuffle(header).await,
            Kind::Replicate => self.replicate(header).await,
            Kind::Forget => self.forget(header).await,
            Kind::Hello | Kind::Welcome | Kind::Ack | Kind::Data | Kind::End | Kind::Failure | Kind::Busy => {
                let text = format!("{:?} is nothing that a client says at this point", header.kind);
                Err(Broken::Untrusted(header.stream, Error::new(ErrorKind::Invalid, text)))
            }
        }
    }

    /// Reads and decodes a head. One that is wrong is answered on its stream: the lengths are right, so the bytes after
    /// it can be trusted.
    pub(super) async fn head<T>(
        &mut self,
        header: &Header,
        decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Broken> {
        let head = self.input.head(header).await?;
        match header.check_head(head).and_then(|()| decode(head)) {
            Ok(decoded) => Ok(Some(decoded)),
            Err(malformed) => {
                self.input.skip(header.body_len as usize).await?;
                if let Some(stream) = self.shared.streams.lock().remove(&header.stream) {
                    stream.cancel();
                }
                self.shared.fail(header.stream, malformed.into()).await?;
                Ok(None)
            }
        }
    }

    async fn fetch(&mut self, header: Header) -> Result<(), Broken> {
        let version = self.shared.version;
        let Some(fetch) = self.head(&header, |head| Fetch::decode(head, version)).await? else { return Ok(()) };
        // It is here whole; answers to fetches that came together go out together.
        self.shared.output.gather();
        let id = header.stream;
        let shared = self.shared.clone();
        let limit = shared.plane.limits.streams;
        if self.fetches.len() >= limit {
            let text =
                format!("{limit} requests are under way on this connection, which is the most (network.streams)");
            return shared.fail(id, Error::new(ErrorKind::Backpressure, text)).await;
        }
        match shared.plane.store.fetch(&shared.app, &fetch) {
            Ok(cursor) => {
                if shared.streams.lock().contains_key(&id) {
                    let text = format!("stream {id} is in use by another fetch");
                    return Err(Broken::Untrusted(id, Error::new(ErrorKind::Invalid, text)));
                }
                if fetch::answer_now(&shared, id, fetch.credit, &cursor) {
                    return Ok(());
                }
                let stream = Arc::new(Stream::new(fetch.credit));
                shared.streams.lock().insert(id, stream.clone());
                self.answer(async move {
                    let result = fetch::run(shared.clone(), id, stream.clone(), cursor).await;
                    let mut streams = shared.streams.lock();
                    // After a cancel the client may have begun another fetch under the same number.
                    if streams.get(&id).is_some_and(|now| Arc::ptr_eq(now, &stream)) {
                        streams.remove(&id);
                    }
                    result
                })
                .await
            }
            Err(error) => self.answer(async move { shared.fail(id, error).await }).await,
        }
    }

    /// Answers a fetch here if that need not wait, as most small ones need not, and else beside: the reader must not wait
    /// for a turn to send. Handing it to another thread costs more than a small answer.
    async fn answer(
        &mut self,
        answer: impl Future<Output = Result<(), Broken>> + Send + 'static,
    ) -> Result<(), Broken> {
        let mut answer = Box::pin(answer);
        match at_once(answer.as_mut()).await {
            Some(result) => result,
            None => {
                self.fetches.spawn(answer);
                Ok(())
            }
        }
    }

    pub(super) fn changed(&mut self, done: Result<(u64, Result<(), Broken>), JoinError>) -> Result<(), Broken> {
        let (bytes, result) = joined(done)?;
        self.changes_bytes -= bytes;
        result
    }
}

impl Shared {
    /// Answers a request with a failure of our own.
    pub(super) async fn fail(&self, stream: u64, error: Error) -> Result<(), Broken> {
        self.refuse(stream, self.own_failure(error)).await
    }

    /// Answers a request with a failure.
    pub(super) async fn refuse(&self, stream: u64, mut failure: Failure) -> Result<(), Broken> {
        let kind = failure.error.kind();
        self.plane.metrics.failure(kind);
        tracing::debug!(app = %self.app, stream, error = %failure.error, "request failed");
        if kind == ErrorKind::Broken && self.version < 2 {
            // It has no word for chains: all that it can do is to try again.
            failure.error = Error::new(ErrorKind::Retry, failure.error.message());
        }
        self.output.send(&message(Kind::Failure, stream, &failure.encode(self.version))).await
    }
}

/// A request that panicked must not leave its client waiting: the connection ends.
fn joined<T>(done: Result<T, JoinError>) -> Result<T, Broken> {
    done.map_err(|error| Broken::Internal(format!("a request failed badly: {error}")))
}
