//! When bytes came last over a connection.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, ReadBuf};

/// The moment of the last bytes; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    start: Instant,
    /// Nanoseconds after the start.
    last: Arc<AtomicU64>,
}

impl Heard {
    /// Counts from now on.
    pub(crate) fn now() -> Self {
        Self { start: Instant::now(), last: Arc::default() }
    }

    /// When bytes came last; at first, when counting began.
    pub(crate) fn last(&self) -> Instant {
        self.start + Duration::from_nanos(self.last.load(Relaxed))
    }

    /// Notes whatever comes over `input`.
    pub(crate) fn listen<R>(&self, input: R) -> Listening<R> {
        Listening { input, heard: self.clone() }
    }
}

/// A connection's input that notes when bytes come.
#[derive(Debug)]
pub(crate) struct Listening<R> {
    input: R,
    heard: Heard,
}

impl<R: AsyncRead + Unpin> AsyncRead for Listening<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.input).poll_read(cx, buffer);
        if read.is_ready() {
            self.heard.last.store(self.heard.start.elapsed().as_nanos() as u64, Relaxed);
        }
        read
    }
}
