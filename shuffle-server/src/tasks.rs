//! Background work with owners: every task has a name, is told when to stop, and its failure becomes the process's.

use std::{future::Future, time::Duration};

use overhand_common::Result;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::health::Health;

/// The tasks of a process.
#[derive(Debug, Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    health: Health,
}

impl Tasks {
    /// No tasks yet; failures go to `health`.
    pub fn new(health: Health) -> Self {
        Self { tracker: TaskTracker::new(), stop: CancellationToken::new(), health }
    }

    /// What tells tasks to stop.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `work` until it ends, which it should only when told to stop. If it ends otherwise, by an error or a panic,
    /// that is logged, and the part `name` is dead.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = Result<()>> + Send + 'static) {
        let part = self.health.part(name);
        part.good();
        let stop = self.stop.clone();
        let inner = tokio::spawn(work);
        self.tracker.spawn(async move {
            let problem = match inner.await {
                Ok(Ok(())) if stop.is_cancelled() => return,
                Ok(Ok(())) => "it ended by itself".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic.to_string(),
            };
            tracing::error!(task = name, problem, "a task failed");
            part.dead(problem);
        });
    }

    /// Tells all tasks to stop and waits for them; whether they did in time.
    pub async fn finish(&self, patience: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        timeout(patience, self.tracker.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use overhand_common::{Error, ErrorKind};

    use super::*;

    #[tokio::test]
    async fn a_task_that_fails_panics_or_ends_by_itself_is_a_dead_part() {
        let health = Health::default();
        let tasks = Tasks::new(health.clone());
        tasks.spawn("fails", async { Err(Error::new(ErrorKind::Internal, "no disk")) });
        tasks.spawn("panics", async { panic!("on purpose") });
        tasks.spawn("ends", async { Ok(()) });
        tasks.tracker.close();
        tasks.tracker.wait().await;
        let fatal = health.fatal();
        assert_eq!(fatal.len(), 3, "{fatal:?}");
        assert!(fatal.iter().any(|line| line.starts_with("fails: no disk")), "{fatal:?}");
    }

    #[tokio::test]
    async fn a_task_that_stops_when_told_is_fine() {
        let health = Health::default();
        let tasks = Tasks::new(health.clone());
        let stop = tasks.stop();
        tasks.spawn("waits", async move {
            stop.cancelled().await;
            Ok(())
        });
        assert!(tasks.finish(Duration::from_secs(10)).await);
        assert!(health.problems().is_empty());
    }
}
