//! The cluster that is measured: a coordinator and workers, processes of this very binary on free ports.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use overhand_proto::v1::{StatusRequest, coordinator_client::CoordinatorClient};
use rustix::{
    process::{Pid, Signal, kill_process, set_parent_process_death_signal},
    thread::{CpuSet, sched_setaffinity},
};
use tokio::time::{MissedTickBehavior, interval};

use crate::{control, endpoints::Endpoints};

/// How long it may take until all workers have reported.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running cluster. It is killed when dropped.
#[derive(Debug)]
pub struct Servers {
    coordinator: Server,
    workers: Vec<Server>,
}

impl Servers {
    /// A coordinator and so many workers, each with a folder under `folder`; all workers have reported. `one_core`: each
    /// worker has a single core, the first one.
    pub fn start(folder: &Path, workers: u32, worker_flags: &[String], one_core: bool) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let secret = folder.join("secret");
        fs::write(&secret, format!("{:032x}", rand::random::<u128>())).context("the cluster's secret")?;
        let secret = secret.to_str().context("the folder's name is no text")?;
        let flags = ["--secret-file", secret, "--set", "coordinator.heartbeat_interval=100ms"];
        let coordinator = Server::start("coordinator", folder.join("coordinator"), &flags, false)?;
        let mut this = Self { coordinator, workers: vec![] };
        for at in 0..workers {
            // As if each were on a machine of its own: they are all that there are.
            let host = format!("worker.host=bench-{at}");
            let address = this.coordinator.endpoints.control.clone();
            let mut flags = vec!["--secret-file", secret, "--set", &host, "--coordinator", &address];
            flags.extend(worker_flags.iter().map(String::as_str));
            this.workers.push(Server::start("worker", folder.join(format!("worker-{at}")), &flags, one_core)?);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(until_reported(&this.coordinator.endpoints.control, this.workers.len()))?;
        Ok(this)
    }

    /// Where the coordinator is.
    pub fn coordinator(&self) -> &str {
        &self.coordinator.endpoints.control
    }

    /// The workers' process ids.
    pub fn workers(&self) -> Vec<u32> {
        self.workers.iter().map(|worker| worker.process.id()).collect()
    }

    /// Ends all processes as their owner would.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.workers.iter_mut().try_for_each(Server::stop)?;
        self.coordinator.stop()
    }
}

async fn until_reported(coordinator: &str, workers: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    let channel = control::connect(coordinator, PATIENCE).await.map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut client = CoordinatorClient::new(channel);
    let mut ticks = interval(Duration::from_millis(50));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let status = client.status(StatusRequest {}).await?.into_inner();
        if status.workers.len() == workers {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "only {} of {workers} worker(s) have reported", status.workers.len());
    }
}

/// One process.
#[derive(Debug)]
struct Server {
    role: &'static str,
    process: Child,
    endpoints: Endpoints,
    log: PathBuf,
}

impl Server {
    fn start(role: &'static str, folder: PathBuf, flags: &[&str], one_core: bool) -> anyhow::Result<Self> {
        let log = folder.with_extension("log");
        let errors = fs::File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(std::env::current_exe().context("this binary has no path")?);
        for name in std::env::vars_os().map(|(name, _)| name).filter(|name| is_ours(name)) {
            // The environment may configure another server; this one is what the flags say.
            command.env_remove(name);
        }
        command.args([role, "--listen", "127.0.0.1:0", "--data-dir"]).arg(&folder).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut core = CpuSet::new();
        core.set(0);
        // SAFETY: between fork and exec only system calls are made, which is safe there.
        unsafe {
            command.pre_exec(move || {
                if one_core {
                    sched_setaffinity(None, &core)?;
                }
                // However this process ends, its servers end too.
                set_parent_process_death_signal(Some(Signal::TERM)).map_err(Into::into)
            });
        }
        let mut process = command.spawn().with_context(|| format!("the {role} could not be started"))?;
        let mut ready = String::new();
        let read = process.stdout.take().map(|out| BufReader::new(out).read_line(&mut ready));
        let endpoints = match read {
            Some(Ok(_)) if ready.contains("is ready") => Endpoints::read(&folder),
            _ => {
                let _ended_already = process.kill();
                let _reaped = process.wait();
                bail!("the {role} did not get ready: {}", last_lines(&log));
            }
        };
        let endpoints = endpoints.map_err(|error| anyhow::anyhow!("{}", error.message()))?;
        Ok(Self { role, process, endpoints, log })
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)
            .with_context(|| format!("stopping the {}", self.role))?;
        let status = self.process.wait().with_context(|| format!("waiting for the {}", self.role))?;
        ensure!(status.success(), "the {} ended with {status}: {}", self.role, last_lines(&self.log));
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn is_ours(variable: &OsStr) -> bool {
    variable.as_encoded_bytes().starts_with(b"OVERHAND_")
}

/// The end of a log: its folder is gone when somebody could look.
fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
