//! The state of the cluster for scripts.

use overhand_proto::v1::{ApplicationHealth, ApplicationStatus, StatusResponse, WorkerStatus};
use serde_json::{Value, json};

/// Everything that the coordinator said.
pub fn to_json(status: &StatusResponse) -> Value {
    json!({
        "version": status.version, "uptime_ms": status.uptime_ms,
        "workers": status.workers.iter().map(worker).collect::<Vec<_>>(),
        "applications": status.applications.iter().map(application).collect::<Vec<_>>(),
    })
}

fn worker(worker: &WorkerStatus) -> Value {
    let info = worker.info.clone().unwrap_or_default();
    let disks = worker
        .disks
        .iter()
        .map(|disk| json!({"path": disk.path, "free": disk.free, "used": disk.used, "state": disk.state}));
    let usage =
        worker.usage.iter().map(|usage| json!({"app": usage.app, "bytes": usage.bytes, "shuffles": usage.shuffles}));
    let coordinators =
        worker.coordinators.iter().map(|known| json!({"address": known.address, "problem": known.problem}));
    json!({
        "id": info.id, "incarnation": info.incarnation,
        "data_address": info.data_address, "control_address": info.control_address,
        "host": info.host, "zone": info.zone, "tags": info.tags, "draining": info.draining, "silent": worker.silent,
        "memory_budget": info.memory_budget, "memory_used": info.memory_used,
        "disk_free": info.disk_free, "disk_used": info.disk_used,
        "disks_lost": info.disks_lost,
        "reported_ms_ago": worker.reported_ms_ago,
        "disks": disks.collect::<Vec<_>>(), "error": worker.error,
        "usage": usage.collect::<Vec<_>>(), "coordinators": coordinators.collect::<Vec<_>>(),
    })
}

fn application(app: &ApplicationStatus) -> Value {
    let shuffles = app.shuffles.iter().map(|shuffle| {
        json!({
            "shuffle": shuffle.shuffle, "partitions": shuffle.partitions, "shards": shuffle.shards,
            "memory_bytes": shuffle.memory_bytes, "disk_bytes": shuffle.disk_bytes,
            "blocks": shuffle.blocks, "commits": shuffle.commits,
        })
    });
    json!({
        "app": app.app, "tenant": app.tenant, "phase": app.phase, "lease_ms": app.lease_ms,
        "driver_ms_ago": app.driver_ms_ago, "health": app.health.as_ref().map(health),
        "shuffles": shuffles.collect::<Vec<_>>(),
    })
}

fn health(health: &ApplicationHealth) -> Value {
    json!({
        "chains_broken": health.chains_broken, "epochs_opened": health.epochs_opened,
        "under_replicated_epochs": health.under_replicated_epochs,
        "under_replicated_bytes": health.under_replicated_bytes, "copies_made": health.copies_made,
        "lost_map_outputs": health.lost_map_outputs, "losses": health.losses,
    })
}
