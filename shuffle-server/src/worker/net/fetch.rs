//! One stream of a fetch.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use overhand_common::{
    Error, ErrorKind,
    message::{End, Failure, Header, Kind, message},
};
use tokio::{sync::Notify, task::yield_now};

use super::{Broken, busy, connection::Shared, pages};
use crate::worker::store::{Cursor, Piece};

/// The most that goes out in one message, unless a single block is larger: small enough that streams take turns often,
/// large enough that a turn costs nothing next to its bytes.
const PIECE: u64 = 1 << 20;

/// What the connection's reader tells a stream.
#[derive(Debug, Default)]
pub struct Stream {
    granted: AtomicU64,
    cancelled: AtomicBool,
    news: Notify,
}

impl Stream {
    /// A stream that may send this many bytes.
    pub fn new(credit: u64) -> Self {
        Self { granted: AtomicU64::new(credit), ..Self::default() }
    }

    /// The client takes this many bytes more.
    pub fn grant(&self, bytes: u64) {
        // Only the connection's reader writes here, so that nothing comes in between.
        let granted = self.granted.load(Ordering::Acquire);
        self.granted.store(granted.saturating_add(bytes), Ordering::Release);
        self.news.notify_one();
    }

    /// The client wants no more.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.news.notify_one();
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Waits until more than `sent` bytes are granted, and returns how many more; `None` when cancelled.
    async fn credit(&self, sent: u64) -> Option<u64> {
        loop {
            let news = self.news.notified();
            if self.is_cancelled() {
                return None;
            }
            let left = self.granted.load(Ordering::Acquire).saturating_sub(sent);
            if left > 0 {
                return Some(left);
            }
            news.await;
        }
    }
}

/// Answers at once what is small and in memory, together with the answers to other fetches that came with it: nobody has
/// to wait, and nothing of it can be cancelled. False if it isn't that: then [`run`] has to.
pub fn answer_now(shared: &Shared, id: u64, credit: u64, cursor: &Cursor) -> bool {
    let most = credit.min(PIECE).min(shared.output.room() as u64);
    let Some((slices, bytes)) = cursor.whole(most as usize) else { return false };
    let header = Header::new(Kind::Data, id, &[], bytes as u32, 0).encode();
    let header = if bytes > 0 { &header[..] } else { &[] };
    let end = message(Kind::End, id, &End { bytes: bytes as u64 }.encode());
    let is_kept = shared.output.keep(header, slices, &end).is_ok();
    shared.plane.metrics.fetches.increment(is_kept.into());
    is_kept
}

/// Sends what `cursor` gives, until it is through, cancelled, or the worker stops.
pub async fn run(shared: Arc<Shared>, id: u64, stream: Arc<Stream>, cursor: Cursor) -> Result<(), Broken> {
    let plane = &shared.plane;
    plane.metrics.fetches.increment(1);
    plane.metrics.fetch_streams.increment(1);
    let result = send(&shared, id, &stream, cursor).await;
    plane.metrics.fetch_streams.decrement(1);
    result
}

async fn send(shared: &Shared, id: u64, stream: &Stream, mut cursor: Cursor) -> Result<(), Broken> {
    let mut sent: u64 = 0;
    loop {
        let Some(waited) = or_stop(shared, stream.credit(sent)).await else {
            return stopped(shared, id).await;
        };
        let Some(credit) = waited else { return Ok(()) };
        let _owed = shared.owing.owe();
        // The turn comes first and the piece after it, so that one connection never holds more than one piece.
        let mut turn = shared.output.turn().await;
        if stream.is_cancelled() {
            return Ok(());
        }
        let piece = cursor.next(credit.min(PIECE) as usize);
        match busy::meanwhile(&mut turn, shared.version, piece).await? {
            Ok(Some(piece)) => {
                let len = piece.len();
                let header = Header::new(Kind::Data, id, &[], len as u32, 0).encode();
                match piece {
                    // The end goes with the last blocks: for a small fetch a write of its own would double the cost.
                    Piece::Memory(slices) if cursor.is_through() => {
                        let end = message(Kind::End, id, &End { bytes: sent + len }.encode());
                        return turn.answer(&header, slices, &end).await;
                    }
                    Piece::Memory(slices) => turn.send(&header, &slices).await?,
                    Piece::File { file, range } => {
                        drop(turn);
                        if let Err(error) = pages::bring_in(&file, range.clone()).await {
                            cursor.read_failed(&error);
                            continue;
                        }
                        let mut turn = shared.output.turn().await;
                        turn.send_file(&header, &file, range).await?;
                    }
                }
                sent += len;
                // Not all of a large answer in one go, however fast its reader: others have their turn.
                yield_now().await;
            }
            Ok(None) => return turn.send_head(&message(Kind::End, id, &End { bytes: sent }.encode())).await,
            Err(error) => {
                shared.plane.metrics.failure(error.kind());
                return turn.send_head(&message(Kind::Failure, id, &Failure::new(error).encode(shared.version))).await;
            }
        }
    }
}

/// What the future gives, or nothing if the worker stops first.
async fn or_stop<T>(shared: &Shared, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => None,
        value = future => Some(value),
    }
}

async fn stopped(shared: &Shared, id: u64) -> Result<(), Broken> {
    let error = Error::new(ErrorKind::Closed, "the worker is shutting down");
    shared.output.send(&message(Kind::Failure, id, &Failure::new(error).encode(shared.version))).await
}
