//! Pushes: frames in the order in which they were given, sent again in that order when a connection breaks.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Buf;
use overhand_common::message::{Header, Kind};
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
    flow::Flow,
};
use crate::{Error, ErrorKind, Result, client::count, pool::Buffer};

/// So many connections in a row may break before anything was acknowledged on them.
const MAX_BARREN: u32 = 6;
/// Between such connections, times how many there were.
const REST: Duration = Duration::from_millis(50);

/// A frame on its way. It has entered its flow, and leaves it when it is dropped: acknowledged, or of no use any more.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The head of the push.
    pub(crate) head: Vec<u8>,
    /// Its blocks; none in a frame that only closes an attempt.
    pub(crate) body: Option<Buffer>,
    /// Bytes of blocks.
    pub(crate) len: usize,
    /// Blocks.
    pub(crate) blocks: u32,
    /// Bytes of memory, as its flow counts them.
    pub(crate) cost: usize,
    /// Whose it is.
    pub(crate) flow: Arc<Flow>,
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.body = None;
        self.flow.leave(self.cost);
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
    progress: Option<Instant>,
}

impl PushLink {
    /// A link whose task runs on `runtime` until that ends.
    pub(crate) fn start(context: Arc<Context>, target: Target, runtime: &Handle) -> Arc<Self> {
        let link = Arc::new(Self { state: Mutex::default(), changed: Notify::new() });
        runtime.spawn(Arc::clone(&link).run(context, target));
        link
    }

    /// Sends a frame after all that were given before it. What comes of it is told to its flow.
    pub(crate) fn send(&self, frame: Frame) {
        let mut state = self.state.lock();
        state.last_stream += 1;
        let stream = state.last_stream;
        state.waiting.push_back((stream, Arc::new(frame)));
        drop(state);
        self.changed.notify_one();
    }

    async fn run(self: Arc<Self>, context: Arc<Context>, target: Target) {
        let mut barren = 0;
        loop {
            while self.state.lock().waiting.is_empty() {
                self.changed.notified().await;
            }
            let Session { mut input, mut output, window, .. } = match dial(&context, &target).await {
                Ok(session) => session,
                Err(error) => {
                    self.fail_all(&error);
                    continue;
                }
            };
            let end = tokio::select! {
                end = self.send_frames(&context, &mut output, window) => end,
                end = self.take_answers(&context, &mut input) => end,
                end = self.watch(&context) => end,
            };
            let Err(error) = end;
            tracing::debug!(worker = %target.place.address, %error, "a push connection ended");
            self.requeue();
            barren = if std::mem::take(&mut self.state.lock().acknowledged) { 0 } else { barren + 1 };
            if barren == MAX_BARREN {
                self.fail_all(&error.context(format!("worker at {}", target.place.address)));
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
    ) -> Result<std::convert::Infallible> {
        loop {
            let Some((stream, frame)) = self.next_frame(window) else {
                self.changed.notified().await;
                continue;
            };
            let header = Header::new(Kind::Push, stream, &frame.head, frame.len as u32, frame.blocks).encode();
            let body = frame.body.as_ref().map_or(&[][..], |body| &body[..frame.len]);
            let mut bytes = header.chain(&frame.head[..]).chain(body);
            count(&context.tally.frames);
            output.write_all_buf(&mut bytes).await.map_err(|error| broken(format!("the connection broke: {error}")))?;
            self.state.lock().progress = Some(Instant::now());
        }
    }

    /// The next frame that the window has room for; it counts as unacknowledged from here on.
    fn next_frame(&self, window: u64) -> Option<(u64, Arc<Frame>)> {
        let mut state = self.state.lock();
        loop {
            let (_, frame) = state.waiting.front()?;
            let len = frame.len as u64;
            if frame.flow.failure().is_some() {
                state.waiting.pop_front();
                continue;
            }
            if !state.unacknowledged.is_empty() && state.unacknowledged_bytes + len > window {
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
                Kind::Ack => drop(self.settle(answer.stream)),
                Kind::Failure => {
                    let error = failure(&answer.head);
                    // A worker that shuts down answers what it has not taken like this: the next one may take it.
                    if error.kind() == ErrorKind::Closed {
                        return Err(error);
                    }
                    match self.settle(answer.stream) {
                        Some(frame) => frame.flow.fail(error),
                        None => return Err(error),
                    }
                }
                other => return Err(broken(format!("{other:?} is no answer to a push"))),
            }
        }
    }

    fn settle(&self, stream: u64) -> Option<Arc<Frame>> {
        let mut state = self.state.lock();
        let frame = state.unacknowledged.remove(&stream)?;
        state.unacknowledged_bytes -= frame.len as u64;
        state.acknowledged = true;
        state.progress = Some(Instant::now());
        drop(state);
        self.changed.notify_one();
        Some(frame)
    }

    /// Ends when frames wait for an answer and nothing has moved for too long.
    async fn watch(&self, context: &Context) -> Result<std::convert::Infallible> {
        loop {
            tokio::time::sleep(context.answer_timeout / 4).await;
            let state = self.state.lock();
            let silent = state.progress.is_some_and(|progress| progress.elapsed() > context.answer_timeout);
            if silent && !state.unacknowledged.is_empty() {
                return Err(broken(format!("nothing moved for {:?}", context.answer_timeout)));
            }
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

    fn fail_all(&self, error: &Error) {
        let frames = std::mem::take(&mut self.state.lock().waiting);
        for (_, frame) in frames {
            frame.flow.fail(error.clone());
        }
    }
}
