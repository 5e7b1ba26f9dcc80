//! What a worker says about itself when it is asked.

use std::sync::Arc;

use overhand_proto::v1::{
    ApplicationStatus, DescribeRequest, DescribeResponse, DiskStatus, SetDrainingRequest, SetDrainingResponse,
    ShuffleStatus, worker_server::Worker,
};
use tonic::{Request, Response, Status};

use super::store::{AppStats, DiskStats, ShuffleStats, Store};

/// The worker's gRPC service.
#[derive(Clone)]
pub struct Describe {
    store: Arc<Store>,
}

impl Describe {
    /// Speaks for this store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

#[tonic::async_trait]
impl Worker for Describe {
    async fn describe(&self, _request: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let description = self.store.describe();
        Ok(Response::new(DescribeResponse {
            disks: description.disks.into_iter().map(disk).collect(),
            applications: description.apps.into_iter().map(application).collect(),
        }))
    }

    async fn set_draining(
        &self,
        _request: Request<SetDrainingRequest>,
    ) -> Result<Response<SetDrainingResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }
}

fn disk(disk: DiskStats) -> DiskStatus {
    DiskStatus { path: disk.path.display().to_string(), free: disk.free, used: disk.used, state: disk.state }
}

fn application(app: AppStats) -> ApplicationStatus {
    let shuffles = app.shuffles.into_iter().map(shuffle).collect();
    ApplicationStatus { app: app.app.into(), shuffles, ..ApplicationStatus::default() }
}

fn shuffle(shuffle: ShuffleStats) -> ShuffleStatus {
    ShuffleStatus {
        shuffle: shuffle.shuffle,
        partitions: shuffle.partitions,
        shards: shuffle.shards,
        memory_bytes: shuffle.memory_bytes,
        disk_bytes: shuffle.disk_bytes,
        blocks: shuffle.blocks,
        commits: shuffle.commits,
    }
}
