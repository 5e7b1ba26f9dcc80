//! The command line: `overhand standalone`, `coordinator`, `worker`, `status`, `drain`, `bench` and `config`.

mod bench;
mod cluster;
mod drain;
mod serve;
mod show;
mod status;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Config, Flag, Problems, Role};

/// A remote shuffle service: keeps the bytes that Spark moves between stages, off the machines that compute.
#[derive(Debug, Parser)]
#[command(name = "overhand", version, arg_required_else_help = true)]
struct Overhand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Coordinator and worker in one process: all that a small cluster needs.
    Standalone(Settings),
    /// A coordinator: who is there, who is alive, which data may go.
    Coordinator(Settings),
    /// A worker: keeps blocks. It needs its coordinators and the cluster's secret.
    Worker(WorkerSettings),
    /// Shows workers, coordinators, applications and shuffles.
    Status(status::Options),
    /// Takes a worker out of service: it takes no new data, and what it holds is moved away. Or puts it back.
    Drain(drain::Options),
    /// Measures the throughput of workers by the client alone, beside what the machine can do.
    Bench(bench::Options),
    /// Prints the effective configuration, with every key's meaning.
    Config(ConfigOptions),
}

/// Flags go before environment variables (OVERHAND_SECTION_KEY), which go before the file.
#[derive(Debug, Args)]
struct Settings {
    /// A TOML file; `overhand config --reference sample` prints one to start from.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A data folder; once per disk.
    #[arg(long, value_name = "DIR")]
    data_dir: Vec<String>,
    /// Where the control plane listens; data and admin ports are the next two. Port 0: any free ones. [default:
    /// 127.0.0.1:7337]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Memory for blocks, as in "4 GiB". [default: a quarter of the machine's]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<String>,
    /// When data is acknowledged: "memory" or "disk". [default: memory]
    #[arg(long, value_name = "WHEN")]
    durability: Option<String>,
    /// The file with the cluster's secret, the same on every server. [default: one is made in the first data folder]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
    /// Any other key, as in --set coordinator.lease=30s.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// What a worker is given with --coordinator.
    #[arg(skip)]
    coordinators: Vec<String>,
}

#[derive(Debug, Args)]
struct WorkerSettings {
    /// A coordinator to report to; once for each.
    #[arg(long, value_name = "HOST:PORT")]
    coordinator: Vec<String>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
struct ConfigOptions {
    #[command(flatten)]
    settings: Settings,
    /// Prints generated documentation instead.
    #[arg(long)]
    reference: Option<Reference>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reference {
    /// The page of all keys.
    Markdown,
    /// A configuration file to start from.
    Sample,
    /// The page of all metrics.
    Metrics,
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let result = match Overhand::parse().command {
        Command::Standalone(settings) => serve::run(&settings, Role::Standalone),
        Command::Coordinator(settings) => serve::run(&settings, Role::Coordinator),
        Command::Worker(WorkerSettings { coordinator, settings }) => {
            serve::run(&Settings { coordinators: coordinator, ..settings }, Role::Worker)
        }
        Command::Drain(options) => drain::run(options),
        Command::Bench(options) => bench::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Config(options) => print_config(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("overhand: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_config(options: &ConfigOptions) -> anyhow::Result<()> {
    let text = match options.reference {
        Some(Reference::Markdown) => Config::reference(),
        Some(Reference::Sample) => Config::sample(),
        Some(Reference::Metrics) => crate::admin::reference(),
        None => options.settings.load()?.to_toml(),
    };
    show::print(&text)
}

impl Settings {
    /// The configuration that these flags, the environment and the file give.
    fn load(&self) -> Result<Config, Problems> {
        let mut flags = vec![];
        let mut given = |flag: &str, key: &str, values: Vec<String>| {
            if !values.is_empty() {
                flags.push(Flag { flag: flag.to_owned(), key: key.to_owned(), values });
            }
        };
        given("--data-dir", "storage.data_dirs", self.data_dir.clone());
        given("--listen", "listen.control", self.listen.iter().cloned().collect());
        given("--memory-budget", "memory.budget", self.memory_budget.iter().cloned().collect());
        given("--durability", "storage.durability", self.durability.iter().cloned().collect());
        given("--secret-file", "auth.secret_file", self.secret_file.iter().cloned().collect());
        given("--coordinator", "worker.coordinators", self.coordinators.clone());
        for set in &self.set {
            // Without "=" the whole of it is no key either, and is refused as one.
            let (key, value) = set.split_once('=').unwrap_or((set, ""));
            given("--set", key.trim(), vec![value.trim().to_owned()]);
        }
        Config::load(self.config.as_deref(), std::env::vars(), &flags)
    }
}
