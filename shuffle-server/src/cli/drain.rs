//! `overhand drain`: takes a worker out of service, and shows how what it holds is moved away.

mod progress;

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;
use overhand_proto::v1::{DrainRequest, WorkerInfo};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{cluster::Cluster, show};
use progress::{Look, Progress};

/// How often the coordinator is asked what is left.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Options {
    /// The worker: its id, the beginning of its id, or the address of its data or control plane.
    worker: String,
    #[command(flatten)]
    cluster: Cluster,
    /// The file with the cluster's secret. [default: OVERHAND_AUTH_SECRET_FILE, or the secret in --data-dir]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Puts the worker back into service.
    #[arg(long)]
    undo: bool,
    /// Ends as soon as the worker takes no new data, and does not wait until it holds nothing.
    #[arg(long)]
    no_wait: bool,
    /// Prints a JSON object per line, for scripts.
    #[arg(long)]
    json: bool,
}

/// Gives the order, and shows what comes of it.
pub fn run(options: Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let Options { worker, cluster, secret_file, undo, no_wait, json } = options;
        let token = cluster.secret(secret_file)?.sign_own().map_err(|error| anyhow::anyhow!("{error}"))?;
        let (address, mut coordinator) = cluster.connect().await?;
        let answer = coordinator.drain(DrainRequest { worker, undo, token }).await;
        let answer = answer.map_err(|status| anyhow::anyhow!("{address}: {}", status.message()))?.into_inner();
        let worker = answer.worker.context("the coordinator does not say which worker it is")?;
        if !json {
            show::print(&begun(&worker, undo, no_wait))?;
        }
        if undo || no_wait {
            return if json { show::print(&format!("{}\n", order(&worker))) } else { Ok(()) };
        }
        follow(&cluster, worker, json).await
    })
}

fn begun(worker: &WorkerInfo, undo: bool, no_wait: bool) -> String {
    let name = format!("worker {} at {}", worker.id, worker.data_address);
    match (undo, no_wait) {
        (true, _) => format!("{name} takes new data again\n"),
        (false, true) => format!("{name} takes no new data; drivers move what it holds\n"),
        (false, false) => format!(
            "{name} takes no new data; drivers move what it holds. Interrupting this leaves it so, --undo ends it.\n"
        ),
    }
}

fn order(worker: &WorkerInfo) -> serde_json::Value {
    serde_json::json!({"worker": worker.id, "draining": worker.draining})
}

/// Shows what is left until nothing is.
async fn follow(cluster: &Cluster, worker: WorkerInfo, json: bool) -> anyhow::Result<()> {
    let mut progress = Progress::new(worker);
    let begun = Instant::now();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let look = match cluster.status().await {
            Ok(status) => progress.look(&status, begun.elapsed())?,
            // The drain goes on without it.
            Err(error) => Look::unknown(format!("{error:#}")),
        };
        let line = if json { format!("{}\n", look.to_json()) } else { look.to_text() };
        show::print(&line)?;
        if look.is_done() {
            return Ok(());
        }
    }
}
