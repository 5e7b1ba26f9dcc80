//! Asks every worker at once about itself; one that does not answer does not hold up the rest.

use std::{collections::BTreeMap, time::Duration};

use overhand_proto::v1::{
    CoordinatorStatus, DescribeRequest, DescribeResponse, DiskStatus, ShuffleStatus, worker_client::WorkerClient,
};
use tokio::task::JoinSet;

use super::Held;
use crate::control;

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a worker said about itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// Its data folders.
    pub disks: Vec<DiskStatus>,
    /// The coordinators that it reports to.
    pub coordinators: Vec<CoordinatorStatus>,
    /// What it holds of each application, if it answered.
    pub usage: Option<BTreeMap<String, Held>>,
    /// Whether it takes no new data by order, if it answered.
    pub draining: Option<bool>,
    /// Why it did not answer, else empty.
    pub error: String,
}

/// Asks the workers at these `host:port`; returns their answers in the same order, and the shuffles of each
/// application, joined over all workers.
pub async fn ask_all(addresses: Vec<String>) -> (Vec<Asked>, BTreeMap<String, Vec<ShuffleStatus>>) {
    let mut asked = vec![Asked { error: "it was not asked".into(), ..Asked::default() }; addresses.len()];
    let mut tasks = JoinSet::new();
    for (at, address) in addresses.into_iter().enumerate() {
        tasks.spawn(async move { (at, ask(&address).await) });
    }
    let mut apps: BTreeMap<String, Vec<ShuffleStatus>> = BTreeMap::new();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok((at, Ok(description))) => asked[at] = sort(description, &mut apps),
            Ok((at, Err(error))) => asked[at].error = error,
            Err(panic) => tracing::error!(%panic, "asking a worker failed"),
        }
    }
    (asked, apps)
}

async fn ask(address: &str) -> Result<DescribeResponse, String> {
    let call = async {
        let channel = control::connect(address, PATIENCE).await?;
        let answer = WorkerClient::new(channel).describe(DescribeRequest {}).await;
        answer.map(tonic::Response::into_inner).map_err(|status| format!("{address}: {}", status.message()))
    };
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(result) => result,
        Err(_) => Err(format!("{address}: no answer within {} s", PATIENCE.as_secs())),
    }
}

/// What a worker says of itself stays with it, what it says of shuffles goes to `apps`.
fn sort(description: DescribeResponse, apps: &mut BTreeMap<String, Vec<ShuffleStatus>>) -> Asked {
    let mut usage = BTreeMap::new();
    for app in description.applications {
        let held = app.shuffles.iter().fold(Held::default(), |held, shuffle| {
            let bytes = shuffle.memory_bytes + shuffle.disk_bytes;
            Held { bytes: held.bytes + bytes, shuffles: held.shuffles + u32::from(bytes > 0) }
        });
        usage.insert(app.app.clone(), held);
        let shuffles = apps.entry(app.app).or_default();
        app.shuffles.into_iter().for_each(|shuffle| join(shuffles, shuffle));
    }
    Asked {
        disks: description.disks,
        coordinators: description.coordinators,
        usage: Some(usage),
        draining: Some(description.draining),
        error: String::new(),
    }
}

fn join(shuffles: &mut Vec<ShuffleStatus>, more: ShuffleStatus) {
    match shuffles.iter_mut().find(|known| known.shuffle == more.shuffle) {
        Some(known) => {
            known.memory_bytes += more.memory_bytes;
            known.disk_bytes += more.disk_bytes;
            known.blocks += more.blocks;
            known.commits += more.commits;
        }
        None => shuffles.push(more),
    }
}
