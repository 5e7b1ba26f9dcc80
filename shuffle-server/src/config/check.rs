//! Whether the values of a configuration fit together.

use std::time::Duration;

use super::{Config, Period, Problems, Size};

/// What the process is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Coordinator and worker in one process.
    Standalone,
    /// Knows who is there and who is alive.
    Coordinator,
    /// Keeps blocks.
    Worker,
}

impl Role {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Role::Standalone => "standalone",
            Role::Coordinator => "coordinator",
            Role::Worker => "worker",
        }
    }

    /// Whether it keeps blocks.
    pub fn stores(self) -> bool {
        !matches!(self, Role::Coordinator)
    }

    /// Whether it coordinates.
    pub fn coordinates(self) -> bool {
        !matches!(self, Role::Worker)
    }
}

const LEAST_BUDGET: Size = Size::mib(32);
const MOST_REPLICAS: u32 = 3;
const LEAST_WINDOW: Size = Size::mib(1);
const LEAST_BANDWIDTH: Size = Size::mib(1);

impl Config {
    /// Looks whether the values fit together for a server of this role, and names everything that does not.
    pub fn check(&self, role: Role) -> Result<(), Problems> {
        let mut problems = vec![];
        let mut expect = |holds: bool, problem: &dyn Fn() -> String| {
            if !holds {
                problems.push(problem());
            }
        };
        let dirs = &self.storage.data_dirs;
        expect(!role.stores() || !dirs.is_empty(), &|| {
            "storage.data_dirs: a data folder is needed, give one with --data-dir DIR".into()
        });
        for (at, dir) in dirs.iter().enumerate() {
            expect(!dir.as_os_str().is_empty(), &|| "storage.data_dirs: a folder's name is empty".into());
            expect(!dirs[..at].contains(dir), &|| format!("storage.data_dirs: {} is there twice", dir.display()));
        }
        let has_secret = !self.auth.secret_file.as_os_str().is_empty();
        expect(has_secret || (role.coordinates() && !dirs.is_empty()) || role == Role::Standalone, &|| {
            format!(
                "auth.secret_file: a {} needs the cluster's secret, the same on every server, by --secret-file FILE",
                role.name()
            )
        });
        expect(role != Role::Worker || !self.worker.coordinators.is_empty(), &|| {
            "worker.coordinators: a worker needs at least one coordinator, as in --coordinator 10.0.0.1:7337".into()
        });
        let addresses = [
            ("listen.control", &self.listen.control, true),
            ("listen.data", &self.listen.data, false),
            ("listen.admin", &self.listen.admin, false),
        ];
        for (key, address, needed) in addresses {
            let fits = (address.is_empty() && !needed) || split(address).is_some();
            expect(fits, &|| format!("{key}: {address:?} is no host:port"));
        }
        if let Some((_, port)) = split(&self.listen.control) {
            let beside = self.listen.data.is_empty() || self.listen.admin.is_empty();
            expect(!beside || port <= u16::MAX - 2, &|| {
                format!("listen.control: there are no two ports beyond {port}, set listen.data and listen.admin")
            });
        }
        for address in &self.worker.coordinators {
            expect(split(address).is_some(), &|| format!("worker.coordinators: {address:?} is no host:port"));
        }
        let memory = &self.memory;
        expect(memory.budget >= LEAST_BUDGET, &|| {
            format!("memory.budget: {} is too little, {LEAST_BUDGET} or more is needed", memory.budget)
        });
        let marks = 0.0 < memory.low_mark && memory.low_mark < memory.high_mark && memory.high_mark <= 1.0;
        expect(marks, &|| {
            format!(
                "memory.low_mark, memory.high_mark: 0 < low < high <= 1 is needed, {} and {} are given",
                memory.low_mark, memory.high_mark
            )
        });
        expect(memory.memtable_max >= Size::mib(1), &|| "memory.memtable_max: 1 MiB or more is needed".into());
        expect(self.network.window >= LEAST_WINDOW, &|| {
            format!("network.window: {} is too little, {LEAST_WINDOW} or more is needed", self.network.window)
        });
        expect(self.storage.copy_bandwidth >= LEAST_BANDWIDTH, &|| {
            format!(
                "storage.copy_bandwidth: {} is too little, {LEAST_BANDWIDTH} or more is needed",
                self.storage.copy_bandwidth
            )
        });
        let counts = [
            ("storage.flush_threads", self.storage.flush_threads, 64),
            ("network.connections", self.network.connections, 1 << 20),
            ("network.streams", self.network.streams, 1 << 20),
        ];
        for (key, count, most) in counts {
            expect((1..=most).contains(&count), &|| format!("{key}: {count} is not from 1 to {most}"));
        }
        let periods = [
            ("storage.probe_interval", self.storage.probe_interval),
            ("storage.stall_timeout", self.storage.stall_timeout),
            ("network.hello_timeout", self.network.hello_timeout),
            ("network.stall_timeout", self.network.stall_timeout),
            ("network.silence", self.network.silence),
            ("network.close_timeout", self.network.close_timeout),
            ("coordinator.lease", self.coordinator.lease),
            ("coordinator.heartbeat_interval", self.coordinator.heartbeat_interval),
            ("coordinator.worker_timeout", self.coordinator.worker_timeout),
            ("coordinator.token_lifetime", self.coordinator.token_lifetime),
        ];
        let (least, most) = (Period(Duration::from_millis(10)), Period(Duration::from_secs(365 * 24 * 3600)));
        for (key, period) in periods {
            expect((least..=most).contains(&period), &|| format!("{key}: {period} is not from {least} to a year"));
        }
        let coordinator = &self.coordinator;
        expect(coordinator.replicas <= MOST_REPLICAS, &|| {
            format!("coordinator.replicas: {} is not from 1 to {MOST_REPLICAS}", coordinator.replicas)
        });
        let (applications, bytes) = (&self.quotas.applications, &self.quotas.bytes);
        let tenants: [(&str, Vec<&str>); 2] = [
            ("quotas.applications", applications.iter().map(|entry| entry.tenant.as_str()).collect()),
            ("quotas.bytes", bytes.iter().map(|entry| entry.tenant.as_str()).collect()),
        ];
        for (key, tenants) in tenants {
            for (at, tenant) in tenants.iter().enumerate() {
                expect(!tenants[..at].contains(tenant), &|| format!("{key}: tenant {tenant:?} is there twice"));
            }
        }
        for (key, period) in [("lease", coordinator.lease), ("worker_timeout", coordinator.worker_timeout)] {
            expect(period.0 >= coordinator.heartbeat_interval.0 * 2, &|| {
                format!(
                    "coordinator.{key}: {period} is less than two heartbeats of {} (coordinator.heartbeat_interval)",
                    coordinator.heartbeat_interval
                )
            });
        }
        expect(coordinator.token_lifetime >= coordinator.lease, &|| {
            format!("coordinator.token_lifetime: {} is less than a lease", coordinator.token_lifetime)
        });
        let filter = self.log.filter.parse::<tracing_subscriber::EnvFilter>();
        expect(filter.is_ok(), &|| {
            format!("log.filter: {:?} is no filter, write a level as in \"info\"", self.log.filter)
        });
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }
}

/// The host and the port of `host:port`.
pub fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !bracketed) {
        return None;
    }
    Some((host, port.parse().ok()?))
}
