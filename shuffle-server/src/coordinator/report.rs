//! What a worker says about itself, and its form on the wire.

use overhand_common::{Error, ErrorKind, Result, ids::WorkerId};
use overhand_proto::v1::WorkerInfo;

/// A worker's report about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who it is.
    pub id: WorkerId,
    /// host:port of its data plane.
    pub data_address: String,
    /// host:port of its control plane.
    pub control_address: String,
    /// Rack or zone; may be empty.
    pub zone: String,
    /// Anything that placement should know.
    pub tags: Vec<String>,
    /// Bytes of memory for blocks.
    pub memory_budget: u64,
    /// Bytes of it in use.
    pub memory_used: u64,
    /// Bytes that may still be written.
    pub disk_free: u64,
    /// Bytes in segments.
    pub disk_used: u64,
    /// Takes no new data.
    pub draining: bool,
}

impl Report {
    /// Reads the message; `Invalid` if its id is none.
    pub fn decode(info: WorkerInfo) -> Result<Self> {
        let id = info.id.parse().map_err(|_| {
            Error::new(ErrorKind::Invalid, format!("{:?} is no worker's id: a UUID is expected", info.id))
        })?;
        Ok(Self {
            id: WorkerId { id, incarnation: info.incarnation },
            data_address: info.data_address,
            control_address: info.control_address,
            zone: info.zone,
            tags: info.tags,
            memory_budget: info.memory_budget,
            memory_used: info.memory_used,
            disk_free: info.disk_free,
            disk_used: info.disk_used,
            draining: info.draining,
        })
    }

    /// The message.
    pub fn encode(self) -> WorkerInfo {
        WorkerInfo {
            host: String::new(),
            id: self.id.id.to_string(),
            incarnation: self.id.incarnation,
            data_address: self.data_address,
            control_address: self.control_address,
            zone: self.zone,
            tags: self.tags,
            memory_budget: self.memory_budget,
            memory_used: self.memory_used,
            disk_free: self.disk_free,
            disk_used: self.disk_used,
            draining: self.draining,
        }
    }
}
