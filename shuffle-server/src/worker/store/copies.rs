//! Copies of what other workers hold: taken in, and deleted when others have it.

use std::sync::Arc;

use overhand_common::{
    Error, ErrorKind, Result,
    ids::{AppId, Layout, ShardKey},
};

use super::{
    Durability, Store,
    core::{blocking, closed, draining},
    frame,
    removal::Remains,
};
use crate::memory::{Pool, PooledBuf};

impl Store {
    /// Takes blocks of any attempts of a shard's epoch, which another worker holds too: a part of a copy. `body` is whole
    /// blocks, which are checked: `DataLost` if one is damaged. What is here already may come again. What is known of
    /// attempts does not change: a writer that repeats a frame that came as a copy finds it unknown.
    pub async fn adopt(&self, app: &AppId, key: &ShardKey, layout: Layout, mut body: PooledBuf) -> Result<()> {
        let core = &*self.core;
        let counted = frame::count(&body);
        let blocks = counted.map_err(|malformed| Error::new(ErrorKind::DataLost, format!("{key}: {malformed}")))?;
        // Who read the body may not have known how many blocks are in it.
        let charge = u64::from(Pool::charge(body.len(), blocks as usize * frame::BLOCK_OVERHEAD)?);
        if let Some(more) = charge.checked_sub(body.charge())
            && more > 0
        {
            body.pay(self.memory(app, more as u32).await?);
        }
        let checked = frame::check_copy(key, layout.range(key.shard), &body, blocks)?;
        let newest = checked.entries.iter().map(|entry| entry.attempt).max().unwrap_or_default();
        let shard = self.open_shard(app, key, layout, newest)?;
        // As for a frame: the flush of a close comes after it.
        let is_closed = core.closed.read();
        if *is_closed {
            return Err(closed());
        }
        if core.is_draining() {
            return Err(draining());
        }
        core.apps.end(app, key);
        shard.adopt(Arc::new(body), checked, core.settings.memtable_max)?;
        drop(is_closed);
        if core.pressed() {
            core.queue.wake();
        }
        Ok(())
    }

    /// Ends a copy: when it returns, what was adopted is kept as the settings promise. A copy of nothing is none.
    pub async fn adopted(&self, app: &AppId, key: &ShardKey) -> Result<()> {
        let shard = match self.core.apps.shard(app, key) {
            Ok(shard) => shard,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        shard.seal();
        if self.core.settings.durability == Durability::Disk
            && let Some(flushed) = shard.wait_flushed()
        {
            self.core.queue.push(&shard);
            flushed.await.map_err(|_| closed())??;
        }
        Ok(())
    }

    /// Deletes what is here of a shard's epoch; no error if there is nothing. Its shuffle stays, and so may the epoch come
    /// again. When it returns, the disk is clean, if it does not hang; a fetch under way ends with `NotFound`.
    pub async fn forget(&self, app: &AppId, key: &ShardKey) -> Result<()> {
        let Some(shard) = self.core.apps.take_shard(app, key) else { return Ok(()) };
        let indexed = shard.is_indexed();
        let remains = Remains::of(vec![shard]);
        let (core, app, key) = (self.core.clone(), app.clone(), *key);
        blocking(move || {
            remains.clear(&core, |chores| {
                if indexed {
                    chores.iter_mut().for_each(|chore| chore.update.remove_shard_commits(&app, &key));
                }
            })
        })
        .await
    }
}
