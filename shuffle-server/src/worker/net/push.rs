//! A frame's way from the socket to the store, and to the next worker of its chain.

use std::{future::Future, pin::pin, sync::Arc, task::Poll, time::Instant};

use overhand_common::{
    Error, ErrorKind, Result,
    message::{Ack, Failure, Header, Kind, Last, Push, message},
};
use tokio::sync::oneshot;

use super::{
    Broken,
    connection::{Connection, Shared},
    forward::{Room, stopped},
    order::Verdict,
};
use crate::memory::PooledBuf;

impl Connection {
    /// Takes a frame: head, memory, body, store, chain, acknowledgement. Returns when the next message may be read.
    pub(super) async fn push(&mut self, header: Header) -> Result<(), Broken> {
        let begun = Instant::now();
        let owed = self.shared.owing.owe();
        let version = self.shared.version;
        let Some(push) = self.head(&header, |head| Push::decode(head, version)).await? else { return Ok(()) };
        let frame = self.frame(&header, &push).await?;
        let mut queued = (!push.chain.is_empty()).then(|| self.order.next(&push));
        let waits = push.last.is_some() || queued.is_some();
        let shared = self.shared.clone();
        let frame = frame.map(|(room, body)| {
            let body = (Arc::new(body), header.blocks);
            let next = room.map(|room| shared.plane.forwarder.send(&shared.app, &push, body.clone(), room));
            (body, next)
        });
        let answer = async move {
            let _owed = owed;
            let mut verdict = match frame {
                Ok((body, next)) => shared.verdict(&push, body, next).await,
                Err(error) => Err(shared.own_failure(error)),
            };
            if let Some(queued) = &mut queued {
                verdict = queued.turn(verdict).await;
            }
            match &verdict {
                Ok(ack) => {
                    shared.output.send(&message(Kind::Ack, header.stream, ack.encode(shared.version))).await?;
                    shared.plane.metrics.push_seconds.record(begun.elapsed());
                }
                Err(failure) => shared.refuse(header.stream, failure.clone()).await?,
            }
            if let Some(queued) = queued {
                queued.answered(&verdict);
            }
            Ok(())
        };
        if !waits {
            return answer.await;
        }
        // The next worker has to answer, or the last frame has to wait for the disk. The store has the frame once this
        // was polled, so those that come next need not wait too: many are on their way at a time, and the last frames of
        // many attempts share one sync.
        let mut answer = Box::pin(answer);
        match at_once(answer.as_mut()).await {
            Some(result) => result,
            None => {
                let len = u64::from(header.body_len);
                self.changes_bytes += len;
                self.changes.spawn(async move { (len, answer.await) });
                Ok(())
            }
        }
    }

    /// Reads a frame's body into memory; one that is refused is passed over.
    async fn frame(&mut self, header: &Header, push: &Push) -> Result<Result<(Option<Room>, PooledBuf)>, Broken> {
        let len = header.body_len as usize;
        self.keep_within_window(len as u64).await?;
        let memory = match self.shared.may_take(push) {
            Ok(()) => self.memory(header, push).await,
            Err(error) => Err(error),
        };
        match memory {
            Ok((room, mut body)) => {
                self.input.body(&mut body).await?;
                Ok(Ok((room, body)))
            }
            Err(error) => {
                self.input.skip(len).await?;
                Ok(Err(error))
            }
        }
    }

    /// Unacknowledged bytes of a connection stay within its window, and so does their number: one that sends more
    /// waits.
    pub(super) async fn keep_within_window(&mut self, len: u64) -> Result<(), Broken> {
        let (window, most) = (self.shared.plane.limits.window, self.shared.plane.limits.streams);
        while !self.changes.is_empty() && (self.changes_bytes + len > window || self.changes.len() >= most) {
            if let Some(done) = self.changes.join_next().await {
                self.changed(done)?;
            }
        }
        Ok(())
    }

    /// Memory for a frame, and before that room to forward it. While there is none this connection stands still, which
    /// holds its writers back.
    async fn memory(&self, header: &Header, push: &Push) -> Result<(Option<Room>, PooledBuf)> {
        let (plane, len, level) = (&self.shared.plane, header.body_len as usize, push.chain.len());
        let mut memory = pin!(async {
            let room = match level {
                0 => None,
                _ => Some(plane.forwarder.room(level, len).await?),
            };
            Ok((room, plane.store.reserve(&self.shared.app, len, header.blocks).await?))
        });
        if let Some(result) = at_once(memory.as_mut()).await {
            return result;
        }
        tokio::select! {
            result = memory => result,
            () = self.shared.stop.cancelled() => Err(stopped().error),
        }
    }
}

impl Shared {
    /// Refuses a frame by its head. A worker that is being drained takes no new data: this is where that is looked at,
    /// before anything is kept or forwarded.
    fn may_take(&self, push: &Push) -> Result<()> {
        let (store, settles) = (&self.plane.store, matches!(push.last, Some(Last::Settled(_))));
        if store.is_draining() && !settles {
            return Err(Error::new(ErrorKind::Broken, "this worker is being drained: it takes no new data"));
        }
        let own = store.worker_id().id;
        let twice = |at: usize| push.chain[..at].iter().any(|place| place.worker.id == push.chain[at].worker.id);
        if (0..push.chain.len()).any(|at| push.chain[at].worker.id == own || twice(at)) {
            return Err(Error::new(ErrorKind::Invalid, "a worker is in the chain twice"));
        }
        Ok(())
    }

    /// What comes of a frame: our own store must take it, and all that come after us in its chain.
    async fn verdict(
        &self,
        push: &Push,
        (body, blocks): (Arc<PooledBuf>, u32),
        next: Option<oneshot::Receiver<Verdict>>,
    ) -> Verdict {
        let own = self.plane.store.push(&self.app, push, body, blocks).await;
        let own = own.map_err(|error| self.own_failure(error))?;
        let Some(next) = next else { return Ok(own) };
        let next = next.await.unwrap_or_else(|_| Err(stopped()))?;
        Ok(Ack { split: own.split || next.split })
    }

    /// A failure of our own: if it breaks a chain, then it is us who should not be in it.
    pub(super) fn own_failure(&self, error: Error) -> Failure {
        let suspect = (error.kind() == ErrorKind::Broken).then(|| self.plane.store.worker_id());
        Failure { error, suspect }
    }
}

/// What a future gives if it need not wait.
pub(super) async fn at_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|context| match pin!(&mut future).poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
