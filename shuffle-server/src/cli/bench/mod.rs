//! `overhand bench`: how fast one worker process is, by the client alone.
//!
//! - [`servers`]: the cluster that is measured, of this binary's own processes.
//! - [`payload`]: the records that are written, and the check of what is read.
//! - [`load`]: writes a shuffle and reads it back.
//! - [`alone`]: one worker on one core, without the client; [`peer`]: what it talks to.
//! - [`machine`]: what the machine can do, to set the figures beside.
//! - [`cpu`]: CPU time of processes.
//! - [`report`]: the figures for people and for scripts.
//! - [`progress`]: what people see meanwhile.

mod alone;
mod cpu;
mod load;
mod machine;
mod payload;
mod peer;
mod progress;
mod report;
mod servers;

use std::{fmt::Display, panic::resume_unwind, path::PathBuf, thread::ScopedJoinHandle};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use overhand_client::{Application, ApplicationConfig, Codec};
use tempfile::TempDir;

use self::{
    alone::Shape,
    load::{Load, Work},
    progress::Progress,
    report::{Replicated, Report},
    servers::Servers,
};
use super::show;
use crate::config::Size;

/// The most workers that may hold a byte.
const MAX_REPLICAS: u32 = 3;

#[derive(Debug, Args)]
pub struct Options {
    /// How much is written and read back, in bytes of items.
    #[arg(long, value_name = "SIZE", default_value = "2g")]
    size: Size,
    /// Tasks at a time, of all applications together.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    tasks: u32,
    /// Map tasks of each shuffle. [default: as many as tasks at a time; 100 with --alone]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    maps: Option<u32>,
    /// Applications at a time, each with a shuffle.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    applications: u32,
    /// Items of 8 KiB in a block.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=32))]
    block_items: u64,
    /// Partitions of each shuffle. [default: 64; 200 with --alone]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    partitions: Option<u32>,
    /// How many workers hold each byte: one measurement for each.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 2, 3],
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_REPLICAS)))]
    replicas: Vec<u32>,
    /// Measures, instead of the client with replicas, one worker on one core: what it takes in and serves of frames that
    /// were made before, by one application of 100 map tasks and 200 partitions and, in turn with it, by what --applications,
    /// --maps and --partitions say, a connection for each application, and by the one application with as many connections;
    /// how long fetches take meanwhile, what connections and shards take of its memory.
    #[arg(long, conflicts_with_all = ["coordinator", "replicas", "tasks", "block_items", "codec"])]
    alone: bool,
    /// How blocks are compressed; the items are random, so that nothing shrinks.
    #[arg(long, value_name = "CODEC", default_value = "none")]
    codec: CodecName,
    /// A coordinator of a cluster that runs already; without it, processes of this binary are started, as many workers
    /// as replicas, so that each holds every byte. The CPU time of workers is told only for those.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', conflicts_with_all = ["memory_budget", "durability"])]
    coordinator: Vec<String>,
    /// The file with the secret that the given cluster wants to see from drivers.
    #[arg(long, value_name = "FILE", requires = "coordinator")]
    registration_secret_file: Option<PathBuf>,
    /// Memory of each worker for blocks. [default: a quarter of the machine's]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<Size>,
    /// When the workers acknowledge data: "memory" or "disk". [default: memory]
    #[arg(long, value_name = "WHEN")]
    durability: Option<String>,
    /// The folder under which the workers and the measurement of the disk write; what they wrote is removed at the end.
    /// [default: the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Measures the first round too, in which client and workers touch their memory for the first time; else it is run
    /// once before, and not counted.
    #[arg(long)]
    no_warm_up: bool,
    /// Prints a JSON object, for scripts.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CodecName {
    None,
    Lz4,
    Zstd,
}

impl From<CodecName> for Codec {
    fn from(name: CodecName) -> Self {
        match name {
            CodecName::None => Codec::None,
            CodecName::Lz4 => Codec::Lz4,
            CodecName::Zstd => Codec::Zstd,
        }
    }
}

/// Measures the machine, then the cluster with each number of replicas, and prints the figures.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let scratch = scratch(options)?;
    let mut progress = Progress::new();
    let machine = machine::measure(options.size.0, scratch.path(), &mut progress)?;
    let (mut replicated, mut alone) = (vec![], None);
    if options.alone {
        let servers = Servers::start(&scratch.path().join("alone"), 1, &server_flags(options), true)?;
        let (applications, size) = (options.applications, options.size.0);
        let (maps, partitions) = (options.maps.unwrap_or(100), options.partitions.unwrap_or(200));
        let shape = Shape { applications, connections: 1, maps, partitions, size };
        alone = Some(alone::measure(shape, &servers, &mut progress)?);
        servers.stop()?;
    } else {
        for replicas in &options.replicas {
            replicated.push(with_replicas(options, *replicas, &scratch, &mut progress)?);
        }
    }
    progress.end();
    let report = Report { work: work(options, vec![]), machine, replicated, alone };
    show::print(&if options.json { format!("{}\n", report.to_json()) } else { report.to_text() })
}

fn scratch(options: &Options) -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("overhand-bench-");
    match &options.data_dir {
        Some(folder) => builder.tempdir_in(folder).with_context(|| format!("no folder can be made in {folder:?}")),
        None => builder.tempdir().context("no folder can be made for temporary files"),
    }
}

/// One measurement: with a cluster of its own, or with the one that was given.
fn with_replicas(
    options: &Options,
    replicas: u32,
    scratch: &TempDir,
    progress: &mut Progress,
) -> anyhow::Result<Replicated> {
    let servers = match options.coordinator.as_slice() {
        [] => {
            progress.step(&format!("{replicas} replica(s): starting {replicas} worker(s)"));
            let flags = server_flags(options);
            let folder = scratch.path().join(format!("replicas-{replicas}"));
            Some(Servers::start(&folder, replicas, &flags, false)?)
        }
        _given => None,
    };
    let coordinators = match &servers {
        Some(servers) => vec![servers.coordinator().to_owned()],
        None => options.coordinator.clone(),
    };
    let secret = options.registration_secret_file.as_ref().map(std::fs::read_to_string).transpose();
    let secret = secret.context("--registration-secret-file")?.unwrap_or_default();
    let work = work(options, servers.as_ref().map(Servers::workers).unwrap_or_default());
    let mut load = Load::start(coordinators, secret.trim(), replicas, work)?;
    if !options.no_warm_up {
        load.round(&format!("{replicas} replica(s), warm-up"), progress)?;
    }
    let (write, read) = load.round(&format!("{replicas} replica(s)"), progress)?;
    load.end()?;
    if let Some(servers) = servers {
        servers.stop()?;
    }
    ensure!(write.bytes == read.bytes, "{} bytes were written and {} read", write.bytes, read.bytes);
    Ok(Replicated { replicas, write, read })
}

fn work(options: &Options, workers: Vec<u32>) -> Work {
    Work {
        size: options.size.0,
        applications: options.applications,
        maps: options.maps.unwrap_or(options.tasks),
        tasks: options.tasks,
        partitions: options.partitions.unwrap_or(64),
        run: options.block_items,
        codec: options.codec.into(),
        workers,
    }
}

fn server_flags(options: &Options) -> Vec<String> {
    let mut flags = vec![];
    if let Some(budget) = options.memory_budget {
        flags.extend(["--memory-budget".to_owned(), budget.to_string()]);
    }
    if let Some(durability) = &options.durability {
        flags.extend(["--durability".to_owned(), durability.clone()]);
    }
    flags
}

/// Registers an application for so many replicas; `name` tells it from the others of this process.
fn register(coordinators: &[String], secret: &str, replicas: u32, name: &str) -> anyhow::Result<Application> {
    let app = format!("bench-{}-{name}", std::process::id()).parse().map_err(text)?;
    Application::register(ApplicationConfig {
        replicas: Some(replicas),
        registration_secret: secret.to_owned(),
        ..ApplicationConfig::new(coordinators.to_vec(), app)
    })
    .map_err(text)
}

/// What a thread of a measurement gives; its panic goes on here.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn text(error: impl Display) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}
