//! One connection to the next worker of chains: frames out in order, answers in.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use overhand_common::{
    Error, ErrorKind, Result,
    message::{Ack, Failure, Header, Kind, Push},
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::{Forwarder, Room, Target, passed_on};
use crate::{
    memory::PooledBuf,
    worker::net::{
        dial::{Session, describe, dial, lost},
        input::Input,
        order::Verdict,
        output::Output,
    },
};

/// How long a link that has nothing to do stays open.
const IDLE: Duration = Duration::from_secs(60);

/// A frame on its way to the next worker.
pub struct Frame {
    /// Its head; the chain is who comes after the next.
    pub push: Push,
    /// As it came.
    pub body: Arc<PooledBuf>,
    /// How many blocks are in it.
    pub blocks: u32,
    /// Its room, kept as long as the body.
    pub room: Room,
    /// Who waits for what comes of it.
    pub done: oneshot::Sender<Verdict>,
}

/// Why a link ended.
pub enum End {
    /// It had nothing to do.
    Idle,
    /// This worker shuts down.
    Stopped,
    /// The worker can't be reached, or is another one.
    Unreached(Error),
    /// The connection failed, or the worker is silent.
    Broken(Error),
}

/// A link's frames.
pub struct Link {
    queue: Queue,
    sent: Sent,
}

/// What was not sent yet.
struct Queue {
    frames: mpsc::UnboundedReceiver<Frame>,
    /// The first of them, while it waits for its turn.
    next: Option<Frame>,
}

/// What was sent and not answered.
#[derive(Default)]
struct Sent {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    last_stream: u64,
    waiting: HashMap<u64, (oneshot::Sender<Verdict>, u64)>,
    /// Body bytes of `waiting`.
    bytes: u64,
    /// When the worker was heard last, or when it began to owe an answer if that is later.
    heard: Option<Instant>,
}

impl Link {
    /// A link that is to send these.
    pub fn new(frames: mpsc::UnboundedReceiver<Frame>) -> Self {
        Self { queue: Queue { frames, next: None }, sent: Sent::default() }
    }

    /// Whether there is nothing to send and nothing to wait for.
    pub fn is_idle(&self) -> bool {
        self.queue.frames.is_empty() && self.queue.next.is_none() && self.sent.state.lock().waiting.is_empty()
    }

    /// Dials and serves the connection to its end.
    pub async fn run(&mut self, forwarder: &Forwarder, target: &Target) -> End {
        let token = forwarder.tokens.of(&target.app);
        let session = match dial(&target.next, &token, forwarder.silence).await {
            Ok(session) => session,
            Err(error) => return End::Unreached(error),
        };
        let Session { mut input, output, version, window } = session;
        let silence = if version >= 2 { forwarder.silence } else { forwarder.patience };
        let named = |error: Error| End::Broken(error.context(describe(&target.next)));
        tokio::select! {
            // What has come is heard before the silence is judged.
            biased;
            Err(error) = receive(&self.sent, &mut input, target) => named(error),
            ended = send(&mut self.queue, &self.sent, &output, (version, window), forwarder) => match ended {
                Ok(()) => End::Idle,
                Err(error) => named(error),
            },
            Err(error) = self.sent.watch(silence) => named(error),
        }
    }

    /// Fails all its frames.
    pub fn fail(self, failure: &Failure) {
        let Self { mut queue, sent } = self;
        queue.frames.close();
        let waiting = std::mem::take(&mut sent.state.lock().waiting);
        let waiting = waiting.into_values().map(|(done, _)| done);
        let unsent = queue.next.into_iter().chain(std::iter::from_fn(|| queue.frames.try_recv().ok()));
        for done in waiting.chain(unsent.map(|frame| frame.done)) {
            // Who does not wait any more needs no answer.
            let _ = done.send(Err(failure.clone()));
        }
    }
}

/// Sends frames in their order, as far as the window allows, until there were none for a while. What it has not sent
/// stays in the queue, what it has is in `sent`.
async fn send(
    queue: &mut Queue,
    sent: &Sent,
    output: &Output,
    (version, window): (u16, u64),
    forwarder: &Forwarder,
) -> Result<()> {
    loop {
        if queue.next.is_none() {
            match timeout(IDLE, queue.frames.recv()).await {
                Ok(Some(frame)) => queue.next = Some(frame),
                Err(_) if !sent.state.lock().waiting.is_empty() => continue,
                Ok(None) | Err(_) => return Ok(()),
            }
        }
        let Some(frame) = &queue.next else { continue };
        let len = frame.body.len() as u64;
        let head = frame.push.encode(version)?;
        sent.room(len, window).await;
        let Some(Frame { body, blocks, room, done, .. }) = queue.next.take() else { continue };
        let stream = sent.add(len, done);
        let header = Header::new(Kind::Push, stream, &head, len as u32, blocks).encode();
        output.turn().await.send(&[&header[..], &head].concat(), &[&body[..]]).await.map_err(lost)?;
        drop((body, room));
        forwarder.metrics.forwarded_frames.increment(1);
        forwarder.metrics.forwarded_bytes.increment(len);
    }
}

/// Takes answers, and tells them to those who wait.
async fn receive(sent: &Sent, input: &mut Input, target: &Target) -> Result<Infallible> {
    loop {
        let header = input.header().await.map_err(lost)?.ok_or_else(|| lost("it closed the connection"))?;
        let head = input.head(&header).await.map_err(lost)?;
        header.check_head(head).map_err(lost)?;
        let verdict = match header.kind {
            Kind::Busy => None,
            Kind::Ack => Some(Ok(Ack::decode(head).map_err(lost)?)),
            Kind::Failure => Some(Err(Failure::decode(head).map_err(lost)?)),
            other => return Err(lost(format_args!("{other:?} is no answer to a push"))),
        };
        let done = sent.heard(verdict.is_some().then_some(header.stream));
        match (verdict, done) {
            (None, _) => {}
            (Some(verdict), Some(done)) => {
                // Who does not wait any more needs no answer.
                let _ = done.send(verdict.map_err(|failure| passed_on(&target.next, failure)));
            }
            // It says why it is about to close the connection.
            (Some(Err(failure)), None) => return Err(failure.error),
            (Some(Ok(_)), None) => return Err(lost("it acknowledged what was not sent")),
        }
    }
}

impl Sent {
    /// Waits until the window has room for `len` bytes, or nothing is in it.
    async fn room(&self, len: u64, window: u64) {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state.lock();
                if state.waiting.is_empty() || state.bytes + len <= window {
                    return;
                }
            }
            changed.await;
        }
    }

    /// From now on an answer is owed for a frame of `len` bytes; returns its stream.
    fn add(&self, len: u64, done: oneshot::Sender<Verdict>) -> u64 {
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            state.heard = Some(Instant::now());
        }
        state.last_stream += 1;
        let stream = state.last_stream;
        state.bytes += len;
        state.waiting.insert(stream, (done, len));
        self.changed.notify_waiters();
        stream
    }

    /// Something came: an answer on `stream`, or only a sign of life. Returns who waits for the answer.
    fn heard(&self, stream: Option<u64>) -> Option<oneshot::Sender<Verdict>> {
        let mut state = self.state.lock();
        state.heard = Some(Instant::now());
        let (done, len) = state.waiting.remove(&stream?)?;
        state.bytes -= len;
        self.changed.notify_waiters();
        Some(done)
    }

    /// Ends when an answer is owed and nothing has come for `silence`.
    async fn watch(&self, silence: Duration) -> Result<Infallible> {
        loop {
            let changed = self.changed.notified();
            let deadline = {
                let state = self.state.lock();
                state.heard.filter(|_| !state.waiting.is_empty()).map(|heard| heard + silence)
            };
            match deadline {
                None => changed.await,
                Some(deadline) if deadline <= Instant::now() => {
                    return Err(Error::new(ErrorKind::Retry, format!("it was silent for {silence:?}")));
                }
                Some(deadline) => sleep_until(deadline).await,
            }
        }
    }
}
