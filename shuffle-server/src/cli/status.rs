//! `overhand status`: workers, coordinators, applications, shuffles.

mod json;
mod text;

use std::time::Duration;

use clap::Args;
use overhand_proto::v1::StatusResponse;
use tokio::time::{MissedTickBehavior, interval};

use super::{cluster::Cluster, show};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);
const CLEAR_SCREEN: &str = "\x1b[2J\x1b[H";

#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    cluster: Cluster,
    /// Prints JSON, for scripts.
    #[arg(long)]
    json: bool,
    /// Shows it again every second, until interrupted.
    #[arg(long)]
    watch: bool,
}

/// Asks a coordinator, and prints what it says.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let asked = options.cluster.status().await;
            if !options.watch {
                return show::print(&render(&asked?, options.json));
            }
            let text = asked.map_or_else(|error| format!("{error:#}\n"), |status| render(&status, options.json));
            let clear = if options.json { "" } else { CLEAR_SCREEN };
            show::print(&format!("{clear}{text}"))?;
        }
    })
}

fn render(status: &StatusResponse, as_json: bool) -> String {
    if as_json { format!("{:#}\n", json::to_json(status)) } else { text::to_text(status) }
}
