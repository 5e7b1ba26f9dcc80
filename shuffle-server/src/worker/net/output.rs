//! Writes whole messages to a socket, one after another.

use std::{
    fs::File,
    io::{self, IoSlice},
    ops::Range,
    os::fd::AsFd,
    time::Duration,
};

use rustix::net::SendFlags;
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::tcp::OwnedWriteHalf,
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use super::Broken;

/// The sending side of a connection. Turns are taken in the order of asking, so streams share it evenly.
pub struct Output {
    socket: Mutex<Socket>,
}

/// The right to send. Between its messages nobody else's go out.
pub struct Turn<'a> {
    socket: MutexGuard<'a, Socket>,
}

struct Socket {
    half: OwnedWriteHalf,
    stall: Duration,
    /// A message is half-way out; if it stays so, nothing may follow it.
    half_way: bool,
}

impl Output {
    /// Writes to this socket; a peer may take nothing for `stall`.
    pub fn new(half: OwnedWriteHalf, stall: Duration) -> Self {
        Self { socket: Mutex::new(Socket { half, stall, half_way: false }) }
    }

    /// Waits for its turn.
    pub async fn turn(&self) -> Turn<'_> {
        Turn { socket: self.socket.lock().await }
    }

    /// Waits for its turn and sends a message that has no body.
    pub async fn send(&self, message: &[u8]) -> Result<(), Broken> {
        self.turn().await.send_head(message).await
    }

    /// Says that nothing more will come.
    pub async fn shutdown(&self) {
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
        let socket = &mut *self.socket;
        socket.begin()?;
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(1 + body.len());
        slices.push(IoSlice::new(head));
        slices.extend(body.iter().map(|part| IoSlice::new(part.as_ref())));
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
        socket.half_way = false;
        Ok(())
    }

    /// Sends a message whose body is a range of a file, without bringing it into this process. The range should be in
    /// the page cache, see [`super::pages`]: a disk read here would hold up other connections.
    pub async fn send_file(&mut self, head: &[u8], file: &File, range: Range<u64>) -> Result<(), Broken> {
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
        socket.half_way = false;
        Ok(())
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
