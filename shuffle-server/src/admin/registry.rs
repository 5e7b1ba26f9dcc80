//! The metrics of one process. It is no global: the parts are given the recorder.

use std::sync::Arc;

use metrics::{Gauge, Key, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use overhand_common::{Error, ErrorKind, Result};
use parking_lot::Mutex;

/// Upper bounds of the buckets of all histograms, in seconds.
const SECONDS: [f64; 14] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];

/// Brings gauges up to date before they are shown.
type Refresh = Box<dyn Fn() + Send + Sync>;

/// The recorder that parts make their metrics with, and what renders them.
pub struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    resident: Gauge,
    refresh: Mutex<Vec<Refresh>>,
}

impl Registry {
    /// An empty registry, with the metrics of the process itself.
    pub fn new() -> Result<Arc<Self>> {
        let builder = PrometheusBuilder::new().set_buckets(&SECONDS);
        let builder = builder.map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let resident = resident(&recorder);
        Ok(Arc::new(Self { recorder, handle, resident, refresh: Mutex::default() }))
    }

    /// What parts register their metrics with.
    pub fn recorder(&self) -> &dyn Recorder {
        &self.recorder
    }

    /// Runs `refresh` before each rendering.
    pub fn before_render(&self, refresh: impl Fn() + Send + Sync + 'static) {
        self.refresh.lock().push(Box::new(refresh));
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes as f64);
        }
        self.refresh.lock().iter().for_each(|refresh| refresh());
        self.handle.run_upkeep();
        self.handle.render()
    }
}

/// Registers the gauge of the process's memory.
pub fn resident(recorder: &dyn Recorder) -> Gauge {
    const NAME: &str = "overhand_process_resident_bytes";
    let about = "Memory of the process that is in RAM, the budget's and everything else";
    recorder.describe_gauge(NAME.into(), Some(metrics::Unit::Bytes), about.into());
    recorder.register_gauge(&Key::from_static_name(NAME), &Metadata::new(module_path!(), Level::INFO, None))
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}
