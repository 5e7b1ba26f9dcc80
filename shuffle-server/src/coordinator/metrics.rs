//! The coordinator's metrics.

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder, Unit};

use super::{Event, State, state::Phase};

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Handles of the coordinator's metrics, made once from the recorder that it is given.
#[derive(Clone)]
pub struct Metrics {
    workers_alive: Gauge,
    workers_silent: Gauge,
    workers_draining: Gauge,
    applications: Gauge,
    under_replicated_epochs: Gauge,
    under_replicated_bytes: Gauge,
    expired: Counter,
    returned: Counter,
    ended: Counter,
    refused_applications: Counter,
    over_quota: Counter,
    chains_broken: Counter,
    epochs_opened: Counter,
    copies_made: Counter,
    lost_map_outputs: Counter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Registers and describes the metrics.
    pub fn new(recorder: &dyn Recorder) -> Self {
        let counter = |name: &'static str, text: &'static str| {
            recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
            recorder.register_counter(&Key::from_static_name(name), &METADATA)
        };
        let gauge = |name: &'static str, unit, text: &'static str| {
            recorder.describe_gauge(name.into(), Some(unit), text.into());
            recorder.register_gauge(&Key::from_static_name(name), &METADATA)
        };
        const WORKERS: &str = "overhand_coordinator_workers";
        let text = "Workers that report and take data, that report and drain, and that are silent";
        recorder.describe_gauge(WORKERS.into(), Some(Unit::Count), text.into());
        let workers = |state: &'static str| {
            let key = Key::from_parts(WORKERS, vec![Label::from_static_parts("state", state)]);
            recorder.register_gauge(&key, &METADATA)
        };
        const REFUSALS: &str = "overhand_coordinator_quota_refusals_total";
        let text = "Registrations refused by quotas.applications, and answers to drivers that are over quotas.bytes";
        recorder.describe_counter(REFUSALS.into(), Some(Unit::Count), text.into());
        let refusals = |quota: &'static str| {
            let key = Key::from_parts(REFUSALS, vec![Label::from_static_parts("quota", quota)]);
            recorder.register_counter(&key, &METADATA)
        };
        Self {
            workers_alive: workers("alive"),
            workers_silent: workers("silent"),
            workers_draining: workers("draining"),
            applications: gauge("overhand_coordinator_applications", Unit::Count, "Live applications"),
            under_replicated_epochs: gauge(
                "overhand_coordinator_under_replicated_epochs",
                Unit::Count,
                "Epochs of shards that fewer workers hold than should, as the drivers of all applications say",
            ),
            under_replicated_bytes: gauge(
                "overhand_coordinator_under_replicated_bytes",
                Unit::Bytes,
                "What these epochs have, as if each worker's epochs were equally large",
            ),
            expired: counter("overhand_coordinator_applications_expired_total", "Leases that expired here"),
            returned: counter(
                "overhand_coordinator_applications_returned_total",
                "Applications whose driver came back after their lease had expired here",
            ),
            ended: counter("overhand_coordinator_applications_ended_total", "Applications ended by their drivers"),
            refused_applications: refusals("applications"),
            over_quota: refusals("bytes"),
            chains_broken: counter(
                "overhand_coordinator_chains_broken_total",
                "Chains that lost a member while they took data, as drivers say",
            ),
            epochs_opened: counter(
                "overhand_coordinator_epochs_opened_total",
                "Epochs opened after a shard's first, as drivers say",
            ),
            copies_made: counter(
                "overhand_coordinator_copies_total",
                "Epochs of shards copied to another worker, as drivers say",
            ),
            lost_map_outputs: counter(
                "overhand_coordinator_lost_map_outputs_total",
                "Map outputs that no worker holds any more, as drivers say",
            ),
        }
    }

    /// Counts an event.
    pub fn count(&self, event: &Event) {
        match event {
            Event::Expired(_) => self.expired.increment(1),
            Event::Returned(_) => self.returned.increment(1),
            Event::Ended(_) => self.ended.increment(1),
            Event::Refused(..) => self.refused_applications.increment(1),
            Event::Fares(_, before, now) => {
                // A driver that was started again under its old id counts from 0.
                self.chains_broken.increment(now.chains_broken.saturating_sub(before.chains_broken));
                self.epochs_opened.increment(now.epochs_opened.saturating_sub(before.epochs_opened));
                self.copies_made.increment(now.copies_made.saturating_sub(before.copies_made));
                self.lost_map_outputs.increment(now.lost_map_outputs.saturating_sub(before.lost_map_outputs));
            }
            Event::Heard(_) | Event::Silent(..) | Event::Draining(..) | Event::Registered(_) => {}
        }
    }

    /// Counts an answer that told a driver that its tenant is over its quota of bytes.
    pub fn count_over_quota(&self) {
        self.over_quota.increment(1);
    }

    /// Sets the gauges to what is so now.
    pub fn refresh(&self, state: &State, now: std::time::Instant) {
        let workers = state.all_workers();
        let count = |holds: &dyn Fn(bool, bool) -> bool| {
            workers.iter().filter(|worker| holds(worker.silent, worker.report.draining)).count() as f64
        };
        self.workers_silent.set(count(&|silent, _| silent));
        self.workers_draining.set(count(&|silent, draining| !silent && draining));
        self.workers_alive.set(count(&|silent, draining| !silent && !draining));
        let live = state.applications(now).into_iter().filter(|known| matches!(known.phase, Phase::Live(_)));
        let (mut applications, mut epochs, mut bytes) = (0u64, 0u64, 0u64);
        for known in live {
            applications += 1;
            let wellbeing = known.wellbeing.unwrap_or_default();
            epochs = epochs.saturating_add(wellbeing.under_replicated_epochs);
            bytes = bytes.saturating_add(wellbeing.under_replicated_bytes);
        }
        self.applications.set(applications as f64);
        self.under_replicated_epochs.set(epochs as f64);
        self.under_replicated_bytes.set(bytes as f64);
    }
}
