//! How far a drain is, and why it gets no further.

use std::{fmt::Write, time::Duration};

use anyhow::bail;
use overhand_proto::v1::{ApplicationStatus, StatusResponse, WorkerInfo, WorkerStatus};
use serde_json::{Value, json};

use super::show;

/// For how long nothing may move before it is explained.
const STILL: Duration = Duration::from_secs(5);
/// How many applications are named.
const NAMED: usize = 5;

/// The drain of one worker.
pub struct Progress {
    worker: WorkerInfo,
    first: Option<u64>,
    least: u64,
    /// When there was last less than before.
    moved_at: Duration,
}

/// What one look at the cluster shows.
#[derive(Debug, PartialEq)]
pub struct Look {
    bytes_left: Option<u64>,
    shuffles_left: u32,
    bytes_moved: u64,
    bytes_per_second: u64,
    applications: Vec<(String, u64)>,
    why: Vec<String>,
}

impl Progress {
    /// A drain that has just begun.
    pub fn new(worker: WorkerInfo) -> Self {
        Self { worker, first: None, least: u64::MAX, moved_at: Duration::ZERO }
    }

    /// Takes note of what the coordinator says, this long after the beginning. An error if the worker does not drain any
    /// more.
    pub fn look(&mut self, status: &StatusResponse, after: Duration) -> anyhow::Result<Look> {
        let is_it = |worker: &&WorkerStatus| worker.info.as_ref().is_some_and(|info| info.id == self.worker.id);
        let Some(worker) = status.workers.iter().find(is_it) else {
            return Ok(Look::unknown("this coordinator knows nothing of the worker: was it started again?".into()));
        };
        if !worker.error.is_empty() {
            let held = show::size(worker.usage.iter().map(|usage| usage.bytes).sum());
            let text = format!("the worker does not answer ({}); when last heard it held {held}", worker.error);
            return Ok(Look::unknown(text));
        }
        if !worker.info.as_ref().is_some_and(|info| info.draining) {
            bail!("the worker takes new data again: it was put back into service, or was started anew");
        }
        let left: u64 = worker.usage.iter().map(|usage| usage.bytes).sum();
        let first = *self.first.get_or_insert(left);
        if left < self.least {
            (self.least, self.moved_at) = (left, after);
        }
        let moved = first.saturating_sub(left);
        let mut applications: Vec<(String, u64)> =
            worker.usage.iter().filter(|usage| usage.bytes > 0).map(|usage| (usage.app.clone(), usage.bytes)).collect();
        applications.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let still = left > 0 && after.saturating_sub(self.moved_at) >= STILL;
        let why = if still { self.explain(status, &applications) } else { vec![] };
        Ok(Look {
            bytes_left: Some(left),
            shuffles_left: worker.usage.iter().map(|usage| usage.shuffles).sum(),
            bytes_moved: moved,
            bytes_per_second: (moved as f64 / after.as_secs_f64().max(1.0)) as u64,
            applications,
            why,
        })
    }

    fn explain(&self, status: &StatusResponse, applications: &[(String, u64)]) -> Vec<String> {
        let mut why = vec![];
        let takes_data = |worker: &&WorkerStatus| {
            worker
                .info
                .as_ref()
                .is_some_and(|info| info.id != self.worker.id && !info.draining && info.disk_free > 0 && !worker.silent)
        };
        if !status.workers.iter().any(|worker| takes_data(&worker)) {
            why.push("there is no other worker that takes data: start one, or put one back".to_owned());
        }
        for (app, _) in applications.iter().take(NAMED) {
            let known = status.applications.iter().find(|known| known.app == *app);
            why.push(format!("application {app}: {}", state_of_driver(known)));
        }
        why
    }
}

/// Why an application's data stays where it is, as far as its coordinator can tell.
fn state_of_driver(app: Option<&ApplicationStatus>) -> String {
    let Some(app) = app else { return "this coordinator knows nothing of it".into() };
    match (app.phase.as_str(), app.driver_ms_ago) {
        ("ended", _) => "it has ended, and its data is being deleted".into(),
        ("expired", _) => {
            "its lease has expired at this coordinator; its data goes when every coordinator of the worker says so"
                .into()
        }
        (_, None) => format!(
            "its driver has not spoken to this coordinator; without a word, its lease ends in {}",
            show::time(app.lease_ms)
        ),
        (_, Some(ago)) => format!(
            "its driver spoke {} ago and has moved nothing for {} s; its log says why",
            show::time(ago),
            STILL.as_secs()
        ),
    }
}

impl Look {
    /// Nothing could be found out.
    pub fn unknown(why: String) -> Self {
        Self {
            bytes_left: None,
            shuffles_left: 0,
            bytes_moved: 0,
            bytes_per_second: 0,
            applications: vec![],
            why: vec![why],
        }
    }

    /// Whether the worker holds nothing.
    pub fn is_done(&self) -> bool {
        self.bytes_left == Some(0)
    }

    /// A line for scripts.
    pub fn to_json(&self) -> Value {
        let applications = self.applications.iter().map(|(app, bytes)| json!({"app": app, "bytes": bytes}));
        json!({
            "done": self.is_done(), "bytes_left": self.bytes_left, "shuffles_left": self.shuffles_left,
            "bytes_moved": self.bytes_moved, "bytes_per_second": self.bytes_per_second,
            "applications": applications.collect::<Vec<_>>(), "why": self.why,
        })
    }

    /// A line for people, and one for each reason why nothing moves.
    pub fn to_text(&self) -> String {
        let mut out = match self.bytes_left {
            Some(0) => "it holds nothing: it may be stopped\n".to_owned(),
            Some(left) => {
                let mut line = format!(
                    "{} in {} shuffle(s) left, {} moved, {}/s",
                    show::size(left),
                    self.shuffles_left,
                    show::size(self.bytes_moved),
                    show::size(self.bytes_per_second)
                );
                if self.applications.len() <= NAMED {
                    let each = self.applications.iter().map(|(app, bytes)| format!("{app} {}", show::size(*bytes)));
                    let _ = write!(line, " ({})", each.collect::<Vec<_>>().join(", "));
                }
                line + "\n"
            }
            None => String::new(),
        };
        self.why.iter().for_each(|why| {
            let _ = writeln!(out, "  waiting: {why}");
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use overhand_proto::v1::ApplicationUsage;

    use super::*;

    fn info(id: &str, draining: bool) -> WorkerInfo {
        WorkerInfo { id: id.into(), draining, disk_free: 1, ..WorkerInfo::default() }
    }

    fn worker(id: &str, draining: bool, bytes: u64) -> WorkerStatus {
        let usage = vec![ApplicationUsage { app: "app".into(), bytes, shuffles: u32::from(bytes > 0) }];
        WorkerStatus { info: Some(info(id, draining)), usage, ..WorkerStatus::default() }
    }

    fn status(workers: Vec<WorkerStatus>) -> StatusResponse {
        let app = ApplicationStatus { app: "app".into(), phase: "live".into(), ..ApplicationStatus::default() };
        StatusResponse { workers, applications: vec![app], ..StatusResponse::default() }
    }

    fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn what_is_left_gets_less_until_nothing_is() {
        let mut progress = Progress::new(info("a", true));
        let mut left = |bytes, after| {
            let look = progress.look(&status(vec![worker("a", true, bytes), worker("b", false, 0)]), secs(after));
            let look = look.expect("it drains");
            (look.is_done(), look.bytes_moved, look.bytes_per_second, look.why.len())
        };
        assert_eq!(left(1000, 0), (false, 0, 0, 0));
        assert_eq!(left(600, 4), (false, 400, 100, 0));
        assert_eq!(left(600, 8), (false, 400, 50, 0));
        assert_eq!(left(600, 9), (false, 400, 44, 1), "nothing has moved for a while");
        assert_eq!(left(0, 10), (true, 1000, 100, 0));
    }

    #[test]
    fn it_says_why_nothing_moves() {
        let mut progress = Progress::new(info("a", true));
        let alone = status(vec![worker("a", true, 10), worker("b", true, 0)]);
        progress.look(&alone, secs(0)).expect("it drains");
        let text = progress.look(&alone, secs(5)).expect("it drains").to_text();
        for part in ["10 B in 1 shuffle(s) left", "no other worker", "application app: its driver has not spoken"] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }

    #[test]
    fn a_worker_that_is_put_back_or_silent_is_not_taken_for_empty() {
        let mut progress = Progress::new(info("a", true));
        assert!(progress.look(&status(vec![worker("a", false, 0)]), secs(0)).is_err());
        let silent = WorkerStatus { error: "no answer".into(), ..worker("a", true, 77) };
        let look = progress.look(&status(vec![silent]), secs(1)).expect("it may come back");
        assert!(!look.is_done() && look.to_text().contains("77 B"), "{look:?}");
        let look = progress.look(&status(vec![]), secs(2)).expect("it may be heard of again");
        assert!(!look.is_done(), "{look:?}");
    }
}
