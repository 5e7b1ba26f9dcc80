//! Takes copies of epochs of shards from other workers.
//!
//! A copy is a fetch of everything that the other worker holds, as any reader could make it. Each message is a body that
//! waits for memory like a frame's, and is checked and kept by the store. A worker makes [`AT_ONCE`] at a time, others
//! wait for their turn; all together are held to a bandwidth, by giving credit no faster than that.

use std::{sync::Arc, time::Duration};

use overhand_common::{
    Error, ErrorKind, Result, block,
    ids::AppId,
    message::{Credit, End, Failure, Fetch, Header, Kind, Replicate, message},
};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    Metrics,
    bandwidth::Bandwidth,
    dial::{Session, describe, dial, lost},
    input::Input,
    tokens::Tokens,
};
use crate::worker::store::Store;

/// How many copies a worker makes at a time.
const AT_ONCE: usize = 2;
/// Bytes that may be on their way.
const WINDOW: u64 = 4 << 20;
/// The only stream of its connection.
const STREAM: u64 = 1;

/// Makes copies, within bounds.
pub struct Copier {
    store: Arc<Store>,
    tokens: Arc<Tokens>,
    turns: Semaphore,
    bandwidth: Bandwidth,
    silence: Duration,
    metrics: Metrics,
}

impl Copier {
    /// Copies into `store`, at most `bandwidth` bytes per second; a source that is silent for `silence` is gone.
    pub fn new(
        store: Arc<Store>,
        tokens: Arc<Tokens>,
        (bandwidth, silence): (u64, Duration),
        metrics: Metrics,
    ) -> Self {
        let (turns, bandwidth) = (Semaphore::new(AT_ONCE), Bandwidth::new(bandwidth));
        Self { store, tokens, turns, bandwidth, silence, metrics }
    }

    /// Takes a copy: of nothing, if the source has nothing. When it returns it is kept as the settings promise. `DataLost`
    /// if the source has lost some (what is left was taken), `Retry` if the source failed or has started anew.
    pub async fn copy(&self, app: &AppId, replicate: &Replicate) -> Result<()> {
        if replicate.from.worker.id == self.store.worker_id().id {
            return Err(Error::new(ErrorKind::Invalid, "a copy is to be taken from this very worker"));
        }
        let _turn = self.turns.acquire().await.expect("it is never closed");
        self.metrics.copies.increment(1);
        let copied = self.fetch(app, replicate).await;
        self.metrics.copies.decrement(1);
        let doing = || format!("copying {} from {}", replicate.key, describe(&replicate.from));
        let bytes = copied.map_err(|error| error.context(doing()))?;
        self.store.adopted(app, &replicate.key).await?;
        tracing::info!(%app, shard = %replicate.key, from = %replicate.from.address, bytes, "copy taken");
        Ok(())
    }

    /// Fetches everything there is, and returns how many bytes.
    async fn fetch(&self, app: &AppId, replicate: &Replicate) -> Result<u64> {
        let Replicate { key, layout, from } = replicate;
        let token = self.tokens.of(app);
        let Session { mut input, output, version, .. } =
            dial(from, &token, self.silence).await.map_err(said_by_source)?;
        let partitions = layout.range(key.shard);
        let (maps, credit) = (0..u32::MAX, WINDOW);
        let fetch = Fetch { key: *key, partitions, maps, credit, without: vec![], ends: true };
        output.send(&message(Kind::Fetch, STREAM, &fetch.encode(version))).await.map_err(lost)?;
        let mut taken = 0;
        loop {
            let header = timeout(self.silence, input.header())
                .await
                .map_err(|_| lost(format_args!("it was silent for {:?}", self.silence)))?
                .map_err(lost)?
                .ok_or_else(|| lost("it closed the connection"))?;
            let head = input.head(&header).await.map_err(lost)?;
            header.check_head(head).map_err(lost)?;
            match header.kind {
                Kind::Busy => {}
                Kind::Data => {
                    let len = u64::from(header.body_len);
                    self.take(app, replicate, &header, &mut input).await?;
                    taken += len;
                    self.metrics.copied_bytes.increment(len);
                    self.bandwidth.take(len).await;
                    let credit = Credit { bytes: len }.encode();
                    output.send(&message(Kind::Credit, STREAM, &credit)).await.map_err(lost)?;
                }
                Kind::End => {
                    let sent = End::decode(head).map_err(lost)?.bytes;
                    if sent != taken {
                        return Err(lost(format_args!("it sent {sent} bytes, {taken} came")));
                    }
                    return Ok(taken);
                }
                Kind::Failure => match Failure::decode(head).map_err(lost)?.error {
                    // Nobody wrote in this epoch, and as it has ended there now, nobody will.
                    error if error.kind() == ErrorKind::NotFound && taken == 0 => return Ok(0),
                    error => return Err(said_by_source(error)),
                },
                other => return Err(lost(format_args!("{other:?} is no part of a fetch"))),
            }
        }
    }

    /// Takes one message's blocks.
    async fn take(&self, app: &AppId, replicate: &Replicate, header: &Header, input: &mut Input) -> Result<()> {
        let len = header.body_len as usize;
        // How many blocks there are is not known before they are read: there is memory for as many as there can be.
        let blocks = (len / block::HEADER_LEN) as u32;
        let mut body = self.store.reserve(app, len, blocks).await?;
        input.body(&mut body).await.map_err(lost)?;
        self.store.adopt(app, &replicate.key, replicate.layout, body).await
    }
}

/// What the driver should do about it. Only what the source holds, or may not give, is worth being told as it is.
fn said_by_source(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::DataLost | ErrorKind::Invalid | ErrorKind::Denied | ErrorKind::Internal => {
            error
        }
        ErrorKind::Retry | ErrorKind::Backpressure | ErrorKind::Stale | ErrorKind::Closed | ErrorKind::Broken => {
            Error::new(ErrorKind::Retry, error.message())
        }
    }
}
