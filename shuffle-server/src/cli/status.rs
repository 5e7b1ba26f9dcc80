//! `overhand status`: workers, applications, shuffles.

use std::{fmt::Write, time::Duration};

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use overhand_proto::v1::{StatusRequest, StatusResponse, coordinator_client::CoordinatorClient};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::show;
use crate::control;

/// How long the coordinator may take to answer: it asks all workers meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);
const CLEAR_SCREEN: &str = "\x1b[2J\x1b[H";

#[derive(Debug, Args)]
pub struct Options {
    /// Any coordinator.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7337")]
    coordinator: String,
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
            let asked = ask(&options.coordinator).await;
            if !options.watch {
                return show::print(&render(&asked.map_err(anyhow::Error::msg)?, options.json));
            }
            let text = asked.map_or_else(|error| error + "\n", |status| render(&status, options.json));
            let clear = if options.json { "" } else { CLEAR_SCREEN };
            show::print(&format!("{clear}{text}"))?;
        }
    })
}

async fn ask(address: &str) -> Result<StatusResponse, String> {
    let channel = control::connect(address, PATIENCE).await?;
    let answer = CoordinatorClient::new(channel).status(StatusRequest {}).await;
    answer.map(tonic::Response::into_inner).map_err(|status| format!("{address}: {}", status.message()))
}

fn render(status: &StatusResponse, as_json: bool) -> String {
    if as_json { format!("{:#}\n", to_json(status)) } else { to_text(status) }
}

fn to_json(status: &StatusResponse) -> Value {
    let workers = status.workers.iter().map(|worker| {
        let info = worker.info.clone().unwrap_or_default();
        let disks = worker
            .disks
            .iter()
            .map(|disk| json!({"path": disk.path, "free": disk.free, "used": disk.used, "state": disk.state}));
        json!({
            "id": info.id, "incarnation": info.incarnation,
            "data_address": info.data_address, "control_address": info.control_address,
            "zone": info.zone, "tags": info.tags, "draining": info.draining,
            "memory_budget": info.memory_budget, "memory_used": info.memory_used,
            "disk_free": info.disk_free, "disk_used": info.disk_used,
            "reported_ms_ago": worker.reported_ms_ago,
            "disks": disks.collect::<Vec<_>>(), "error": worker.error,
        })
    });
    let applications = status.applications.iter().map(|app| {
        let shuffles = app.shuffles.iter().map(|shuffle| {
            json!({
                "shuffle": shuffle.shuffle, "partitions": shuffle.partitions, "shards": shuffle.shards,
                "memory_bytes": shuffle.memory_bytes, "disk_bytes": shuffle.disk_bytes,
                "blocks": shuffle.blocks, "commits": shuffle.commits,
            })
        });
        json!({
            "app": app.app, "tenant": app.tenant, "lease_ms": app.lease_ms, "shuffles": shuffles.collect::<Vec<_>>(),
        })
    });
    json!({
        "version": status.version, "uptime_ms": status.uptime_ms,
        "workers": workers.collect::<Vec<_>>(), "applications": applications.collect::<Vec<_>>(),
    })
}

fn to_text(status: &StatusResponse) -> String {
    let mut out = format!("overhand {}, up for {}\n", status.version, show::time(status.uptime_ms));
    let mut workers =
        table(&["worker", "data plane", "reported", "memory", "of", "on disk", "disk free", "state"], 3..7);
    let mut disks = table(&["data folder", "on disk", "free", "state"], 1..3);
    for worker in &status.workers {
        let info = worker.info.clone().unwrap_or_default();
        let state = match (worker.error.as_str(), info.draining) {
            ("", false) => "ok",
            ("", true) => "draining",
            (error, _) => error,
        };
        workers.add_row([
            format!("{}#{}", info.id.split('-').next().unwrap_or_default(), info.incarnation),
            info.data_address,
            format!("{} ago", show::time(worker.reported_ms_ago)),
            show::size(info.memory_used),
            show::size(info.memory_budget),
            show::size(info.disk_used),
            show::size(info.disk_free),
            state.to_owned(),
        ]);
        for disk in &worker.disks {
            disks.add_row([disk.path.clone(), show::size(disk.used), show::size(disk.free), disk.state.clone()]);
        }
    }
    section(&mut out, &workers, "no worker has reported");
    section(&mut out, &disks, "");
    let header = ["application", "shuffle", "partitions", "shards", "commits", "blocks", "memory", "on disk", "lease"];
    let mut apps = table(&header, 1..8);
    for app in &status.applications {
        let lease = if app.lease_ms == 0 { "ended".to_owned() } else { show::time(app.lease_ms) };
        let sum = |of: fn(&overhand_proto::v1::ShuffleStatus) -> u64| app.shuffles.iter().map(of).sum::<u64>();
        let total = [
            app.app.clone(),
            format!("{} in all", app.shuffles.len()),
            String::new(),
            String::new(),
            sum(|shuffle| shuffle.commits).to_string(),
            sum(|shuffle| shuffle.blocks).to_string(),
            show::size(sum(|shuffle| shuffle.memory_bytes)),
            show::size(sum(|shuffle| shuffle.disk_bytes)),
            lease,
        ];
        apps.add_row(total);
        for shuffle in &app.shuffles {
            apps.add_row([
                String::new(),
                shuffle.shuffle.to_string(),
                shuffle.partitions.to_string(),
                shuffle.shards.to_string(),
                shuffle.commits.to_string(),
                shuffle.blocks.to_string(),
                show::size(shuffle.memory_bytes),
                show::size(shuffle.disk_bytes),
                String::new(),
            ]);
        }
    }
    section(&mut out, &apps, "no applications");
    out
}

fn table(header: &[&str], numbers: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn section(out: &mut String, table: &Table, otherwise: &str) {
    if table.is_empty() {
        if !otherwise.is_empty() {
            let _ = writeln!(out, "\n{otherwise}");
        }
        return;
    }
    out.push('\n');
    for line in table.to_string().lines() {
        let _ = writeln!(out, "{}", line.trim_end());
    }
}
