//! Tests of the Rust client against the server as a process.
//!
//! - [`round_trip`]: what was written is what is read, whatever its shape.
//! - [`failures`]: restarts, kills, cut connections, damaged disks: the same rows, or an error that says what is lost.

#[allow(unused_imports, reason = "the server's own tests use the rest")]
#[path = "../common/mod.rs"]
mod common;
mod failures;
mod round_trip;
#[path = "../../../shuffle-client/core/tests/support/mod.rs"]
mod support;
