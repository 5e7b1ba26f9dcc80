//! What a worker says about itself when it is asked, and what it is told.

use std::sync::Arc;

use overhand_common::Result;
use overhand_proto::{
    status_of,
    v1::{
        ApplicationStatus, CoordinatorStatus, DescribeRequest, DescribeResponse, DiskStatus, SetDrainingRequest,
        SetDrainingResponse, ShuffleStatus, worker_server::Worker,
    },
};
use tonic::{Request, Response, Status};

use super::{
    Reports,
    store::{AppStats, DiskStats, ShuffleStats, Store},
};
use crate::secret::Secret;

/// The worker's gRPC service.
#[derive(Clone)]
pub struct Describe {
    store: Arc<Store>,
    secret: Secret,
    reports: Arc<Reports>,
}

impl Describe {
    /// Speaks for this store. What is changed by order is told to the coordinators by `reports`.
    pub fn new(store: Arc<Store>, secret: Secret, reports: Arc<Reports>) -> Self {
        Self { store, secret, reports }
    }

    fn drain(&self, request: &SetDrainingRequest) -> Result<()> {
        self.secret.check_own(&request.token)?;
        // First nothing new is taken, and then drivers hear of it: what they move away does not grow again.
        self.store.set_draining(request.draining);
        tracing::info!(draining = request.draining, "whether new data is taken was changed by order");
        self.reports.wake();
        Ok(())
    }
}

#[tonic::async_trait]
impl Worker for Describe {
    async fn describe(&self, _request: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let description = self.store.describe();
        let coordinators = self.reports.coordinators().into_iter();
        Ok(Response::new(DescribeResponse {
            disks: description.disks.into_iter().map(disk).collect(),
            applications: description.apps.into_iter().map(application).collect(),
            coordinators: coordinators
                .map(|(address, problem)| CoordinatorStatus { address, problem: problem.unwrap_or_default() })
                .collect(),
            draining: self.store.is_draining(),
        }))
    }

    async fn set_draining(
        &self,
        request: Request<SetDrainingRequest>,
    ) -> Result<Response<SetDrainingResponse>, Status> {
        self.drain(request.get_ref()).map_err(|error| status_of(&error))?;
        Ok(Response::new(SetDrainingResponse {}))
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
