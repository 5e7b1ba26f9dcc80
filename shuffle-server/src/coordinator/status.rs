//! What `overhand status` shows, put together from the state and from what the workers say.

use std::{collections::BTreeMap, time::Instant};

use overhand_proto::v1::{self as proto, ApplicationStatus, ShuffleStatus, StatusResponse, WorkerStatus};

use super::{
    Held, Known, Wellbeing, Worker,
    describe::{Asked, ask_all},
    state::Phase,
};
use crate::control::millis;

/// Asks the workers, and says everything about them and the applications.
pub async fn status(workers: Vec<Worker>, known: Vec<Known>, started: Instant, now: Instant) -> StatusResponse {
    let addresses = workers.iter().map(|worker| worker.report.control_address.clone()).collect();
    let (asked, mut shuffles) = ask_all(addresses).await;
    let mut applications: Vec<ApplicationStatus> = known
        .into_iter()
        .filter_map(|known| {
            let held = shuffles.remove(known.app.as_str()).unwrap_or_default();
            // One that has ended and whose data is gone is known only so that it does not come back.
            let is_over = matches!(known.phase, Phase::Deleted(_) | Phase::Ended(_)) && held.is_empty();
            (!is_over).then(|| application(known, held))
        })
        .collect();
    // What is left belongs to applications that have ended and whose data is on its way out.
    applications.extend(shuffles.into_iter().map(|(app, shuffles)| ApplicationStatus {
        app,
        shuffles,
        phase: "ended".into(),
        ..ApplicationStatus::default()
    }));
    StatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: millis(now.duration_since(started)),
        workers: workers.into_iter().zip(asked).map(|(known, asked)| worker(known, asked, now)).collect(),
        applications,
    }
}

fn application(known: Known, shuffles: Vec<ShuffleStatus>) -> ApplicationStatus {
    ApplicationStatus {
        app: known.app.into(),
        tenant: known.tenant,
        lease_ms: millis(known.lease),
        shuffles,
        health: known.wellbeing.map(Wellbeing::encode),
        driver_ms_ago: known.unheard.map(millis),
        phase: match known.phase {
            Phase::Live(_) => "live",
            Phase::Expired(_) => "expired",
            Phase::Deleted(_) | Phase::Ended(_) => "ended",
        }
        .to_owned(),
    }
}

fn worker(known: Worker, asked: Asked, now: Instant) -> WorkerStatus {
    let reported: BTreeMap<String, Held> =
        known.holdings.usage.into_iter().map(|(app, held)| (app.into(), held)).collect();
    let usage = asked.usage.unwrap_or(reported);
    let mut info = known.report.encode();
    info.draining = asked.draining.unwrap_or(info.draining);
    WorkerStatus {
        info: Some(info),
        reported_ms_ago: millis(now.saturating_duration_since(known.reported)),
        disks: asked.disks,
        error: asked.error,
        silent: known.silent,
        usage: usage
            .into_iter()
            .map(|(app, held)| proto::ApplicationUsage { app, bytes: held.bytes, shuffles: held.shuffles })
            .collect(),
        coordinators: asked.coordinators,
    }
}
