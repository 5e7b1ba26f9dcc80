//! The Overhand client for the JVM: the native half of `io.overhand.spark.jni`.
//!
//! # Layout
//! - [`guard`]: what every entry runs in: errors and panics become Java exceptions, never return values.
//! - [`handle`]: native objects that Java owns.
//! - [`application`]: the driver's side.
//! - [`client`]: one per executor.
//! - [`writer`]: a map task's output, a chunk of memory per call.
//! - [`reader`]: a reduce task's input, a batch of items per call.
//! - [`callback`]: the driver that executors ask, and whether Spark wants a task to end: calls into Java.
//! - [`log`]: what the native code logs, for the JVM's own logs.
//!
//! # Rules
//! - No call is made per record, and none holds a Java array while it waits.
//! - A value that Java would get after a failed call never means anything: zero is no handle, no answer of
//!   [`reader`] and no chunk.
//! - Nothing is installed in the process: no panic hook, no signal handler, and a logger for this library alone.

mod application;
mod callback;
mod client;
mod guard;
mod handle;
mod log;
mod reader;
mod writer;
