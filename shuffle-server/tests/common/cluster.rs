//! Coordinators and workers, each a process.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::{Server, block, eventually};

/// A cluster of real processes with one secret.
pub struct Cluster {
    pub coordinators: Vec<Server>,
    pub workers: Vec<Server>,
    pub secret: PathBuf,
    _scratch: TempDir,
}

impl Cluster {
    /// So many coordinators and workers, with these further settings; all have found each other.
    pub fn start(coordinators: usize, workers: usize, settings: &[&str]) -> Self {
        let scratch = TempDir::new().expect("temporary folder");
        let secret = scratch.path().join("cluster-secret");
        fs::write(&secret, "the secret of this very cluster").expect("written");
        let file = secret.to_str().expect("text").to_owned();
        let mut args = vec!["--secret-file", &file, "--set", "coordinator.heartbeat_interval=20ms"];
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        let folder = |name: &str, at: usize| scratch.path().join(format!("{name}-{at}"));
        let coordinators: Vec<Server> =
            (0..coordinators).map(|at| Server::start_as("coordinator", &folder("coordinator", at), &args)).collect();
        args.extend(["--durability", "disk"]);
        coordinators.iter().for_each(|known| args.extend(["--coordinator", &known.endpoints.control]));
        let workers: Vec<Server> =
            (0..workers).map(|at| Server::start_as("worker", &folder("worker", at), &args)).collect();
        let cluster = Self { coordinators, workers, secret, _scratch: scratch };
        for coordinator in &cluster.coordinators {
            eventually("all workers have reported", || {
                coordinator.status()["workers"].as_array().is_some_and(|all| all.len() == cluster.workers.len())
            });
        }
        cluster
    }

    /// Pushes a shuffle of an application with this token to a worker.
    pub fn push(&self, worker: usize, token: &str) {
        let blocks = [block(0, 0, 1, 0, true, &[3; 10_000])];
        self.workers[worker].connect_with(token).push_all(1, 0, 1, &blocks).expect("pushed");
    }

    /// Whether a worker has data on disk.
    pub fn holds(&self, worker: usize) -> bool {
        !self.workers[worker].segments().is_empty()
    }
}
