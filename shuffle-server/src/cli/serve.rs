//! Runs a server process until it is told to stop.

use std::io;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Settings, show};
use crate::{
    config::{Config, Log, LogFormat, Role},
    standalone::Running,
};

/// Starts, says so in one line on standard output, and stops on SIGTERM or SIGINT.
pub fn run(settings: &Settings, role: Role) -> anyhow::Result<()> {
    let config = settings.load()?;
    config.check(role)?;
    log_to_stderr(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("overhand").build()?;
    runtime.block_on(serve(&config, role))
}

async fn serve(config: &Config, role: Role) -> anyhow::Result<()> {
    // Before the start, so that a signal in the middle of it is not lost.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let running = Running::start(config, role).await.map_err(|error| anyhow::anyhow!("{}", error.message()))?;
    let endpoints = running.endpoints.clone();
    let data = endpoints.data.as_ref().map_or_else(String::new, |data| format!(", data {data}"));
    let ready = format!(
        "overhand {} is ready: control {}{data}, admin http://{}\n",
        role.name(),
        endpoints.control,
        endpoints.admin
    );
    show::print(&ready)?;
    tracing::info!(
        role = role.name(),
        control = endpoints.control,
        data = endpoints.data,
        admin = endpoints.admin,
        "ready"
    );
    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal, "stopping");
    running.stop().await.map_err(|error| anyhow::anyhow!("{}", error.message())).context("the stop was not clean")?;
    tracing::info!("stopped");
    Ok(())
}

fn log_to_stderr(log: &Log) -> anyhow::Result<()> {
    let filter: EnvFilter = log.filter.parse().context("log.filter")?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    let installed = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("logging can't begin: {error}"))
}
