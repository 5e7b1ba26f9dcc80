//! Tests of the Rust client against the server as a process.
//!
//! - [`round_trip`]: what was written is what is read, whatever its shape.
//! - [`failures`]: restarts, kills, cut connections, damaged disks: the same rows, or an error that says what is lost.
//! - [`repair`]: what a cluster does so that each byte has as many copies as it should.

#[allow(unused_imports, reason = "the server's own tests use the rest")]
#[path = "../common/mod.rs"]
mod common;
mod failures;
mod repair;
mod round_trip;
#[path = "../../../shuffle-client/core/tests/support/mod.rs"]
mod support;
