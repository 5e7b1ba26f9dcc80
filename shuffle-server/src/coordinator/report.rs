//! What a worker says about itself, and its form on the wire.

use std::collections::{BTreeMap, BTreeSet};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::{AppId, WorkerId},
};
use overhand_proto::v1::{HeartbeatRequest, WorkerInfo};

/// A worker's report about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who it is.
    pub id: WorkerId,
    /// host:port of its data plane.
    pub data_address: String,
    /// host:port of its control plane.
    pub control_address: String,
    /// The machine that it runs on.
    pub host: String,
    /// Rack or zone; may be empty.
    pub zone: String,
    /// Anything that placement should know.
    pub tags: Vec<String>,
    /// Bytes of memory for blocks.
    pub memory_budget: u64,
    /// Bytes of it in use.
    pub memory_used: u64,
    /// Bytes that may still be written; 0 while no data folder takes data.
    pub disk_free: u64,
    /// Bytes in segments.
    pub disk_used: u64,
    /// Takes no new data, by order.
    pub draining: bool,
    /// How often it lost a data folder since it started.
    pub disks_lost: u64,
    /// Another number for each start of its process.
    pub start: u64,
}

/// What a worker says about the applications.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holdings {
    /// Those that it holds anything of.
    pub apps: BTreeSet<AppId>,
    /// What they take there.
    pub usage: BTreeMap<AppId, Held>,
    /// Those that it has begun to delete since its last report that was answered.
    pub deleted: Vec<AppId>,
}

/// What a worker holds of one application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Bytes of blocks, in memory and on disk together.
    pub bytes: u64,
    /// Shuffles that they belong to.
    pub shuffles: u32,
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
            host: info.host,
            zone: info.zone,
            tags: info.tags,
            memory_budget: info.memory_budget,
            memory_used: info.memory_used,
            disk_free: info.disk_free,
            disk_used: info.disk_used,
            draining: info.draining,
            disks_lost: info.disks_lost,
            start: info.start,
        })
    }

    /// The message.
    pub fn encode(self) -> WorkerInfo {
        WorkerInfo {
            id: self.id.id.to_string(),
            incarnation: self.id.incarnation,
            data_address: self.data_address,
            control_address: self.control_address,
            host: self.host,
            zone: self.zone,
            tags: self.tags,
            memory_budget: self.memory_budget,
            memory_used: self.memory_used,
            disk_free: self.disk_free,
            disk_used: self.disk_used,
            draining: self.draining,
            disks_lost: self.disks_lost,
            held: 0,
            start: self.start,
        }
    }
}

impl Holdings {
    /// Reads them from a report; `Invalid` if an application's name is none.
    pub fn decode(request: &HeartbeatRequest) -> Result<Self> {
        let usage = request
            .usage
            .iter()
            .map(|usage| Ok((usage.app.parse::<AppId>()?, Held { bytes: usage.bytes, shuffles: usage.shuffles })));
        Ok(Self {
            apps: request.apps.iter().map(|app| app.parse()).collect::<Result<_, _>>()?,
            usage: usage.collect::<Result<_>>()?,
            deleted: request.deleted_apps.iter().map(|app| app.parse()).collect::<Result<_, _>>()?,
        })
    }
}
