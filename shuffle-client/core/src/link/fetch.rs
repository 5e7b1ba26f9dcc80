//! Fetches: many at a time over one connection; what comes is handed to the reader that asked.
//!
//! A worker owes something while a stream has credit left. If it then says nothing for a while, not even that it is
//! busy, the connection is given up: the readers ask somebody else, or here again.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, mpsc::Sender},
    time::{Duration, Instant},
};

use overhand_common::message::{Credit, End, Fetch, Kind, message};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWriteExt},
    net::tcp::OwnedWriteHalf,
    runtime::Handle,
    sync::Notify,
};

use super::{
    Context, Incoming, Target, broken,
    dial::{Session, dial_while},
    failure,
    heard::Heard,
};
use crate::{Error, ErrorKind, Placement, Result, client::count, pool::Buffer};

/// Between a connection that broke and the next.
const REST: Duration = Duration::from_millis(50);

/// Something came for a reader.
#[derive(Debug)]
pub(crate) enum Event {
    /// For the fetch of this id, which the reader chose.
    Fetch(u64, What),
    /// From the driver: a placement that may be newer.
    Placement(Result<Arc<Placement>>),
}

/// What came for a fetch; all but the first are its end.
#[derive(Debug)]
pub(crate) enum What {
    /// Blocks, and their bytes.
    Data(Buffer, usize),
    /// The worker sent that many bytes, and that is all.
    End(u64),
    /// The worker refused, or is out of reach for good.
    Failed(Error),
    /// The connection broke; asking again may help.
    Broken(Error),
}

/// A fetch that a link carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream(u64);

/// Who asks for a fetch.
#[derive(Debug)]
pub(crate) struct Asker {
    /// Where to tell what comes.
    pub(crate) reader: Sender<Event>,
    /// The reader's own name for the fetch.
    pub(crate) id: u64,
    /// Waits for a worker that is out of reach, as long as [`Context::retry_for`]; who has others to ask does not.
    pub(crate) patient: bool,
}

/// The fetch connection to one worker.
#[derive(Debug)]
pub(crate) struct FetchLink {
    context: Arc<Context>,
    state: Mutex<State>,
    /// There are requests to send.
    changed: Notify,
    /// The worker owes something, and did not before.
    owes: Notify,
    reset: Notify,
}

#[derive(Debug, Default)]
struct State {
    last_stream: u64,
    streams: HashMap<u64, Open>,
    requests: VecDeque<Request>,
    /// Since when the worker has owed something without a break.
    owed_since: Option<Instant>,
}

/// A stream that has not ended.
#[derive(Debug)]
struct Open {
    asker: Asker,
    /// Bytes that the worker may send and has not: with more than none it owes something.
    owed: i64,
}

#[derive(Debug)]
enum Request {
    Fetch(u64, Fetch),
    Credit(u64, u64),
    Cancel(u64),
}

impl Request {
    fn encode(&self, version: u16) -> Vec<u8> {
        match self {
            Request::Fetch(stream, fetch) => message(Kind::Fetch, *stream, &fetch.encode(version)),
            Request::Credit(stream, bytes) => message(Kind::Credit, *stream, &Credit { bytes: *bytes }.encode()),
            Request::Cancel(stream) => message(Kind::Cancel, *stream, &[]),
        }
    }
}

impl State {
    fn owes(&self) -> bool {
        self.streams.values().any(|open| open.owed > 0)
    }

    /// Ends the streams that are `meant`, and what was still to be sent for them.
    fn end(&mut self, meant: impl Fn(&Asker) -> bool, what: impl Fn() -> What) {
        for (_, Open { asker, .. }) in self.streams.extract_if(|_, open| meant(&open.asker)) {
            let _ = asker.reader.send(Event::Fetch(asker.id, what()));
        }
        let streams = &self.streams;
        self.requests.retain(|request| match request {
            Request::Fetch(stream, _) | Request::Credit(stream, _) => streams.contains_key(stream),
            Request::Cancel(_) => false,
        });
    }
}

impl FetchLink {
    /// A link whose task runs on `runtime` until that ends.
    pub(crate) fn start(context: Arc<Context>, target: Target, runtime: &Handle) -> Arc<Self> {
        let (changed, owes, reset) = (Notify::new(), Notify::new(), Notify::new());
        let link = Arc::new(Self { context, state: Mutex::default(), changed, owes, reset });
        runtime.spawn(Arc::clone(&link).run(target));
        link
    }

    /// Starts a fetch; what comes is told to who asks.
    pub(crate) fn open(&self, fetch: Fetch, asker: Asker) -> Stream {
        count(&self.context.tally.fetches);
        let mut state = self.state.lock();
        state.last_stream += 1;
        let stream = state.last_stream;
        self.owe(&mut state);
        state.streams.insert(stream, Open { asker, owed: fetch.credit as i64 });
        state.requests.push_back(Request::Fetch(stream, fetch));
        drop(state);
        self.changed.notify_one();
        Stream(stream)
    }

    /// Lets the worker send `bytes` more, if the fetch still goes on.
    pub(crate) fn grant(&self, stream: Stream, bytes: u64) {
        let mut state = self.state.lock();
        if !state.streams.contains_key(&stream.0) {
            return;
        }
        self.owe(&mut state);
        if let Some(open) = state.streams.get_mut(&stream.0) {
            open.owed += bytes as i64;
        }
        count(&self.context.tally.credits);
        state.requests.push_back(Request::Credit(stream.0, bytes));
        drop(state);
        self.changed.notify_one();
    }

    /// From now on the worker owes something.
    fn owe(&self, state: &mut State) {
        if !state.owes() {
            state.owed_since = Some(Instant::now());
            self.owes.notify_one();
        }
    }

    /// Stops a fetch, if it still goes on.
    pub(crate) fn cancel(&self, stream: Stream) {
        let mut state = self.state.lock();
        if state.streams.remove(&stream.0).is_none() {
            return;
        }
        let unsent = |request: &Request| matches!(request, Request::Fetch(other, _) if *other == stream.0);
        if let Some(at) = state.requests.iter().position(unsent) {
            state.requests.remove(at);
            return;
        }
        state.requests.push_back(Request::Cancel(stream.0));
        drop(state);
        self.changed.notify_one();
    }

    /// Gives the connection up, because nothing has come for too long.
    pub(crate) fn reset(&self) {
        self.reset.notify_waiters();
    }

    async fn run(self: Arc<Self>, target: Target) {
        loop {
            while self.state.lock().requests.is_empty() {
                self.changed.notified().await;
            }
            let Some(Session { input, mut output, version, .. }) = self.connect(&target).await else { continue };
            let heard = Heard::now();
            // Who speaks version 1 can't say that it is busy.
            let silence = if version >= 2 { self.context.silence } else { self.context.answer_timeout };
            // What has come is read before the clock is looked at: this process itself may have been stopped for a while.
            let end = tokio::select! {
                biased;
                end = self.send_requests(&mut output, version) => end,
                end = self.take_answers(heard.listen(input)) => end,
                end = self.watch(&heard, silence) => end,
                () = self.reset.notified() => Err(broken("nothing came for too long")),
            };
            let Err(error) = end;
            tracing::debug!(worker = %target.place.address, %error, "a fetch connection ended");
            self.state.lock().end(|_| true, || What::Broken(error.clone()));
            tokio::time::sleep(REST).await;
        }
    }

    /// Connects while somebody waits for it; if that fails for good, nobody waits any more.
    async fn connect(&self, target: &Target) -> Option<Session> {
        let mut abandoned = false;
        let tried = |error: &Error| {
            let mut state = self.state.lock();
            state.end(|asker| !asker.patient, || What::Broken(error.clone()));
            abandoned = state.streams.is_empty();
            !abandoned
        };
        match dial_while(&self.context, target, tried).await {
            Ok(session) => Some(session),
            Err(error) => {
                if !abandoned {
                    self.state.lock().end(|_| true, || What::Failed(error.clone()));
                }
                None
            }
        }
    }

    /// Sends what is asked for; what was asked for meanwhile goes out together, by one call.
    async fn send_requests(&self, output: &mut OwnedWriteHalf, version: u16) -> Result<Infallible> {
        loop {
            let requests = std::mem::take(&mut self.state.lock().requests);
            if requests.is_empty() {
                self.changed.notified().await;
                continue;
            }
            let bytes: Vec<u8> = requests.iter().flat_map(|request| request.encode(version)).collect();
            let sent = output.write_all(&bytes).await;
            sent.map_err(|error| broken(format!("the connection broke: {error}")))?;
        }
    }

    /// Ends when the worker has owed something for `silence`, and nothing has come.
    async fn watch(&self, heard: &Heard, silence: Duration) -> Result<Infallible> {
        loop {
            let owed_since = {
                let state = self.state.lock();
                state.owed_since.filter(|_| state.owes())
            };
            let Some(since) = owed_since else {
                self.owes.notified().await;
                continue;
            };
            let end = since.max(heard.last()) + silence;
            if end <= Instant::now() {
                return Err(broken(format!("it owes blocks, and has said nothing for {silence:?}")));
            }
            tokio::time::sleep_until(end.into()).await;
        }
    }

    async fn take_answers(&self, mut input: impl AsyncRead + Unpin) -> Result<Infallible> {
        loop {
            let Incoming { kind, stream, head, body } = Incoming::read(&mut input, &self.context.pool).await?;
            match kind {
                Kind::Data => {
                    count(&self.context.tally.data_messages);
                    if let Some((body, len)) = body {
                        self.tell(stream, body, len);
                    }
                }
                Kind::End => {
                    let end = End::decode(&head).map_err(|error| broken(error.to_string()))?;
                    self.finish(stream, What::End(end.bytes));
                }
                Kind::Failure => {
                    let error = failure(&head);
                    match error.kind() {
                        ErrorKind::Closed => return Err(error),
                        ErrorKind::Retry | ErrorKind::Backpressure => self.finish(stream, What::Broken(error)),
                        _ => self.finish(stream, What::Failed(error)),
                    }
                }
                // It was heard, which is all that it means.
                Kind::Busy => {}
                other => return Err(broken(format!("{other:?} is no answer to a fetch"))),
            }
        }
    }

    /// A reader that has gone is not told: its streams are cancelled, and what is still on the way is dropped.
    fn tell(&self, stream: u64, body: Buffer, len: usize) {
        let mut state = self.state.lock();
        if let Some(Open { asker, owed }) = state.streams.get_mut(&stream) {
            *owed -= len as i64;
            let _ = asker.reader.send(Event::Fetch(asker.id, What::Data(body, len)));
        }
    }

    fn finish(&self, stream: u64, what: What) {
        if let Some(Open { asker, .. }) = self.state.lock().streams.remove(&stream) {
            let _ = asker.reader.send(Event::Fetch(asker.id, what));
        }
    }
}
