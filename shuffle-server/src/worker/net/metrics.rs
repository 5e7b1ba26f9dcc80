//! The data plane's metrics.

use std::collections::HashMap;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use overhand_common::ErrorKind;

/// Handles of the data plane's metrics, made once from the recorder that is given. Bytes are counted by the store.
#[derive(Clone)]
pub struct Metrics {
    pub(super) connections: Gauge,
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    pub(super) broken: Counter,
    pub(super) push_seconds: Histogram,
    pub(super) fetch_streams: Gauge,
    pub(super) fetches: Counter,
    pub(super) chains_broken: Counter,
    pub(super) forwarded_frames: Counter,
    pub(super) forwarded_bytes: Counter,
    pub(super) copies: Gauge,
    pub(super) copied_bytes: Counter,
    failures: HashMap<ErrorKind, Counter>,
}

impl Metrics {
    /// Registers and describes the metrics.
    pub fn new(recorder: &dyn Recorder) -> Self {
        let meta = Metadata::new(module_path!(), Level::INFO, None);
        let counter = |name: &'static str, about: &'static str| {
            recorder.describe_counter(name.into(), None, about.into());
            recorder.register_counter(&Key::from_static_name(name), &meta)
        };
        let gauge = |name: &'static str, about: &'static str| {
            recorder.describe_gauge(name.into(), None, about.into());
            recorder.register_gauge(&Key::from_static_name(name), &meta)
        };
        let histogram = |name: &'static str, about: &'static str| {
            recorder.describe_histogram(name.into(), Some(Unit::Seconds), about.into());
            recorder.register_histogram(&Key::from_static_name(name), &meta)
        };
        let failures = "overhand_request_failures_total";
        let about = "Requests of the data plane that were answered with a failure, by kind";
        recorder.describe_counter(failures.into(), None, about.into());
        let failures = ErrorKind::ALL.into_iter().map(|kind| {
            let key = Key::from_parts(failures, vec![Label::new("kind", kind.name())]);
            (kind, recorder.register_counter(&key, &meta))
        });
        Self {
            connections: gauge("overhand_connections", "Connections of the data plane that are open"),
            accepted: counter("overhand_connections_total", "Connections of the data plane that were accepted"),
            refused: counter(
                "overhand_connections_refused_total",
                "Connections that were refused: too many, no hello in time, a token that is not valid",
            ),
            broken: counter(
                "overhand_connections_broken_total",
                "Connections that ended in the middle of a message or with bytes that make no sense",
            ),
            push_seconds: histogram(
                "overhand_push_seconds",
                "Time from a frame's header to its acknowledgement, waiting for memory included",
            ),
            fetch_streams: gauge("overhand_fetch_streams", "Fetches under way"),
            fetches: counter("overhand_fetches_total", "Fetches that were begun"),
            chains_broken: counter(
                "overhand_chains_broken_total",
                "Connections to next workers of chains that failed or could not be made",
            ),
            forwarded_frames: counter(
                "overhand_forwarded_frames_total",
                "Frames that were sent on to the next worker of their chain",
            ),
            forwarded_bytes: counter("overhand_forwarded_bytes_total", "Bytes of frames that were sent on"),
            copies: gauge("overhand_copies", "Copies that are being taken from other workers"),
            copied_bytes: counter("overhand_copied_bytes_total", "Bytes that were copied from other workers"),
            failures: failures.collect(),
        }
    }

    pub(super) fn failure(&self, kind: ErrorKind) {
        if let Some(counter) = self.failures.get(&kind) {
            counter.increment(1);
        }
    }
}
