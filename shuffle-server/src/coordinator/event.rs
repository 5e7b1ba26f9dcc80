//! What happened to the coordinator's state, for logs and metrics.

use overhand_common::ids::{AppId, WorkerId};

use super::Wellbeing;

/// A change that somebody who runs the cluster wants to know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A worker reported for the first time, or for the first time after it was silent.
    Heard(WorkerId),
    /// A worker has not reported for longer than it may; this much it held.
    Silent(WorkerId, u64),
    /// A worker began to drain, or takes new data again.
    Draining(WorkerId, bool),
    /// An application was registered that had not been.
    Registered(AppId),
    /// A registration was refused, and why.
    Refused(AppId, String),
    /// A driver is silent for longer than a lease.
    Expired(AppId),
    /// The driver of an expired application is back.
    Returned(AppId),
    /// An application ended by its driver's word.
    Ended(AppId),
    /// A driver says how its data fares, and it is not as it was: before, and now.
    Fares(AppId, Wellbeing, Wellbeing),
}

impl Event {
    /// Writes it to the log.
    pub fn log(&self) {
        match self {
            Event::Heard(worker) => tracing::info!(%worker, "a worker reports"),
            Event::Silent(worker, bytes) => tracing::warn!(%worker, bytes, "a worker is silent"),
            Event::Draining(worker, true) => tracing::info!(%worker, "a worker is draining"),
            Event::Draining(worker, false) => tracing::info!(%worker, "a worker takes new data again"),
            Event::Registered(app) => tracing::info!(%app, "application registered"),
            Event::Refused(app, reason) => tracing::warn!(%app, reason, "application refused"),
            Event::Expired(app) => tracing::warn!(%app, "an application's lease expired"),
            Event::Returned(app) => tracing::info!(%app, "the driver of an expired application is back"),
            Event::Ended(app) => tracing::info!(%app, "application ended"),
            Event::Fares(app, before, now) => log_wellbeing(app, before, now),
        }
    }
}

fn log_wellbeing(app: &AppId, before: &Wellbeing, now: &Wellbeing) {
    let (under_replicated, copies) = (now.under_replicated_epochs, now.copies_made);
    if now.lost_map_outputs > before.lost_map_outputs {
        let last = now.losses.last().map_or("", String::as_str);
        tracing::error!(%app, lost_map_outputs = now.lost_map_outputs, last, "map outputs were lost");
    }
    if now.chains_broken > before.chains_broken || now.epochs_opened > before.epochs_opened {
        let (chains_broken, epochs_opened) = (now.chains_broken, now.epochs_opened);
        tracing::warn!(%app, chains_broken, epochs_opened, under_replicated, "epochs were opened");
    } else if (before.under_replicated_epochs == 0) != (under_replicated == 0) {
        tracing::info!(%app, under_replicated, copies, "the number of replicas changed");
    }
}
