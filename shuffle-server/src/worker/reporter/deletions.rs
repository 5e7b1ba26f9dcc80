//! Deletes applications while reports go on: each may take long.

use std::{collections::HashSet, sync::Arc};

use overhand_common::{Result, ids::AppId};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::Reports;

/// Deletes the applications that the reports' answers name.
pub struct Deletions {
    reports: Arc<Reports>,
    wanted: mpsc::Receiver<AppId>,
    under_way: HashSet<AppId>,
    failed: HashSet<AppId>,
}

impl Deletions {
    pub(super) fn new(reports: Arc<Reports>, wanted: mpsc::Receiver<AppId>) -> Self {
        Self { reports, wanted, under_way: HashSet::new(), failed: HashSet::new() }
    }

    /// Deletes until `stop`, and then ends what is under way.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let store = self.reports.store.clone();
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                Some(app) = self.next() => {
                    let store = store.clone();
                    tasks.spawn(async move {
                        let done = store.remove_app(&app).await;
                        (app, done)
                    });
                }
                Some(done) = tasks.join_next() => self.joined(done),
                () = stop.cancelled() => break,
            }
        }
        while let Some(done) = tasks.join_next().await {
            self.joined(done);
        }
        Ok(())
    }

    /// The next application to delete: one whose deletion is not under way, and now is. The coordinators are told. None
    /// when there are no more reports.
    pub async fn next(&mut self) -> Option<AppId> {
        loop {
            let app = self.wanted.recv().await?;
            if !self.under_way.insert(app.clone()) {
                continue;
            }
            // One that failed before was announced before; announcing it again with each try would never end.
            if !self.failed.contains(&app) {
                self.reports.deleting(&app);
            }
            return Some(app);
        }
    }

    /// A deletion is over.
    pub fn ended(&mut self, app: AppId, done: Result<()>) {
        self.under_way.remove(&app);
        match done {
            Ok(()) => {
                tracing::info!(%app, "application removed");
                self.failed.remove(&app);
            }
            Err(error) => {
                // It is reported again with the next heartbeat, and so it is tried again.
                tracing::error!(%app, %error, "an application could not be removed");
                self.failed.insert(app);
            }
        }
    }

    fn joined(&mut self, done: Result<(AppId, Result<()>), JoinError>) {
        match done {
            Ok((app, done)) => self.ended(app, done),
            Err(error) => tracing::error!(%error, "a removal failed badly"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use overhand_common::{Error, ErrorKind, token::TokenKey};
    use overhand_proto::v1::HeartbeatResponse;

    use super::*;
    use crate::{
        health::Health,
        secret::Secret,
        worker::{
            Place,
            store::{Metrics, Settings, Store},
        },
    };

    #[tokio::test]
    async fn a_deletion_is_under_way_once_and_one_that_failed_is_begun_again_and_announced_once() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let settings = Settings::new(vec![folder.path().to_owned()], 2 << 20);
        let store = Store::open(settings, Metrics::new(&metrics::NoopRecorder)).expect("opened");
        let secret = Secret { key: TokenKey::new(b"0123456789abcdef").expect("long enough"), file: "secret".into() };
        let place = Place {
            data_address: "w:7338".into(),
            control_address: "w:7337".into(),
            host: "w".into(),
            zone: String::new(),
            tags: vec![],
        };
        let coordinators = vec![("c:7337".to_owned(), Health::default().part("c"))];
        let (reports, mut deletions) = Reports::new(store, secret, place, coordinators);
        let app: AppId = "app".parse().expect("valid");
        let told = || reports.next(0).expect("signed").1;
        let hear = |deleted: &BTreeSet<AppId>| {
            let answer = HeartbeatResponse { ended_apps: vec![app.to_string()], ..HeartbeatResponse::default() };
            reports.heard(0, deleted, answer);
        };

        hear(&told());
        assert_eq!(deletions.next().await.as_ref(), Some(&app));
        assert_eq!(told(), [app.clone()].into());
        hear(&told());
        assert!(at_once(deletions.next()).is_none(), "it is under way");
        deletions.ended(app.clone(), Err(Error::new(ErrorKind::Internal, "the disk fails")));
        hear(&told());
        assert_eq!(deletions.next().await.as_ref(), Some(&app));
        assert!(told().is_empty(), "it was announced");
    }

    /// What a future gives without waiting.
    fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }
}
