//! What the native code logs, for the JVM's own logs: `io.overhand.spark.jni.Native.log*`.
//!
//! Whoever logs puts a line into a bounded queue and goes on; a thread of Java's waits for lines and hands them to
//! slf4j. Lines that find the queue full are dropped, and their number is logged.

use std::{
    fmt::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
};

use jni::{
    EnvUnowned, jni_mangle,
    objects::{JClass, JObjectArray, JString},
    sys::{jint, jlong},
};
use overhand_client::{Error, ErrorKind};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use crate::{
    guard::guard,
    handle::{self, Held},
};

/// State changes are logged, blocks are not: so many lines wait only if the JVM's log stands still.
const QUEUE: usize = 256;
/// A longer line is cut.
const MAX_LINE: usize = 4 << 10;

/// What [`log_next`] answers: a line of this level. Zero is no answer.
const ERROR: jint = 1;
const WARN: jint = 2;
const INFO: jint = 3;

#[derive(Debug)]
struct Line {
    level: jint,
    target: &'static str,
    text: String,
}

/// The JVM's end of the queue.
struct Lines {
    queue: Receiver<Line>,
    dropped: Arc<AtomicU64>,
}

impl Held for Lines {
    const NAME: &'static str = "log";
    const TAG: u64 = 0x6c6f_6773;
}

impl Lines {
    /// Waits for the next line; none when nobody logs any more.
    fn next(&mut self) -> Option<Line> {
        match self.queue.try_recv() {
            Ok(line) => Some(line),
            Err(TryRecvError::Disconnected) => None,
            // The queue has run empty: now there is room to say what did not fit.
            Err(TryRecvError::Empty) => match self.dropped.swap(0, Relaxed) {
                0 => self.queue.recv().ok(),
                count => {
                    let text = format!("{count} lines were dropped: the log is slow");
                    Some(Line { level: WARN, target: module_path!(), text })
                }
            },
        }
    }
}

/// Puts what is logged into the queue.
struct Forward {
    queue: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

fn queue() -> (Forward, Lines) {
    let (sender, receiver) = sync_channel(QUEUE);
    let dropped = Arc::<AtomicU64>::default();
    (Forward { queue: sender, dropped: Arc::clone(&dropped) }, Lines { queue: receiver, dropped })
}

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => ERROR,
            Level::WARN => WARN,
            _ => INFO,
        };
        let mut text = Text::default();
        event.record(&mut text);
        if self.queue.try_send(Line { level, target: metadata.target(), text: text.finish() }).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    // Spans are not followed: an event says all by itself.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// An event's message, then its fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finish(self) -> String {
        let mut text = self.message + &self.fields;
        text.truncate(text.floor_char_boundary(MAX_LINE));
        text
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        written.expect("a string takes everything");
    }
}

/// Sends what this library logs to the one who calls [`log_next`]. Other copies of it, of other class loaders, have
/// logs of their own.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn log_open<'local>(env: EnvUnowned<'local>, _class: JClass<'local>) -> jlong {
    guard(env, |_| {
        let (forward, lines) = queue();
        tracing::subscriber::set_global_default(forward)
            .map_err(|error| Error::new(ErrorKind::Invalid, format!("the log is open already: {error}")))?;
        Ok(handle::open(lines))
    })
}

/// Waits for the next line, puts the module that logged it and its text into `line`, and returns its level.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn log_next<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    log: jlong,
    line: JObjectArray<'local, JString<'local>>,
) -> jint {
    guard(env, |env| {
        // SAFETY: one thread of Java's has it, and never closes it.
        let lines = unsafe { handle::alone::<Lines>(log)? };
        let next = lines.next().ok_or_else(|| Error::new(ErrorKind::Closed, "nobody logs any more"))?;
        for (at, text) in [next.target, &next.text].into_iter().enumerate() {
            let text = env.new_string(text)?;
            line.set_element(env, at, &text)?;
        }
        Ok(next.level)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_message_and_the_fields() {
        let (forward, mut lines) = queue();
        tracing::subscriber::with_default(forward, || {
            tracing::debug!("not wanted");
            tracing::warn!(shuffle = 7, worker = "w1", error = %"gone", "an epoch was opened");
            tracing::info!("{}", "ü".repeat(MAX_LINE));
        });
        let line = lines.next().expect("a line");
        assert_eq!(line.level, WARN);
        assert_eq!(line.target, module_path!());
        assert_eq!(line.text, "an epoch was opened shuffle=7 worker=w1 error=gone");
        let line = lines.next().expect("a line");
        assert_eq!((line.level, line.text.len()), (INFO, MAX_LINE));
        assert!(lines.next().is_none(), "nobody logs any more");
    }

    #[test]
    fn a_full_queue_drops_lines_and_says_how_many() {
        let (forward, mut lines) = queue();
        let _logging = tracing::subscriber::set_default(forward);
        for number in 0..QUEUE + 3 {
            tracing::error!(number, "again");
        }
        for _ in 0..QUEUE {
            assert_eq!(lines.next().expect("a line").level, ERROR);
        }
        assert!(lines.next().expect("a line").text.starts_with("3 lines were dropped"));
        tracing::warn!("going on");
        assert_eq!(lines.next().expect("a line").text, "going on");
    }
}
