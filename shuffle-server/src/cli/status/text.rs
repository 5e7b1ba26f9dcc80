//! The state of the cluster for people.

use std::{collections::BTreeMap, fmt::Write};

use comfy_table::Table;
use overhand_proto::v1::{ApplicationHealth, ApplicationStatus, ShuffleStatus, StatusResponse, WorkerStatus};

use super::show::{self, table};

/// A table for each kind of thing; those that have nothing to say are left out.
pub fn to_text(status: &StatusResponse) -> String {
    let mut out = format!("overhand {}, up for {}\n", status.version, show::time(status.uptime_ms));
    section(&mut out, &workers(&status.workers), "no worker has reported");
    section(&mut out, &disks(&status.workers), "");
    section(&mut out, &coordinators(&status.workers), "");
    section(&mut out, &applications(&status.applications), "no applications");
    section(&mut out, &troubles(&status.applications), "");
    for app in &status.applications {
        for loss in app.health.iter().flat_map(|health| &health.losses) {
            let _ = writeln!(out, "lost, {}: {loss}", app.app);
        }
    }
    out
}

fn workers(workers: &[WorkerStatus]) -> Table {
    let header =
        ["worker", "data plane", "host", "zone", "reported", "memory", "of", "on disk", "disk free", "holds", "state"];
    let mut table = table(&header, 5..9);
    for worker in workers {
        let info = worker.info.clone().unwrap_or_default();
        table.add_row([
            short(&info.id, info.incarnation),
            info.data_address.clone(),
            info.host.clone(),
            info.zone.clone(),
            format!("{} ago", show::time(worker.reported_ms_ago)),
            show::size(info.memory_used),
            show::size(info.memory_budget),
            show::size(info.disk_used),
            show::size(info.disk_free),
            holds(worker),
            state(worker),
        ]);
    }
    table
}

fn short(id: &str, incarnation: u64) -> String {
    format!("{}#{incarnation}", id.split('-').next().unwrap_or_default())
}

fn holds(worker: &WorkerStatus) -> String {
    let bytes = worker.usage.iter().map(|usage| usage.bytes).sum();
    let apps = worker.usage.iter().filter(|usage| usage.bytes > 0).count();
    format!("{} of {apps} application(s)", show::size(bytes))
}

fn state(worker: &WorkerStatus) -> String {
    let info = worker.info.clone().unwrap_or_default();
    let mut state = match (worker.silent, info.draining) {
        (true, _) => "silent".to_owned(),
        (false, true) => "draining".to_owned(),
        (false, false) if info.disk_free == 0 => "no folder takes data".to_owned(),
        (false, false) if worker.error.is_empty() => "ok".to_owned(),
        (false, false) => String::new(),
    };
    if !worker.error.is_empty() {
        state = format!("{state} {}", worker.error).trim().to_owned();
    }
    state
}

fn disks(workers: &[WorkerStatus]) -> Table {
    let mut table = table(&["worker", "data folder", "on disk", "free", "state"], 2..4);
    for worker in workers {
        let info = worker.info.clone().unwrap_or_default();
        for disk in &worker.disks {
            table.add_row([
                short(&info.id, info.incarnation),
                disk.path.clone(),
                show::size(disk.used),
                show::size(disk.free),
                disk.state.clone(),
            ]);
        }
    }
    table
}

/// The coordinators as the workers see them: how many report to each, and what keeps the others from it.
fn coordinators(workers: &[WorkerStatus]) -> Table {
    let mut seen: BTreeMap<&str, (usize, usize, &str)> = BTreeMap::new();
    for known in workers.iter().flat_map(|worker| &worker.coordinators) {
        let (good, all, problem) = seen.entry(&known.address).or_default();
        *all += 1;
        if known.problem.is_empty() {
            *good += 1;
        } else {
            *problem = &known.problem;
        }
    }
    let mut table = table(&["coordinator", "takes reports of", "state"], 0..0);
    for (address, (good, all, problem)) in seen {
        let state = if problem.is_empty() { "ok" } else { problem };
        table.add_row([address.to_owned(), format!("{good} of {all} worker(s)"), state.to_owned()]);
    }
    table
}

fn applications(apps: &[ApplicationStatus]) -> Table {
    let header = [
        "application",
        "tenant",
        "shuffle",
        "partitions",
        "shards",
        "commits",
        "blocks",
        "memory",
        "on disk",
        "lease",
        "driver",
    ];
    let mut table = table(&header, 2..9);
    for app in apps {
        let sum = |of: fn(&ShuffleStatus) -> u64| app.shuffles.iter().map(of).sum::<u64>();
        table.add_row([
            app.app.clone(),
            app.tenant.clone(),
            format!("{} in all", app.shuffles.len()),
            String::new(),
            String::new(),
            sum(|shuffle| shuffle.commits).to_string(),
            sum(|shuffle| shuffle.blocks).to_string(),
            show::size(sum(|shuffle| shuffle.memory_bytes)),
            show::size(sum(|shuffle| shuffle.disk_bytes)),
            if app.phase == "live" { show::time(app.lease_ms) } else { app.phase.clone() },
            app.driver_ms_ago.map_or_else(|| "not heard".into(), |ago| format!("heard {} ago", show::time(ago))),
        ]);
        for shuffle in &app.shuffles {
            table.add_row([
                String::new(),
                String::new(),
                shuffle.shuffle.to_string(),
                shuffle.partitions.to_string(),
                shuffle.shards.to_string(),
                shuffle.commits.to_string(),
                shuffle.blocks.to_string(),
                show::size(shuffle.memory_bytes),
                show::size(shuffle.disk_bytes),
                String::new(),
                String::new(),
            ]);
        }
    }
    table
}

/// The applications that something has happened to.
fn troubles(apps: &[ApplicationStatus]) -> Table {
    let header = [
        "application",
        "under-replicated epochs",
        "about",
        "chains broken",
        "epochs opened",
        "copies",
        "lost map outputs",
    ];
    let mut table = table(&header, 1..7);
    for app in apps {
        let Some(health) = app.health.as_ref().filter(|health| **health != ApplicationHealth::default()) else {
            continue;
        };
        table.add_row([
            app.app.clone(),
            health.under_replicated_epochs.to_string(),
            show::size(health.under_replicated_bytes),
            health.chains_broken.to_string(),
            health.epochs_opened.to_string(),
            health.copies_made.to_string(),
            health.lost_map_outputs.to_string(),
        ]);
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
