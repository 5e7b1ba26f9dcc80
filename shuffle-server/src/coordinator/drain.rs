//! Tells a worker to take no new data, or to take it again.

use std::time::Duration;

use overhand_common::{Error, ErrorKind, Result};
use overhand_proto::{
    kind_of,
    v1::{SetDrainingRequest, worker_client::WorkerClient},
};

use super::Report;
use crate::control;

/// How long the worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks `worker`, with the token of whoever asked the coordinator. `Retry` if it can't be reached, else as it answers.
pub async fn set_draining(worker: &Report, draining: bool, token: String) -> Result<()> {
    let address = &worker.control_address;
    let channel = control::connect(address, PATIENCE).await;
    let channel = channel.map_err(|error| Error::new(ErrorKind::Retry, format!("worker {}: {error}", worker.id)))?;
    let answer = WorkerClient::new(channel).set_draining(SetDrainingRequest { draining, token }).await;
    answer.map(drop).map_err(|status| {
        let text = format!("worker {} at {address}: {}", worker.id, status.message());
        Error::new(kind_of(status.code()), text)
    })
}
