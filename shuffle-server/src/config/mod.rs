//! The server's configuration: one tree of values, read once at the start and handed to the parts as arguments.
//!
//! - [`Config`] and its tables: every key with its default and its meaning, described in one place, by a macro.
//! - `load`: flags over environment over file over defaults; unknown keys and wrong values are all named at once.
//! - `check`: whether the values fit together.
//! - `text`: the effective configuration, the sample file and the reference page.
//! - [`Size`], [`Period`]: numbers with units. [`PerTenant`]: a number for each tenant.

mod check;
mod load;
mod machine;
mod section;
mod tenant;
mod text;
mod units;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use check::{Role, split};
pub use load::{Flag, Problems};
pub use machine::machine_name;
pub use section::Key;
pub use tenant::PerTenant;
pub use units::{Period, Size};

use crate::{coordinator::Quotas as Limits, worker::store};
use section::{Section, section};

section! {
    /// Where the server can be reached.
    Listen = "listen" {
        /// host:port of the control plane (gRPC). Flag: --listen. Port 0 takes any free one, for all three.
        control: String = "127.0.0.1:7337".into();
        /// host:port of the data plane. Empty: the control plane's host, its port + 1.
        data: String = String::new();
        /// host:port of /metrics, /healthz and /readyz (HTTP). Empty: the control plane's host, its port + 2.
        admin: String = String::new();
        /// The host name or address that others reach this server by. Empty: the address that it listens on, or the
        /// machine's name where that is all of them (0.0.0.0).
        advertise: String = String::new();
    }
}

section! {
    /// What is kept on disk, and when.
    Storage = "storage" {
        /// The data folders, one per disk. Flag: --data-dir, once for each. The first also keeps endpoints.json and the
        /// generated secret.
        data_dirs: Vec<PathBuf> = Vec::new() => (r#"["/var/lib/overhand"]"#, "none: it must be given");
        /// When a map task's output counts as acknowledged: "memory": when it is in the worker's memory (survives a
        /// clean stop); "disk": when it is in synced segments and in the index (survives a crash). Flag:
        /// --durability.
        durability: Durability = Durability::Memory;
        /// Bytes that are left free on each data folder's file system: a folder takes no more data before it is full.
        reserve: Size = Size::mib(1024);
        /// Bytes of one epoch of a shard beyond which its writers go on in a new epoch, on other workers; 0: never. So
        /// one large partition is spread.
        split_size: Size = Size::mib(2048);
        /// Threads that write segments.
        flush_threads: usize = 2;
        /// How often each data folder is probed for free space and for being writable.
        probe_interval: Period = Period::secs(5);
        /// Bytes per second that copies from other workers may take, all together.
        copy_bandwidth: Size = Size::mib(200);
        /// A data folder in which a single write takes longer than this is used no more until that write has ended and
        /// a probe is good; what was to be written goes to another one.
        stall_timeout: Period = Period::secs(10);
    }
}

section! {
    /// Memory for blocks. What the process takes beyond it is small and does not grow with the data.
    Memory = "memory" {
        /// Bytes of blocks that are held in memory at once. Flag: --memory-budget.
        budget: Size = machine::quarter_of_memory()
            => (r#""4 GiB""#, "a quarter of the memory of the machine, or of its container");
        /// The part of the budget from which memtables are flushed, the largest first.
        high_mark: f64 = 0.8;
        /// The part of the budget down to which they are flushed.
        low_mark: f64 = 0.6;
        /// Bytes at which a shard's memtable is sealed and a new one takes its place (a quarter of the budget if that is
        /// less): what a segment has at most. It is flushed when memory is short, or when an acknowledgement promises it.
        memtable_max: Size = Size::mib(256);
    }
}

section! {
    /// The data plane's limits.
    Network = "network" {
        /// Connections at once.
        connections: usize = 4096;
        /// Requests under way at once on one connection.
        streams: usize = 1024;
        /// Bytes that a client may have on their way unacknowledged on one connection.
        window: Size = Size::mib(16);
        /// How long a new connection may take to say hello.
        hello_timeout: Period = Period::secs(10);
        /// How long a peer may take or give nothing in the middle of a message. Between messages it may be idle for as
        /// long as its machine answers TCP's keepalive probes.
        stall_timeout: Period = Period::secs(120);
        /// How long another worker that owes an answer may say nothing before it is taken for gone: a chain with it is
        /// broken then. One that is only slow says each second that it is there.
        silence: Period = Period::secs(10);
        /// How long a stopping server waits for what is under way.
        close_timeout: Period = Period::secs(10);
    }
}

section! {
    /// The coordinator's soft state.
    Coordinator = "coordinator" {
        /// An application whose driver is silent for that long is taken for gone, and its data is deleted.
        lease: Period = Period::secs(60);
        /// How often workers report, and so how soon they hear which applications have ended.
        heartbeat_interval: Period = Period::secs(1);
        /// How many workers hold each byte, from 1 to 3, unless an application asks for another number. 0: 2 for
        /// `overhand coordinator`, 1 for `overhand standalone`.
        replicas: u32 = 0;
        /// A worker that is silent for that long is given no new shuffles.
        worker_timeout: Period = Period::secs(10);
        /// How long a token is good for; drivers and executors of longer jobs renew theirs.
        token_lifetime: Period = Period(std::time::Duration::from_secs(24 * 3600));
    }
}

section! {
    /// What each tenant may have, the same on every coordinator, as "tenant=limit"; "*" is each one that is not named.
    Quotas = "quotas" {
        /// Applications that run at once; one more is refused. Drivers say whose they are: where that can't be trusted,
        /// set auth.registration_secret_file.
        applications: Vec<PerTenant<u64>> = Vec::new() => (r#"["etl=20", "*=100"]"#, "none");
        /// Bytes on all workers together, in memory and on disk; each replica counts. A tenant that holds that much is
        /// given no new shuffles, and those that it has may grow.
        bytes: Vec<PerTenant<Size>> = Vec::new() => (r#"["etl=2 TiB", "*=500 GiB"]"#, "none");
    }
}

section! {
    /// The worker's place in the cluster.
    Worker = "worker" {
        /// host:port of every coordinator to report to; a standalone server reports to itself. Flag: --coordinator, once
        /// for each.
        coordinators: Vec<String> = Vec::new() => (r#"["10.0.0.1:7337"]"#, "none");
        /// The machine that this worker runs on: two replicas on one machine are avoided. In a container, give the name
        /// of the node.
        host: String = machine::machine_name() => (r#""node-7""#, "the machine's name");
        /// Failure domain: rack or zone.
        zone: String = String::new();
        /// Anything that placement should know about this worker.
        tags: Vec<String> = Vec::new() => (r#"["ssd"]"#, "none");
    }
}

section! {
    /// Who may do what.
    Auth = "auth" {
        /// The file with the cluster's secret, which signs tokens: 16 bytes or more, the same on every server. Empty: a
        /// secret is made once and kept in the first data folder. Flag: --secret-file.
        secret_file: PathBuf = PathBuf::new();
        /// The file with the secret that drivers must show to register an application. Empty: anybody may.
        registration_secret_file: PathBuf = PathBuf::new();
    }
}

section! {
    /// Logs go to standard error.
    Log = "log" {
        /// What is logged: a level, or levels per module as in "info,overhand_server::worker=debug".
        filter: String = "info".into();
        /// "text" for people, "json" for collectors.
        format: LogFormat = LogFormat::Text;
    }
}

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Survives a clean stop.
    Memory,
    /// Survives a crash.
    Disk,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[storage]`
    pub storage: Storage,
    /// `[memory]`
    pub memory: Memory,
    /// `[network]`
    pub network: Network,
    /// `[coordinator]`
    pub coordinator: Coordinator,
    /// `[quotas]`
    pub quotas: Quotas,
    /// `[worker]`
    pub worker: Worker,
    /// `[auth]`
    pub auth: Auth,
    /// `[log]`
    pub log: Log,
}

impl Config {
    /// The tables in order: name, what it is about, its keys with their values.
    pub fn sections(&self) -> Vec<(&'static str, &'static str, Vec<Key>)> {
        fn entry<S: Section>(section: &S) -> (&'static str, &'static str, Vec<Key>) {
            (S::NAME, S::ABOUT, section.keys())
        }
        vec![
            entry(&self.listen),
            entry(&self.storage),
            entry(&self.memory),
            entry(&self.network),
            entry(&self.coordinator),
            entry(&self.quotas),
            entry(&self.worker),
            entry(&self.auth),
            entry(&self.log),
        ]
    }

    /// How many workers hold each byte, in a cluster whose coordinators have this role.
    pub fn replicas(&self, role: Role) -> u32 {
        match (self.coordinator.replicas, role) {
            (0, Role::Standalone) => 1,
            (0, Role::Coordinator | Role::Worker) => 2,
            (given, _) => given,
        }
    }

    /// What tenants may have.
    pub fn limits(&self) -> Limits {
        let bytes = self.quotas.bytes.iter().map(|entry| (entry.tenant.clone(), entry.limit.0));
        let applications = self.quotas.applications.iter().map(|entry| (entry.tenant.clone(), entry.limit));
        Limits { applications: applications.collect(), bytes: bytes.collect() }
    }

    /// What the worker's store is set up with.
    pub fn store(&self) -> store::Settings {
        let budget = self.memory.budget.0;
        let part = |of: f64| (budget as f64 * of) as u64;
        store::Settings {
            data_dirs: self.storage.data_dirs.clone(),
            memory_budget: budget,
            high_mark: part(self.memory.high_mark),
            low_mark: part(self.memory.low_mark),
            memtable_max: self.memory.memtable_max.0.min(budget / 4),
            durability: match self.storage.durability {
                Durability::Memory => store::Durability::Memory,
                Durability::Disk => store::Durability::Disk,
            },
            disk_reserve: self.storage.reserve.0,
            split_size: self.storage.split_size.0,
            flush_threads: self.storage.flush_threads,
            probe_interval: self.storage.probe_interval.0,
            stall_timeout: self.storage.stall_timeout.0,
        }
    }
}

#[cfg(test)]
mod tests;
