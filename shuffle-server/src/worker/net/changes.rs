//! Requests without a body that change something: they run beside the connection's reader.

use std::future::Future;

use overhand_common::{
    Error, ErrorKind, Result,
    message::{Forget, Header, Kind, RemoveShuffle, Replicate, message},
};

use super::{Broken, connection::Connection};

impl Connection {
    /// Deletes a shuffle.
    pub(super) async fn remove_shuffle(&mut self, header: Header) -> Result<(), Broken> {
        let Some(RemoveShuffle { shuffle }) = self.head(&header, RemoveShuffle::decode).await? else { return Ok(()) };
        let shared = self.shared.clone();
        let remove = async move {
            shared.plane.store.remove_shuffle(&shared.app, shuffle).await?;
            tracing::info!(app = %shared.app, shuffle, "shuffle removed");
            Ok(())
        };
        self.change(header, remove).await
    }

    /// Takes a copy of an epoch of a shard.
    pub(super) async fn replicate(&mut self, header: Header) -> Result<(), Broken> {
        let Some(replicate) = self.head(&header, Replicate::decode).await? else { return Ok(()) };
        let shared = self.shared.clone();
        let copy = async move {
            tokio::select! {
                copied = shared.plane.copier.copy(&shared.app, &replicate) => copied,
                () = shared.stop.cancelled() => Err(Error::new(ErrorKind::Closed, "the worker is shutting down")),
            }
        };
        self.change(header, copy).await
    }

    /// Deletes the copy of an epoch of a shard.
    pub(super) async fn forget(&mut self, header: Header) -> Result<(), Broken> {
        let Some(Forget { key }) = self.head(&header, Forget::decode).await? else { return Ok(()) };
        let shared = self.shared.clone();
        let forget = async move {
            shared.plane.store.forget(&shared.app, &key).await?;
            tracing::info!(app = %shared.app, shard = %key, "copy deleted");
            Ok(())
        };
        self.change(header, forget).await
    }

    /// Runs a change, and answers when it is done.
    async fn change(
        &mut self,
        header: Header,
        change: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Result<(), Broken> {
        let owed = self.shared.owing.owe();
        self.keep_within_window(0).await?;
        let shared = self.shared.clone();
        self.changes.spawn(async move {
            let _owed = owed;
            let result = match change.await {
                Ok(()) => shared.output.send(&message(Kind::Ack, header.stream, &[])).await,
                Err(error) => shared.fail(header.stream, error).await,
            };
            (0, result)
        });
        Ok(())
    }
}
