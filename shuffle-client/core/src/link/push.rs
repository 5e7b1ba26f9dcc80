//! Pushes: frames in the order in which they were given, sent again in that order when a connection breaks.

use std::{
    collections::{BTreeMap, VecDeque},
    io::IoSlice,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Buf;
use overhand_common::message::{Ack, Failure, Header, Kind};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    runtime::Handle,
    sync::Notify,
};

use super::{
    Context, Incoming, Target, broken,
    dial::{Session, dial_exact},
    frame::{Failed, Frame},
};
use crate::{Error, ErrorKind, Result, client::count};

/// Between connections that broke before anything was acknowledged on them, times how many there were.
const REST: Duration = Duration::from_millis(50);

/// How hard a link tries before it fails its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tries {
    /// The frames can go elsewhere: one new connection, at once.
    Few,
    /// They can't: new connections for [`Context::retry_for`].
    Many,
}

impl Tries {
    /// So many connections in a row may break before anything was acknowledged on them.
    fn barren(self) -> u32 {
        match self {
            Tries::Few => 2,
            Tries::Many => 6,
        }
    }
}

/// The push connection to one worker.
#[derive(Debug)]
pub(crate) struct PushLink {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    last_stream: u64,
    waiting: VecDeque<(u64, Arc<Frame>)>,
    unacknowledged: BTreeMap<u64, Arc<Frame>>,
    unacknowledged_bytes: u64,
    /// Something was acknowledged on this connection.
    acknowledged: bool,
    /// The last time that something moved while something was unacknowledged.
    moved: Option<Instant>,
}

impl PushLink {
    /// A link whose task runs on `runtime` until that ends.
    pub(crate) fn start(context: Arc<Context>, target: Target, tries: Tries, runtime: &Handle) -> Arc<Self> {
        let link = Arc::new(Self { state: Mutex::default(), changed: Notify::new() });
        runtime.spawn(Arc::clone(&link).run(context, target, tries));
        link
    }

    /// Sends a frame after all that were given before it. What becomes of it is told to its owner.
    pub(crate) fn send(&self, frame: Frame) {
        let mut state = self.state.lock();
        state.last_stream += 1;
        let stream = state.last_stream;
        state.waiting.push_back((stream, Arc::new(frame)));
        drop(state);
        self.changed.notify_one();
    }

    async fn run(self: Arc<Self>, context: Arc<Context>, target: Target, tries: Tries) {
        let mut barren = 0;
        loop {
            while self.state.lock().waiting.is_empty() {
                self.changed.notified().await;
            }
            let session = match dial_exact(&context, &target, tries == Tries::Many).await {
                Ok(session) => session,
                Err(error) => {
                    self.fail_all(&error, &target);
                    continue;
                }
            };
            let limit = if session.version >= 2 { context.silence } else { context.answer_timeout };
            let Session { mut input, mut output, .. } = session;
            let (end, silent) = tokio::select! {
                end = self.send_frames(&context, &mut output, session.window, session.version) => (end, false),
                end = self.take_answers(&context, &mut input) => (end, false),
                end = self.silence(limit) => (end, true),
            };
            let Err(error) = end;
            tracing::debug!(worker = %target.place.address, %error, "a push connection ended");
            self.requeue();
            barren = if std::mem::take(&mut self.state.lock().acknowledged) { 0 } else { barren + 1 };
            if barren >= tries.barren() || silent && tries == Tries::Few {
                let place = &target.place;
                self.fail_all(&error.context(format!("worker {} at {}", place.worker, place.address)), &target);
                barren = 0;
            }
            tokio::time::sleep(REST * barren).await;
        }
    }

    async fn send_frames(
        &self,
        context: &Context,
        output: &mut OwnedWriteHalf,
        window: u64,
        version: u16,
    ) -> Result<std::convert::Infallible> {
        loop {
            let Some((stream, frame)) = self.next_frame(window) else {
                self.changed.notified().await;
                continue;
            };
            let head = match frame.push.encode(version) {
                Ok(head) => head,
                Err(error) => {
                    self.settle(stream);
                    frame.fail(Failed { error, suspect: None, answered: true });
                    continue;
                }
            };
            let body = frame.body.bytes();
            let header = Header::new(Kind::Push, stream, &head, body.len() as u32, frame.body.blocks).encode();
            let mut bytes = header.chain(&head[..]).chain(body);
            count(&context.tally.frames);
            if !frame.body.note_sent() {
                count(&context.tally.extra_frames);
            }
            while bytes.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = bytes.chunks_vectored(&mut slices);
                let sent = output.write_vectored(&slices[..filled]).await;
                let sent = sent.map_err(|error| broken(format!("the connection broke: {error}")))?;
                if sent == 0 {
                    return Err(broken("the connection takes no more"));
                }
                bytes.advance(sent);
                self.state.lock().moved = Some(Instant::now());
            }
        }
    }

    /// The next frame that the window has room for; it counts as unacknowledged from here on.
    fn next_frame(&self, window: u64) -> Option<(u64, Arc<Frame>)> {
        let mut state = self.state.lock();
        loop {
            let (_, frame) = state.waiting.front()?;
            let len = frame.body.len as u64;
            if !frame.wanted() {
                state.waiting.pop_front();
                continue;
            }
            if state.unacknowledged.is_empty() {
                state.moved = Some(Instant::now());
            } else if state.unacknowledged_bytes + len > window {
                return None;
            }
            let (stream, frame) = state.waiting.pop_front()?;
            state.unacknowledged_bytes += len;
            state.unacknowledged.insert(stream, Arc::clone(&frame));
            return Some((stream, frame));
        }
    }

    async fn take_answers(
        &self,
        context: &Context,
        input: &mut BufReader<OwnedReadHalf>,
    ) -> Result<std::convert::Infallible> {
        loop {
            let answer = Incoming::read(input, &context.pool).await?;
            match answer.kind {
                Kind::Ack => {
                    let ack = Ack::decode(&answer.head).map_err(|error| broken(error.to_string()))?;
                    if let Some(frame) = self.settle(answer.stream) {
                        frame.owner.acknowledged(&frame.push, ack);
                    }
                }
                Kind::Failure => {
                    let Failure { error, suspect } =
                        Failure::decode(&answer.head).map_err(|error| broken(error.to_string()))?;
                    // A worker that shuts down answers what it has not taken like this: the next one may take it.
                    if error.kind() == ErrorKind::Closed {
                        return Err(error);
                    }
                    match self.settle(answer.stream) {
                        Some(frame) => frame.fail(Failed { error, suspect, answered: true }),
                        None => return Err(error),
                    }
                }
                Kind::Busy => self.state.lock().moved = Some(Instant::now()),
                other => return Err(broken(format!("{other:?} is no answer to a push"))),
            }
        }
    }

    fn settle(&self, stream: u64) -> Option<Arc<Frame>> {
        let mut state = self.state.lock();
        let frame = state.unacknowledged.remove(&stream)?;
        state.unacknowledged_bytes -= frame.body.len as u64;
        state.acknowledged = true;
        state.moved = Some(Instant::now());
        drop(state);
        self.changed.notify_one();
        Some(frame)
    }

    /// Ends when frames wait for an answer and nothing has moved for `limit`.
    async fn silence(&self, limit: Duration) -> Result<std::convert::Infallible> {
        loop {
            let owed = {
                let state = self.state.lock();
                let since = state.moved.filter(|_| !state.unacknowledged.is_empty());
                since.map_or(Duration::ZERO, |since| since.elapsed())
            };
            if owed >= limit {
                return Err(broken(format!("it owes an answer and has said nothing for {limit:?}")));
            }
            tokio::time::sleep(limit - owed).await;
        }
    }

    /// What was not acknowledged goes before what was not sent.
    fn requeue(&self) {
        let mut state = self.state.lock();
        let again = std::mem::take(&mut state.unacknowledged);
        state.unacknowledged_bytes = 0;
        for (stream, frame) in again.into_iter().rev() {
            state.waiting.push_front((stream, frame));
        }
    }

    fn fail_all(&self, error: &Error, target: &Target) {
        let frames = std::mem::take(&mut self.state.lock().waiting);
        let suspect = Some(target.place.worker);
        for (_, frame) in frames {
            frame.fail(Failed { error: error.clone(), suspect, answered: false });
        }
    }
}
