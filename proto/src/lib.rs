//! The control plane of Overhand: its protobuf messages and gRPC services, generated from `proto/overhand/v1`,
//! and the errors that travel on it.

mod status;

pub use status::{kind_of, status_of};

/// Version 1 of the control plane.
#[allow(missing_docs, clippy::unwrap_used, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("overhand.v1");
}
