//! Which cluster a command is about: its coordinators, and the secret that shows who asks.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use overhand_proto::v1::{StatusRequest, StatusResponse, coordinator_client::CoordinatorClient};
use tonic::transport::Channel;

use crate::{control, endpoints::Endpoints, secret::Secret};

/// How long a coordinator may take to answer: it may ask all workers meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
const DEFAULT: &str = "127.0.0.1:7337";
const SECRET_VARIABLE: &str = "OVERHAND_AUTH_SECRET_FILE";

#[derive(Debug, Args)]
pub struct Cluster {
    /// A coordinator; with several, the first that answers. [default: 127.0.0.1:7337]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    coordinator: Vec<String>,
    /// The first data folder of a coordinator, or of a standalone server, on this machine: instead of --coordinator.
    #[arg(long, value_name = "DIR", conflicts_with = "coordinator")]
    data_dir: Option<PathBuf>,
}

impl Cluster {
    /// A connection to the first coordinator that takes one, with its address.
    pub async fn connect(&self) -> anyhow::Result<(String, CoordinatorClient<Channel>)> {
        let addresses = match &self.data_dir {
            Some(folder) => vec![Endpoints::read(folder).map_err(said)?.control],
            None if self.coordinator.is_empty() => vec![DEFAULT.to_owned()],
            None => self.coordinator.clone(),
        };
        let mut failures = vec![];
        for address in addresses {
            match control::connect(&address, PATIENCE).await {
                Ok(channel) => return Ok((address, CoordinatorClient::new(channel))),
                Err(error) => failures.push(error),
            }
        }
        Err(anyhow::anyhow!(failures.join("; ")))
    }

    /// What the first coordinator that answers says about everything.
    pub async fn status(&self) -> anyhow::Result<StatusResponse> {
        let (address, mut coordinator) = self.connect().await?;
        let answer = coordinator.status(StatusRequest {}).await;
        answer.map(tonic::Response::into_inner).map_err(|status| anyhow::anyhow!("{address}: {}", status.message()))
    }

    /// The cluster's secret: in `file`, else where the servers' environment has it, else in the data folder.
    pub fn secret(&self, file: Option<PathBuf>) -> anyhow::Result<Secret> {
        let named = file.or_else(|| std::env::var_os(SECRET_VARIABLE).map(PathBuf::from));
        let found = match (named, &self.data_dir) {
            (Some(file), _) => Secret::read(&file),
            (None, Some(folder)) => Secret::in_folder(folder),
            (None, None) => anyhow::bail!(
                "this needs the cluster's secret: name its file with --secret-file (the servers' auth.secret_file), or \
                 a coordinator's data folder on this machine with --data-dir"
            ),
        };
        found.map_err(said)
    }
}

fn said(error: overhand_common::Error) -> anyhow::Error {
    anyhow::anyhow!("{}", error.message())
}
