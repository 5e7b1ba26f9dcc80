//! The figures for people and for scripts. A GB is 10^9 bytes.

use overhand_client::Codec;
use serde_json::{Value, json};

use super::{
    super::show::{size, table},
    alone::{Alone, Rates, Shape},
    load::Work,
    machine::Figure,
    payload::ITEM,
};

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
    /// What was asked for.
    pub work: Work,
    /// What the machine can do.
    pub machine: Vec<Figure>,
    /// One for each number of replicas.
    pub replicated: Vec<Replicated>,
    /// One worker on one core, if that was asked for.
    pub alone: Option<Alone>,
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
    /// Two tables: the workers, and the machine beside them, with how much of what it can do the first worker does.
    pub fn to_text(&self) -> String {
        let workers = self.alone.as_ref().map_or_else(|| self.replicated_text(), alone_text);
        let (names, rates): (Vec<_>, Vec<_>) = self.rates().into_iter().unzip();
        let header = [&["this machine", "GB/s"][..], &names, &["how"]].concat();
        let mut machine = table(&header, 1..header.len() - 1);
        for figure in &self.machine {
            let mut row = vec![figure.name.to_owned(), format!("{:.2}", figure.rate / GB)];
            row.extend(rates.iter().map(|rate| format!("{:.0} %", 100.0 * rate / figure.rate)));
            row.push(figure.how.to_owned());
            machine.add_row(row);
        }
        format!("{workers}\n\n{machine}\n")
    }

    /// What is set against the machine, in bytes per second: of one worker on one core, or with the fewest replicas.
    fn rates(&self) -> Vec<(&'static str, f64)> {
        match (&self.alone, self.replicated.first()) {
            (Some(alone), _) => {
                let few = alone.rates.first().map(|(_, rates)| rates);
                few.map_or_else(Vec::new, |rates| vec![("taken in", rates.taken.0), ("served", rates.served.0)])
            }
            (None, Some(one)) => vec![("written", one.write.rate() * GB), ("read", one.read.rate() * GB)],
            (None, None) => vec![],
        }
    }

    fn replicated_text(&self) -> String {
        let Work { size, applications, maps, tasks, partitions, run, codec, .. } = &self.work;
        let intro = format!(
            "{:.2} GB by {applications} application(s) of {maps} map task(s), {tasks} at a time, into {partitions} \
             partition(s), codec {}, blocks of {} kB; what was read was checked\n",
            *size as f64 / GB,
            name(*codec),
            (*run as usize * ITEM) >> 10,
        );
        let cpu = ["client CPU s/GB", "worker CPU s/GB"];
        let header = ["replicas", "write GB/s", cpu[0], cpu[1], "read GB/s", cpu[0], cpu[1]];
        let mut workers = table(&header, 0..header.len());
        for Replicated { replicas, write, read } in &self.replicated {
            let cells = [write.cells(), read.cells()].concat();
            workers.add_row([vec![replicas.to_string()], cells].concat());
        }
        format!("{intro}\n{workers}")
    }

    /// The same, with all digits.
    pub fn to_json(&self) -> Value {
        let machine = |figure: &Figure| json!({"name": figure.name, "how": figure.how, "gb_per_s": figure.rate / GB});
        let replicated = |one: &Replicated| json!({"replicas": one.replicas, "write": one.write.to_json(), "read": one.read.to_json()});
        let Work { size, applications, maps, tasks, partitions, run, codec, .. } = &self.work;
        json!({
            "size": size,
            "applications": applications,
            "maps": maps,
            "tasks": tasks,
            "partitions": partitions,
            "block": *run as usize * ITEM,
            "codec": name(*codec),
            "alone": self.alone.as_ref().map(alone_json),
            "replicas": self.replicated.iter().map(replicated).collect::<Vec<_>>(),
            "machine": self.machine.iter().map(machine).collect::<Vec<_>>(),
        })
    }
}

fn alone_text(alone: &Alone) -> String {
    let header = ["one worker on one core, blocks of 64 kB", "takes in GB/s", "CPU s/GB", "serves GB/s", "CPU s/GB"];
    let mut rates = table(&header, 1..header.len());
    let cells = |figures: [f64; 4]| figures.map(|figure| format!("{figure:.2}"));
    let figures = |Rates { taken, served }: Rates| [taken.0 / GB, taken.1 * GB, served.0 / GB, served.1 * GB];
    for (shape, of_shape) in &alone.rates {
        let Shape { applications, maps, partitions, .. } = shape;
        let name = format!(
            "{applications} application(s) x {maps} map tasks x {partitions} partitions, {} connection(s)",
            shape.all_connections()
        );
        rates.add_row([vec![name], cells(figures(*of_shape)).to_vec()].concat());
    }
    if let [others @ .., (_, last)] = &alone.rates[..] {
        for (shape, of_shape) in others {
            let (few, many) = (figures(*of_shape), figures(*last));
            let ratios = std::array::from_fn(|at| many[at] / few[at]);
            let name = format!("the last to that of {} connection(s)", shape.all_connections());
            rates.add_row([vec![name], cells(ratios).to_vec()].concat());
        }
    }
    let [p50, p99, p999] = [500, 990, 999].map(|per_mille| alone.quantile(per_mille) * 1e3);
    format!(
        "{rates}\n\n{} fetches of 1 MB from memory, while {:.2} GB/s came in: p50 {p50:.2} ms, p99 {p99:.2} ms ({:.1} x p50), \
         p99.9 {p999:.2} ms\nmemory: {} for a connection, {} for a shard",
        alone.fetches.len(),
        alone.meanwhile / GB,
        p99 / p50,
        size(alone.connection as u64),
        size(alone.shard as u64),
    )
}

fn alone_json(alone: &Alone) -> Value {
    let rate = |(rate, cpu): (f64, f64)| json!({"gb_per_s": rate / GB, "cpu_s_per_gb": cpu * GB});
    let of_shape = |(shape, rates): &(Shape, Rates)| {
        let Shape { applications, maps, partitions, size, .. } = shape;
        let (taken, served) = (rate(rates.taken), rate(rates.served));
        json!({"applications": applications, "connections": shape.all_connections(), "maps": maps,
               "partitions": partitions, "size": size, "taken": taken, "served": served})
    };
    json!({
        "rates": alone.rates.iter().map(of_shape).collect::<Vec<_>>(),
        "meanwhile_gb_per_s": alone.meanwhile / GB,
        "fetches": alone.fetches.len(),
        "fetch_p50_s": alone.quantile(500),
        "fetch_p99_s": alone.quantile(990),
        "fetch_p999_s": alone.quantile(999),
        "connection_bytes": alone.connection,
        "shard_bytes": alone.shard,
    })
}

fn name(codec: Codec) -> &'static str {
    match codec {
        Codec::None => "none",
        Codec::Lz4 => "lz4",
        Codec::Zstd => "zstd",
        Codec::StreamVByte => "stream-vbyte",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(worker_cpu: Vec<f64>) -> Report {
        let write = Phase { bytes: 2_000_000_000, seconds: 4.0, client_cpu: 3.0, worker_cpu };
        let read = Phase { seconds: 1.0, ..write.clone() };
        let work = Work {
            size: 2_000_000_000,
            applications: 1,
            maps: 4,
            tasks: 4,
            partitions: 64,
            run: 8,
            codec: Codec::None,
            workers: vec![],
        };
        Report {
            work,
            alone: None,
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
        for part in ["2.00 GB", "codec none", "0.50 + 0.25", "memcpy", "7.50", "written", "7 %", "27 %"] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert!(report(vec![]).to_text().contains('–'), "workers of a given cluster are not known");
        let fetches = vec![0.001, 0.004];
        let (taken, served) = ((1.5e9, 0.5e-9), (2.5e9, 0.3e-9));
        let few = Shape { applications: 1, connections: 1, maps: 100, partitions: 200, size: 1 << 30 };
        let many = (Shape { applications: 20, ..few }, Rates { taken: (0.75e9, 0.5e-9), served });
        let rates = vec![(few, Rates { taken, served }), many];
        let alone = Alone { rates, meanwhile: 1.1e9, fetches, connection: 20480.0, shard: 1536.0 };
        let text = Report { alone: Some(alone), ..report(vec![]) }.to_text();
        for part in [
            "1.50",
            "2.50",
            "0.30",
            "p50 1.00 ms, p99 4.00 ms (4.0 x p50)",
            "1.10 GB/s",
            "20.0 KiB",
            "7.50",
            "1 application(s) x 100 map tasks x 200 partitions, 1 connection(s)",
            "partitions, 20 connection(s)",
            "the last to that of 1 connection(s)",
            "0.50",
            "taken in",
            "20 %",
            "33 %",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
}
