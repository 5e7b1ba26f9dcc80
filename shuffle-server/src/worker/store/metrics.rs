//! The store's metrics.

use metrics::{Counter, Gauge, Histogram, Key, Level, Metadata, Recorder, Unit};

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Handles of the store's metrics, made once from the recorder that it is given.
#[derive(Clone)]
pub struct Metrics {
    pub(super) pushed_frames: Counter,
    pub(super) pushed_blocks: Counter,
    pub(super) pushed_bytes: Counter,
    pub(super) repeated_frames: Counter,
    pub(super) refused_frames: Counter,
    pub(super) commits: Counter,
    pub(super) fetched_memory_bytes: Counter,
    pub(super) fetched_disk_bytes: Counter,
    pub(super) memory_waits: Counter,
    pub(super) memory_wait_seconds: Histogram,
    pub(super) flushed_segments: Counter,
    pub(super) flushed_bytes: Counter,
    pub(super) flush_seconds: Histogram,
    pub(super) flush_failures: Counter,
    pub(super) damaged_blocks: Counter,
    pub(super) lost_segments: Counter,
    pub(super) removed_shuffles: Counter,
    pub(super) memory_used_bytes: Gauge,
    pub(super) memory_mapped_bytes: Gauge,
    pub(super) memory_budget_bytes: Gauge,
    pub(super) disk_used_bytes: Gauge,
    pub(super) disk_free_bytes: Gauge,
    pub(super) folders_out: Gauge,
    pub(super) folders_lost: Counter,
    pub(super) applications: Gauge,
}

impl Metrics {
    /// Registers and describes the metrics.
    pub fn new(recorder: &dyn Recorder) -> Self {
        let counter = |name: &'static str, unit, text: &'static str| {
            recorder.describe_counter(name.into(), unit, text.into());
            recorder.register_counter(&Key::from_static_name(name), &METADATA)
        };
        let gauge = |name: &'static str, unit, text: &'static str| {
            recorder.describe_gauge(name.into(), unit, text.into());
            recorder.register_gauge(&Key::from_static_name(name), &METADATA)
        };
        let histogram = |name: &'static str, text: &'static str| {
            recorder.describe_histogram(name.into(), Some(Unit::Seconds), text.into());
            recorder.register_histogram(&Key::from_static_name(name), &METADATA)
        };
        let bytes = Some(Unit::Bytes);
        let count = Some(Unit::Count);
        Self {
            pushed_frames: counter("overhand_pushed_frames_total", count, "Frames that were taken"),
            pushed_blocks: counter("overhand_pushed_blocks_total", count, "Blocks in frames that were taken"),
            pushed_bytes: counter("overhand_pushed_bytes_total", bytes, "Bytes of frames that were taken"),
            repeated_frames: counter("overhand_repeated_frames_total", count, "Frames that were there already"),
            refused_frames: counter("overhand_refused_frames_total", count, "Frames that were refused"),
            commits: counter("overhand_commits_total", count, "Attempts committed, counted once per shard"),
            fetched_memory_bytes: counter("overhand_fetched_memory_bytes_total", bytes, "Bytes read from memtables"),
            fetched_disk_bytes: counter("overhand_fetched_disk_bytes_total", bytes, "Bytes read from segments"),
            memory_waits: counter("overhand_memory_waits_total", count, "Frames that had to wait for memory"),
            memory_wait_seconds: histogram("overhand_memory_wait_seconds", "How long frames waited for memory"),
            flushed_segments: counter("overhand_flushed_segments_total", count, "Segments that were written"),
            flushed_bytes: counter("overhand_flushed_bytes_total", bytes, "Bytes of segments that were written"),
            flush_seconds: histogram("overhand_flush_seconds", "How long segments took to be written"),
            flush_failures: counter("overhand_flush_failures_total", count, "Segments that could not be written"),
            damaged_blocks: counter(
                "overhand_damaged_blocks_total",
                count,
                "Blocks in memory that no longer matched their checksum when they were flushed",
            ),
            lost_segments: counter("overhand_lost_segments_total", count, "Segments found torn, missing or unreadable"),
            removed_shuffles: counter("overhand_removed_shuffles_total", count, "Shuffles that were removed"),
            memory_used_bytes: gauge("overhand_memory_used_bytes", bytes, "Bytes of the memory budget that are held"),
            memory_mapped_bytes: gauge("overhand_memory_mapped_bytes", bytes, "Bytes held or kept for reuse"),
            memory_budget_bytes: gauge("overhand_memory_budget_bytes", bytes, "The memory budget"),
            disk_used_bytes: gauge("overhand_disk_used_bytes", bytes, "Bytes in segments"),
            disk_free_bytes: gauge("overhand_disk_free_bytes", bytes, "Bytes that may still be written to segments"),
            folders_out: gauge("overhand_data_folders_out", count, "Data folders that take no data: full or failed"),
            folders_lost: counter(
                "overhand_data_folders_lost_total",
                count,
                "Data folders that were out for so long that what they hold is copied again from other workers",
            ),
            applications: gauge("overhand_applications", count, "Applications that have data here"),
        }
    }
}
