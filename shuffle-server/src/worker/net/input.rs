//! Reads messages off a socket with few calls and no copy of bodies.

use std::time::Duration;

use overhand_common::message::{HEADER_LEN, Header, Kind, MAX_HEAD};
use tokio::{io::AsyncReadExt, net::tcp::OwnedReadHalf, time::timeout};

use super::Broken;

/// Room for a header and the longest head; short frames in a row share one read. What of a body is in here has to be
/// copied out again, so it is kept small.
const BUFFER: usize = HEADER_LEN + MAX_HEAD;

/// The receiving side of a connection.
pub struct Input {
    half: OwnedReadHalf,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    stall: Duration,
}

impl Input {
    /// Reads from this socket; in the middle of a message the peer may pause for `stall`.
    pub fn new(half: OwnedReadHalf, stall: Duration) -> Self {
        Self { half, buffer: vec![0; BUFFER].into(), start: 0, end: 0, stall }
    }

    /// The next message's header, checked; `None` if the peer closed between messages. It may be dropped while it
    /// waits: no byte is lost, the next call goes on.
    pub async fn header(&mut self) -> Result<Option<Header>, Broken> {
        while self.end - self.start < HEADER_LEN {
            if self.more(HEADER_LEN).await? == 0 {
                return if self.start == self.end { Ok(None) } else { Err(Broken::Truncated) };
            }
        }
        let bytes = self.buffer[self.start..self.start + HEADER_LEN].try_into().expect("the length is right");
        let header = Header::decode(bytes)?;
        self.start += HEADER_LEN;
        Ok(Some(header))
    }

    /// Whether a fetch has come, whole, behind what was taken so far.
    pub fn holds_fetch(&self) -> bool {
        let here = &self.buffer[self.start..self.end];
        let header = here.first_chunk().and_then(|bytes| Header::decode(bytes).ok());
        header.is_some_and(|header| header.kind == Kind::Fetch && here.len() >= HEADER_LEN + header.head_len as usize)
    }

    /// The head of a message, not checked yet.
    pub async fn head(&mut self, header: &Header) -> Result<&[u8], Broken> {
        let len = header.head_len as usize;
        while self.end - self.start < len {
            let more = timeout(self.stall, self.more(len));
            if more.await.map_err(|_| Broken::Stalled)?? == 0 {
                return Err(Broken::Truncated);
            }
        }
        let head = &self.buffer[self.start..self.start + len];
        self.start += len;
        Ok(head)
    }

    /// Fills `body` with what follows.
    pub async fn body(&mut self, body: &mut [u8]) -> Result<(), Broken> {
        let buffered = (self.end - self.start).min(body.len());
        body[..buffered].copy_from_slice(&self.buffer[self.start..self.start + buffered]);
        self.start += buffered;
        let mut filled = buffered;
        while filled < body.len() {
            let read = timeout(self.stall, self.half.read(&mut body[filled..]));
            match read.await.map_err(|_| Broken::Stalled)?? {
                0 => return Err(Broken::Truncated),
                read => filled += read,
            }
        }
        Ok(())
    }

    /// Passes over a body that is not wanted.
    pub async fn skip(&mut self, len: usize) -> Result<(), Broken> {
        let mut left = len;
        loop {
            let buffered = (self.end - self.start).min(left);
            self.start += buffered;
            left -= buffered;
            if left == 0 {
                return Ok(());
            }
            let more = timeout(self.stall, self.more(1));
            if more.await.map_err(|_| Broken::Stalled)?? == 0 {
                return Err(Broken::Truncated);
            }
        }
    }

    /// Reads and throws away until the peer closes: a socket that is closed with bytes unread would take the last
    /// answer with it.
    pub async fn drain(&mut self) {
        self.start = 0;
        self.end = 0;
        while self.half.read(&mut self.buffer).await.is_ok_and(|read| read > 0) {}
    }

    /// Reads more into the buffer, which has room for `needed` bytes in a row after this; zero at the end.
    async fn more(&mut self, needed: usize) -> Result<usize, Broken> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.buffer.len() - self.start < needed {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let read = self.half.read(&mut self.buffer[self.end..]).await?;
        self.end += read;
        Ok(read)
    }
}
