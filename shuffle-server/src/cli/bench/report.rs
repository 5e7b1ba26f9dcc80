//! The figures for people and for scripts. A GB is 10^9 bytes.

use overhand_client::Codec;
use serde_json::{Value, json};

use super::{super::show::table, machine::Figure};

const GB: f64 = 1e9;

/// What writing or reading took.
#[derive(Debug, Clone)]
pub struct Phase {
    /// Bytes of items, each counted once whatever the number of replicas.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// CPU seconds of this process: the client, and making or comparing the items.
    pub client_cpu: f64,
    /// CPU seconds of each worker; empty where they are not known.
    pub worker_cpu: Vec<f64>,
}

/// What was measured with one number of replicas.
#[derive(Debug, Clone)]
pub struct Replicated {
    /// Workers that hold each byte.
    pub replicas: u32,
    /// Writing.
    pub write: Phase,
    /// Reading.
    pub read: Phase,
}

/// Everything that was measured, and how.
#[derive(Debug, Clone)]
pub struct Report {
    /// Bytes that were asked for.
    pub size: u64,
    /// Tasks at a time.
    pub tasks: u32,
    /// Partitions.
    pub partitions: u32,
    /// How blocks were compressed.
    pub codec: Codec,
    /// What the machine can do.
    pub machine: Vec<Figure>,
    /// One for each number of replicas.
    pub replicated: Vec<Replicated>,
}

impl Phase {
    /// GB per second.
    fn rate(&self) -> f64 {
        self.per_gb(self.seconds).recip()
    }

    fn per_gb(&self, seconds: f64) -> f64 {
        seconds / (self.bytes as f64 / GB)
    }

    fn cells(&self) -> [String; 3] {
        let workers: Vec<String> = self.worker_cpu.iter().map(|used| format!("{:.2}", self.per_gb(*used))).collect();
        let workers = if workers.is_empty() { "–".to_owned() } else { workers.join(" + ") };
        [format!("{:.2}", self.rate()), format!("{:.2}", self.per_gb(self.client_cpu)), workers]
    }

    fn to_json(&self) -> Value {
        let workers: Vec<f64> = self.worker_cpu.iter().map(|used| self.per_gb(*used)).collect();
        json!({
            "bytes": self.bytes,
            "seconds": self.seconds,
            "gb_per_s": self.rate(),
            "client_cpu_s_per_gb": self.per_gb(self.client_cpu),
            "worker_cpu_s_per_gb": workers,
        })
    }
}

impl Report {
    /// Two tables: the workers, and the machine beside them.
    pub fn to_text(&self) -> String {
        let (size, codec) = (self.size as f64 / GB, name(self.codec));
        let intro = format!(
            "{size:.2} GB by {} task(s) into {} partition(s), codec {codec}, blocks of 64 kB; what was read was checked\n",
            self.tasks, self.partitions
        );
        let cpu = ["client CPU s/GB", "worker CPU s/GB"];
        let header = ["replicas", "write GB/s", cpu[0], cpu[1], "read GB/s", cpu[0], cpu[1]];
        let mut workers = table(&header, 0..header.len());
        for Replicated { replicas, write, read } in &self.replicated {
            let cells = [write.cells(), read.cells()].concat();
            workers.add_row([vec![replicas.to_string()], cells].concat());
        }
        let mut machine = table(&["this machine", "GB/s", "how"], 1..2);
        for figure in &self.machine {
            machine.add_row([figure.name.to_owned(), format!("{:.2}", figure.rate / GB), figure.how.to_owned()]);
        }
        format!("{intro}\n{workers}\n\n{machine}\n")
    }

    /// The same, with all digits.
    pub fn to_json(&self) -> Value {
        let machine = |figure: &Figure| json!({"name": figure.name, "how": figure.how, "gb_per_s": figure.rate / GB});
        let replicated = |one: &Replicated| json!({"replicas": one.replicas, "write": one.write.to_json(), "read": one.read.to_json()});
        json!({
            "size": self.size,
            "tasks": self.tasks,
            "partitions": self.partitions,
            "codec": name(self.codec),
            "replicas": self.replicated.iter().map(replicated).collect::<Vec<_>>(),
            "machine": self.machine.iter().map(machine).collect::<Vec<_>>(),
        })
    }
}

fn name(codec: Codec) -> &'static str {
    match codec {
        Codec::None => "none",
        Codec::Lz4 => "lz4",
        Codec::Zstd => "zstd",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(worker_cpu: Vec<f64>) -> Report {
        let write = Phase { bytes: 2_000_000_000, seconds: 4.0, client_cpu: 3.0, worker_cpu };
        let read = Phase { seconds: 1.0, ..write.clone() };
        Report {
            size: 2_000_000_000,
            tasks: 4,
            partitions: 64,
            codec: Codec::None,
            machine: vec![Figure { name: "memcpy", how: "at once", rate: 7.5e9 }],
            replicated: vec![Replicated { replicas: 2, write, read }],
        }
    }

    #[test]
    fn figures_are_per_gigabyte_and_second() {
        let json = report(vec![1.0, 0.5]).to_json();
        let one = &json["replicas"][0];
        assert_eq!((&one["write"]["gb_per_s"], &one["read"]["gb_per_s"]), (&json!(0.5), &json!(2.0)));
        assert_eq!(one["write"]["client_cpu_s_per_gb"], 1.5);
        assert_eq!(one["write"]["worker_cpu_s_per_gb"], json!([0.5, 0.25]));
        assert_eq!(json["machine"][0]["gb_per_s"], 7.5);
    }

    #[test]
    fn people_see_the_machine_beside_the_workers() {
        let text = report(vec![1.0, 0.5]).to_text();
        for part in ["2.00 GB", "codec none", "0.50 + 0.25", "memcpy", "7.50"] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert!(report(vec![]).to_text().contains('–'), "workers of a given cluster are not known");
    }
}
