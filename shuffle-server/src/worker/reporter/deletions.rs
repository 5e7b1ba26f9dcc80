//! Deletes applications while reports go on: each may take long.

use std::{collections::HashSet, sync::Arc};

use overhand_common::{Result, ids::AppId};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::Reports;

/// Deletes the applications that the reports' answers name.
pub struct Deletions {
    reports: Arc<Reports>,
    wanted: mpsc::Receiver<AppId>,
    tasks: JoinSet<(AppId, Result<()>)>,
    under_way: HashSet<AppId>,
    failed: HashSet<AppId>,
}

impl Deletions {
    pub(super) fn new(reports: Arc<Reports>, wanted: mpsc::Receiver<AppId>) -> Self {
        Self { reports, wanted, tasks: JoinSet::new(), under_way: HashSet::new(), failed: HashSet::new() }
    }

    /// Deletes until `stop`, and then ends what is under way.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        loop {
            tokio::select! {
                Some(app) = self.wanted.recv() => self.begin(app),
                Some(done) = self.tasks.join_next() => self.ended(done),
                () = stop.cancelled() => break,
            }
        }
        while let Some(done) = self.tasks.join_next().await {
            self.ended(done);
        }
        Ok(())
    }

    /// Begins to delete an application, unless that is under way.
    fn begin(&mut self, app: AppId) {
        if !self.under_way.insert(app.clone()) {
            return;
        }
        // One that failed before was announced before; announcing it again with each try would never end.
        if !self.failed.contains(&app) {
            self.reports.deleting(&app);
        }
        let store = self.reports.store.clone();
        self.tasks.spawn(async move {
            let done = store.remove_app(&app).await;
            (app, done)
        });
    }

    fn ended(&mut self, done: Result<(AppId, Result<()>), tokio::task::JoinError>) {
        match done {
            Ok((app, Ok(()))) => {
                tracing::info!(%app, "application removed");
                self.under_way.remove(&app);
                self.failed.remove(&app);
            }
            Ok((app, Err(error))) => {
                // It is reported again with the next heartbeat, and so it is tried again.
                tracing::error!(%app, %error, "an application could not be removed");
                self.under_way.remove(&app);
                self.failed.insert(app);
            }
            Err(error) => tracing::error!(%error, "a removal failed badly"),
        }
    }
}
