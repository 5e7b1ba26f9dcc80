//! A frame's way from the socket to the store.

use std::{future::Future, pin::pin, sync::Arc, task::Poll, time::Instant};

use overhand_common::{
    Error, ErrorKind,
    message::{Header, Kind, Push, message},
};

use super::{Broken, connection::Connection};

impl Connection {
    /// Takes a frame: head, memory, body, store, acknowledgement. Returns when the next message may be read.
    pub(super) async fn push(&mut self, header: Header) -> Result<(), Broken> {
        let begun = Instant::now();
        let version = self.shared.version;
        let Some(push) = self.head(&header, |head| Push::decode(head, version)).await? else { return Ok(()) };
        let len = header.body_len as usize;
        self.keep_within_window(len as u64).await?;
        let mut body = match self.memory(&header).await {
            Ok(body) => body,
            Err(error) => {
                self.input.skip(len).await?;
                return self.shared.fail(header.stream, error).await;
            }
        };
        self.input.body(&mut body).await?;

        let shared = self.shared.clone();
        let last = push.last.is_some();
        let store = async move {
            let result = shared.plane.store.push(&shared.app, &push, Arc::new(body), header.blocks).await;
            match result {
                Ok(ack) => {
                    shared.output.send(&message(Kind::Ack, header.stream, ack.encode(shared.version))).await?;
                    shared.plane.metrics.push_seconds.record(begun.elapsed());
                    Ok(())
                }
                Err(error) => shared.fail(header.stream, error).await,
            }
        };
        if !last {
            return store.await;
        }
        // The last frame may have to wait for the disk. Nothing of its attempt comes after it, so the next frames,
        // which are other attempts', need not wait too: their own last frames then share one sync.
        let mut store = Box::pin(store);
        match at_once(store.as_mut()).await {
            Some(result) => result,
            None => {
                self.changes_bytes += len as u64;
                self.changes.spawn(async move { (len as u64, store.await) });
                Ok(())
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

    /// Memory for a frame. While there is none this connection stands still, which holds its writers back.
    async fn memory(&self, header: &Header) -> Result<crate::memory::PooledBuf, Error> {
        let mut reserve =
            pin!(self.shared.plane.store.reserve(&self.shared.app, header.body_len as usize, header.blocks));
        if let Some(result) = at_once(reserve.as_mut()).await {
            return result;
        }
        tokio::select! {
            result = reserve => result,
            () = self.shared.stop.cancelled() => Err(Error::new(ErrorKind::Closed, "the worker is shutting down")),
        }
    }
}

/// What a future gives if it need not wait.
async fn at_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|context| match pin!(&mut future).poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
