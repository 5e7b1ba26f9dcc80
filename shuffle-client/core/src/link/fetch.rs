//! Fetches: many at a time over one connection; what comes is handed to the reader that asked.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use overhand_common::message::{Credit, End, Fetch, Kind, VERSION, message};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    runtime::Handle,
    sync::Notify,
};

use super::{
    Context, Incoming, Target, broken,
    dial::{Session, dial},
    failure,
};
use crate::{Error, ErrorKind, Result, client::count, pool::Buffer};

/// Between a connection that broke and the next.
const REST: Duration = Duration::from_millis(50);

/// Something came for a fetch.
#[derive(Debug)]
pub(crate) struct Event {
    /// The fetch, by the id that its reader gave it.
    pub(crate) id: u64,
    /// What came.
    pub(crate) what: What,
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

/// The fetch connection to one worker.
#[derive(Debug)]
pub(crate) struct FetchLink {
    context: Arc<Context>,
    state: Mutex<State>,
    changed: Notify,
    reset: Notify,
}

#[derive(Debug, Default)]
struct State {
    last_stream: u64,
    /// Per stream its reader and the reader's id for it.
    streams: HashMap<u64, (u64, Sender<Event>)>,
    messages: VecDeque<Vec<u8>>,
}

impl FetchLink {
    /// A link whose task runs on `runtime` until that ends.
    pub(crate) fn start(context: Arc<Context>, target: Target, runtime: &Handle) -> Arc<Self> {
        let link = Arc::new(Self { context, state: Mutex::default(), changed: Notify::new(), reset: Notify::new() });
        runtime.spawn(Arc::clone(&link).run(target));
        link
    }

    /// Starts a fetch; what comes is told to `reader` under `id`.
    pub(crate) fn open(&self, fetch: &Fetch, id: u64, reader: Sender<Event>) -> Stream {
        count(&self.context.tally.fetches);
        let mut state = self.state.lock();
        state.last_stream += 1;
        let stream = state.last_stream;
        state.streams.insert(stream, (id, reader));
        state.messages.push_back(message(Kind::Fetch, stream, &fetch.encode(VERSION)));
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
        count(&self.context.tally.credits);
        state.messages.push_back(message(Kind::Credit, stream.0, &Credit { bytes }.encode()));
        drop(state);
        self.changed.notify_one();
    }

    /// Stops a fetch, if it still goes on.
    pub(crate) fn cancel(&self, stream: Stream) {
        let mut state = self.state.lock();
        if state.streams.remove(&stream.0).is_none() {
            return;
        }
        state.messages.push_back(message(Kind::Cancel, stream.0, &[]));
        drop(state);
        self.changed.notify_one();
    }

    /// Gives the connection up, because nothing has come for too long.
    pub(crate) fn reset(&self) {
        self.reset.notify_waiters();
    }

    async fn run(self: Arc<Self>, target: Target) {
        loop {
            while self.state.lock().messages.is_empty() {
                self.changed.notified().await;
            }
            let Session { mut input, mut output, .. } = match dial(&self.context, &target).await {
                Ok(session) => session,
                Err(error) => {
                    self.end_all(|| What::Failed(error.clone()));
                    continue;
                }
            };
            let end = tokio::select! {
                end = self.send_messages(&mut output) => end,
                end = self.take_answers(&mut input) => end,
                () = self.reset.notified() => Err(broken("nothing came for too long")),
            };
            let Err(error) = end;
            tracing::debug!(worker = %target.place.address, %error, "a fetch connection ended");
            self.end_all(|| What::Broken(error.clone()));
            tokio::time::sleep(REST).await;
        }
    }

    async fn send_messages(&self, output: &mut OwnedWriteHalf) -> Result<std::convert::Infallible> {
        loop {
            let next = self.state.lock().messages.pop_front();
            match next {
                Some(bytes) => {
                    output.write_all(&bytes).await.map_err(|error| broken(format!("the connection broke: {error}")))?
                }
                None => self.changed.notified().await,
            }
        }
    }

    async fn take_answers(&self, input: &mut BufReader<OwnedReadHalf>) -> Result<std::convert::Infallible> {
        loop {
            let Incoming { kind, stream, head, body } = Incoming::read(input, &self.context.pool).await?;
            match kind {
                Kind::Data => {
                    count(&self.context.tally.data_messages);
                    if let Some((body, len)) = body {
                        self.tell(stream, What::Data(body, len));
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
                other => return Err(broken(format!("{other:?} is no answer to a fetch"))),
            }
        }
    }

    /// A reader that has gone is not told: its streams are cancelled, and what is still on the way is dropped.
    fn tell(&self, stream: u64, what: What) {
        let state = self.state.lock();
        if let Some((id, reader)) = state.streams.get(&stream) {
            let _ = reader.send(Event { id: *id, what });
        }
    }

    fn finish(&self, stream: u64, what: What) {
        if let Some((id, reader)) = self.state.lock().streams.remove(&stream) {
            let _ = reader.send(Event { id, what });
        }
    }

    fn end_all(&self, what: impl Fn() -> What) {
        let mut state = self.state.lock();
        state.messages.clear();
        for (_, (id, reader)) in state.streams.drain() {
            let _ = reader.send(Event { id, what: what() });
        }
    }
}
