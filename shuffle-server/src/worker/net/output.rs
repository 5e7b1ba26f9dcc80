//! Writes whole messages to a socket, one after another.

use std::{
    fs::File,
    io::{self, IoSlice},
    ops::Range,
    os::fd::AsFd,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rustix::net::SendFlags;
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::tcp::OwnedWriteHalf,
    sync::{Mutex, MutexGuard},
    time::{Instant, timeout},
};

use super::Broken;
use crate::worker::store::Slice;

/// Bytes of small answers that may wait for others: of as many fetches as a client's tasks have under way at a time.
const MAX_KEPT: usize = (1 << 20) + (64 << 10);
/// More than an answer has beside its blocks.
const HEADS: usize = 256;

/// The sending side of a connection. Turns are taken in the order of asking, so streams share it evenly.
pub struct Output {
    socket: Mutex<Socket>,
    /// It has a lock of its own: while the socket takes nothing, answers are still kept, and then go out together. If
    /// each waited for its turn instead, many small writes would keep the socket full.
    kept: parking_lot::Mutex<Kept>,
    begun: Instant,
    /// When the last message was sent whole, in milliseconds since `begun`.
    spoke: AtomicU64,
}

/// The right to send. Between its messages nobody else's go out.
pub struct Turn<'a> {
    socket: MutexGuard<'a, Socket>,
    output: &'a Output,
}

struct Socket {
    half: OwnedWriteHalf,
    stall: Duration,
    /// A message is half-way out; if it stays so, nothing may follow it.
    half_way: bool,
}

/// Answers that go out with the next message.
#[derive(Default)]
struct Kept {
    /// More requests are at hand: small answers wait until all have theirs, see [`Output::gather`].
    gathers: bool,
    parts: Vec<Part>,
    /// Their bytes.
    bytes: usize,
}

/// A part of an answer that is kept.
enum Part {
    Head(Vec<u8>),
    Blocks(Slice),
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        match self {
            Part::Head(bytes) => bytes,
            Part::Blocks(slice) => slice.as_ref(),
        }
    }
}

impl Output {
    /// Writes to this socket; a peer may take nothing for `stall`.
    pub fn new(half: OwnedWriteHalf, stall: Duration) -> Self {
        let socket = Mutex::new(Socket { half, stall, half_way: false });
        Self { socket, kept: Default::default(), begun: Instant::now(), spoke: AtomicU64::new(0) }
    }

    /// Waits for its turn.
    pub async fn turn(&self) -> Turn<'_> {
        Turn { socket: self.socket.lock().await, output: self }
    }

    /// Waits for its turn and sends a message that has no body.
    pub async fn send(&self, message: &[u8]) -> Result<(), Broken> {
        self.turn().await.send_head(message).await
    }

    /// From now on small answers are kept, to go out together: a call to the kernel for each would be most of their
    /// cost. Whoever says so calls [`Output::flush`] before it waits for anything.
    pub fn gather(&self) {
        self.kept.lock().gathers = true;
    }

    /// The bytes of blocks that may be kept now: none unless a flush is near.
    pub fn room(&self) -> usize {
        self.kept.lock().room()
    }

    /// Keeps an answer to a fetch and its end for the next flush; gives the blocks back if there is no room for them, or
    /// no flush near.
    pub fn keep(&self, head: &[u8], body: Vec<Slice>, end: &[u8]) -> Result<(), Vec<Slice>> {
        self.kept.lock().keep(head, body, end)
    }

    /// Sends what was kept, and keeps no more. From the call on: an answer either was kept before, and goes out here, or
    /// finds that nobody gathers.
    pub async fn flush(&self) -> Result<(), Broken> {
        self.kept.lock().gathers = false;
        self.turn().await.send_kept().await
    }

    /// When the last message was sent.
    pub fn spoke(&self) -> Instant {
        self.begun + Duration::from_millis(self.spoke.load(Ordering::Relaxed))
    }

    /// Sends what was kept, and says that nothing more will come.
    pub async fn shutdown(&self) {
        let _told_or_gone = self.flush().await;
        let _gone_anyway = self.socket.lock().await.half.shutdown().await;
    }
}

impl Turn<'_> {
    /// Sends a message that has no body.
    pub async fn send_head(&mut self, message: &[u8]) -> Result<(), Broken> {
        self.send::<&[u8]>(message, &[]).await
    }

    /// Sends a message whose body is these pieces of memory, in order; none of them is copied on the way to the kernel.
    pub async fn send<B: AsRef<[u8]>>(&mut self, head: &[u8], body: &[B]) -> Result<(), Broken> {
        self.send_both(head, body, &[]).await
    }

    /// Sends an answer to a fetch and its end, or keeps them for the next flush if that is near.
    pub async fn answer(&mut self, head: &[u8], body: Vec<Slice>, end: &[u8]) -> Result<(), Broken> {
        match self.output.keep(head, body, end) {
            Ok(()) => Ok(()),
            Err(body) => self.send_both(head, &body, end).await,
        }
    }

    /// Sends what was kept.
    async fn send_kept(&mut self) -> Result<(), Broken> {
        if self.output.kept.lock().parts.is_empty() { Ok(()) } else { self.send_head(&[]).await }
    }

    /// Sends a message as [`Turn::send`] does, what was kept before it, and after it a second message that has no body.
    async fn send_both<B: AsRef<[u8]>>(&mut self, head: &[u8], body: &[B], after: &[u8]) -> Result<(), Broken> {
        let socket = &mut *self.socket;
        socket.begin()?;
        let kept = self.output.kept.lock().take();
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(kept.len() + 2 + body.len());
        slices.extend(kept.iter().map(|part| IoSlice::new(part.as_ref())));
        slices.push(IoSlice::new(head));
        slices.extend(body.iter().map(|part| IoSlice::new(part.as_ref())));
        slices.push(IoSlice::new(after));
        let mut rest = &mut slices[..];
        // Empty parts in front would look like a socket that takes nothing.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match socket.half.try_write_vectored(rest) {
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
                Err(error) => return Err(error.into()),
            }
        }
        self.sent();
        Ok(())
    }

    /// Sends a message whose body is a range of a file, without bringing it into this process. The range should be in
    /// the page cache, see [`super::pages`]: a disk read here would hold up other connections.
    pub async fn send_file(&mut self, head: &[u8], file: &File, range: Range<u64>) -> Result<(), Broken> {
        self.send_kept().await?;
        let socket = &mut *self.socket;
        socket.begin()?;
        let mut rest = head;
        while !rest.is_empty() {
            let tcp = socket.half.as_ref();
            // The header waits in the kernel for the bytes that follow, so that it is no packet of its own.
            let send = || Ok(rustix::net::send(tcp.as_fd(), rest, SendFlags::MORE | SendFlags::NOSIGNAL)?);
            match tcp.try_io(Interest::WRITABLE, send) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
                Err(error) => return Err(error.into()),
            }
        }
        let mut at = range.start;
        while at < range.end {
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let tcp = socket.half.as_ref();
            let send = || Ok(rustix::fs::sendfile(tcp.as_fd(), file, Some(&mut at), left)?);
            match tcp.try_io(Interest::WRITABLE, send) {
                Ok(0) => return Err(Broken::Internal("a segment ended before its index says so".into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
                Err(error) => return Err(error.into()),
            }
        }
        self.sent();
        Ok(())
    }
}

impl Turn<'_> {
    fn sent(&mut self) {
        self.socket.half_way = false;
        let since = self.output.begun.elapsed().as_millis() as u64;
        self.output.spoke.store(since, Ordering::Relaxed);
    }
}

impl Kept {
    fn room(&self) -> usize {
        if self.gathers { MAX_KEPT.saturating_sub(self.bytes + HEADS) } else { 0 }
    }

    fn keep(&mut self, head: &[u8], body: Vec<Slice>, end: &[u8]) -> Result<(), Vec<Slice>> {
        let bytes = head.len() + body.iter().map(Slice::len).sum::<usize>() + end.len();
        if !self.gathers || self.bytes + bytes > MAX_KEPT {
            return Err(body);
        }
        self.bytes += bytes;
        self.keep_head(head);
        self.parts.extend(body.into_iter().map(Part::Blocks));
        self.keep_head(end);
        Ok(())
    }

    /// Keeps a head, with the end of the answer before it.
    fn keep_head(&mut self, head: &[u8]) {
        match self.parts.last_mut() {
            Some(Part::Head(bytes)) => bytes.extend_from_slice(head),
            _ => self.parts.push(Part::Head(head.to_vec())),
        }
    }

    /// What was kept, which somebody sends now.
    fn take(&mut self) -> Vec<Part> {
        self.bytes = 0;
        std::mem::take(&mut self.parts)
    }
}

impl Socket {
    fn begin(&mut self) -> Result<(), Broken> {
        if std::mem::replace(&mut self.half_way, true) {
            return Err(Broken::Socket(io::ErrorKind::BrokenPipe.into()));
        }
        Ok(())
    }

    async fn writable(&self) -> Result<(), Broken> {
        timeout(self.stall, self.half.writable()).await.map_err(|_| Broken::Stalled)??;
        Ok(())
    }
}
