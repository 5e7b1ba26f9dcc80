//! Writes a shuffle and reads it back, by all tasks at a time, and counts what that costs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use overhand_client::{
    AppId, Application, Attempt, Client, ClientConfig, Codec, Driver, Error, ErrorKind, Expected, Placement,
    ReadRequest, Trouble,
};

use super::{
    cpu, joined,
    payload::{ITEM, Payload, RECORD, Tally},
    progress::Progress,
    register,
    report::Phase,
    text,
};

/// The most records that a task collects before it hands them over, in bytes.
const MAX_BATCH: usize = 32 << 20;
/// How often progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(500);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Work {
    /// Bytes of items to write, all map tasks together; rounded up to whole items.
    pub size: u64,
    /// Applications at a time, each with a shuffle.
    pub applications: u32,
    /// Map tasks of each shuffle.
    pub maps: u32,
    /// Tasks at a time, of all applications together.
    pub tasks: u32,
    /// Partitions of each shuffle.
    pub partitions: u32,
    /// Items of a block.
    pub run: u64,
    /// How blocks are compressed.
    pub codec: Codec,
    /// The workers' process ids, as far as they are known.
    pub workers: Vec<u32>,
}

impl Work {
    /// Map tasks of all applications.
    fn all_maps(&self) -> u64 {
        u64::from(self.applications) * u64::from(self.maps)
    }

    /// A map task's number among those of all applications.
    fn number(&self, app: u64, map: u32) -> u64 {
        app * u64::from(self.maps) + u64::from(map)
    }

    /// Items that each map task writes.
    fn items(&self) -> u64 {
        self.size.div_ceil(self.all_maps() * ITEM as u64).max(1)
    }

    /// Bytes of a batch: a block for each partition, if that is not too much and there is as much.
    fn batch(&self) -> usize {
        let round = (u64::from(self.partitions) * self.run).min(self.items()) as usize * RECORD;
        round.clamp(RECORD, MAX_BATCH / RECORD * RECORD)
    }

    fn total(&self) -> u64 {
        self.items() * self.all_maps() * ITEM as u64
    }

    /// CPU seconds so far: of this process, and of each worker that is known.
    fn cpu(&self) -> anyhow::Result<(f64, Vec<f64>)> {
        let workers: anyhow::Result<_> = self.workers.iter().map(|pid| cpu::seconds(*pid)).collect();
        Ok((cpu::seconds(std::process::id())?, workers?))
    }
}

/// The drivers of all applications.
#[derive(Debug)]
struct Drivers(Vec<Application>);

impl Driver for Drivers {
    fn ask(&self, app: &AppId, shuffle: u32, trouble: &Trouble) -> overhand_client::Result<Placement> {
        let driver = self.0.iter().find(|driver| driver.app() == app);
        driver.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no {app}")))?.ask(shuffle, trouble)
    }
}

/// Applications with a client, ready to write and read.
#[derive(Debug)]
pub struct Load {
    drivers: Arc<Drivers>,
    client: Client,
    payload: Payload,
    work: Work,
    shuffle: u32,
}

impl Load {
    /// Registers with the coordinators, for so many replicas.
    pub fn start(coordinators: Vec<String>, secret: &str, replicas: u32, work: Work) -> anyhow::Result<Self> {
        let names = (0..work.applications).map(|number| format!("{replicas}-{number}"));
        let drivers =
            names.map(|name| register(&coordinators, secret, replicas, &name)).collect::<anyhow::Result<_>>()?;
        let drivers = Arc::new(Drivers(drivers));
        let block = work.run as usize * ITEM;
        let config =
            ClientConfig { codec: work.codec, block_size: block, min_block_size: block, ..ClientConfig::default() };
        let client = Client::with_driver(config, Arc::clone(&drivers) as _).map_err(text)?;
        let payload = Payload::new(work.partitions, work.run, work.items());
        let this = Self { drivers, client, payload, work, shuffle: 0 };
        let chains = this.place()?.into_iter().flat_map(|placement| placement.shards.clone()).flatten();
        let given = chains.map(|epoch| epoch.chain.len()).min();
        ensure!(given == Some(replicas as usize), "the cluster has too few workers for {replicas} replicas");
        Ok(this)
    }

    /// Writes a shuffle of each application, reads them back and removes them.
    pub fn round(&mut self, name: &str, progress: &mut Progress) -> anyhow::Result<(Phase, Phase)> {
        let (placements, work) = (self.place()?, &self.work);
        progress.step(&format!("{name}: writing"));
        // Applications take turns, so that all of them are at work at the same time.
        let turn =
            |number: u64| (number % u64::from(work.applications), (number / u64::from(work.applications)) as u32);
        let (write, _) = self.phase(progress, work.all_maps(), |number, done| {
            let (app, map) = turn(number);
            self.write(&placements[app as usize], app, map, done)
        })?;
        progress.step(&format!("{name}: reading"));
        let readers = u64::from(work.applications) * u64::from(work.partitions);
        let (read, tallies) = self.phase(progress, readers, |number, done| {
            let (app, partition) = turn(number);
            self.read(&placements[app as usize], app, partition, done)
        })?;
        let tally = tallies.into_iter().fold(Tally::default(), Tally::and);
        let expected = Payload::expected(work.all_maps(), work.items());
        ensure!(tally == expected, "{} items were written and {} others read", expected.items, tally.items);
        self.drivers.0.iter().try_for_each(|driver| driver.remove_shuffle(self.shuffle)).map_err(text)?;
        self.shuffle += 1;
        Ok((write, read))
    }

    /// Ends the applications.
    pub fn end(self) -> anyhow::Result<()> {
        self.drivers.0.iter().try_for_each(Application::end).map_err(text)
    }

    /// Where the next shuffle of each application is.
    fn place(&self) -> anyhow::Result<Vec<Arc<Placement>>> {
        let place = |driver: &Application| driver.placement(self.shuffle, self.work.partitions).map(Arc::new);
        self.drivers.0.iter().map(place).collect::<Result<_, _>>().map_err(text)
    }

    /// Runs `count` tasks of one kind, as many at a time as may, and measures them; they tell how many bytes they have
    /// done.
    fn phase<T: Send>(
        &self,
        progress: &Progress,
        count: u64,
        task: impl Fn(u64, &Sender<u64>) -> anyhow::Result<T> + Sync,
    ) -> anyhow::Result<(Phase, Vec<T>)> {
        let (own, workers) = self.work.cpu()?;
        let begun = Instant::now();
        let (mut done, task, next) = (0, &task, &AtomicU64::new(0));
        let results: anyhow::Result<Vec<Vec<T>>> = thread::scope(|scope| {
            let (sender, parts) = channel();
            let start = |_| {
                let sender = sender.clone();
                let turn = move || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < count);
                scope.spawn(move || std::iter::from_fn(turn).map(|at| task(at, &sender)).collect())
            };
            let running: Vec<_> = (0..self.work.tasks).map(start).collect();
            drop(sender);
            let mut shown = Instant::now();
            loop {
                match parts.recv_timeout(SHOWN_EVERY) {
                    Ok(part) => done += part,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                if shown.elapsed() >= SHOWN_EVERY {
                    progress.part(done, self.work.total());
                    shown = Instant::now();
                }
            }
            running.into_iter().map(joined).collect()
        });
        let seconds = begun.elapsed().as_secs_f64();
        let results = results?.into_iter().flatten().collect();
        let (own_after, workers_after) = self.work.cpu()?;
        let worker_cpu = workers_after.iter().zip(&workers).map(|(after, before)| after - before).collect();
        Ok((Phase { bytes: done, seconds, client_cpu: own_after - own, worker_cpu }, results))
    }

    /// Writes what a map task has, whole.
    fn write(&self, placement: &Arc<Placement>, app: u64, map: u32, done: &Sender<u64>) -> anyhow::Result<()> {
        let mut writer = self.client.writer(Arc::clone(placement), attempt(map)).map_err(text)?;
        let task = self.work.number(app, map);
        let (mut item, end) = (0, self.work.items());
        loop {
            let mut chunk = writer.chunk(self.work.batch()).map_err(text)?;
            let room = self.work.batch();
            let (next, used) = self.payload.fill(&mut chunk.as_mut_slice()[..room], task, item, end);
            let bytes = (next - item) * ITEM as u64;
            item = next;
            if item == end {
                writer.finish(vec![(chunk, used)]).map_err(text)?;
            } else {
                writer.push(vec![(chunk, used)]).map_err(text)?;
            }
            let _nobody_counts = done.send(bytes);
            if item == end {
                return Ok(());
            }
        }
    }

    /// Reads a partition, whole, as a reduce task does.
    fn read(&self, placement: &Arc<Placement>, app: u64, partition: u32, done: &Sender<u64>) -> anyhow::Result<Tally> {
        let (mut tally, maps) = (Tally::default(), 0..self.work.maps);
        let written = maps.clone().filter(|map| self.payload.has(self.work.number(app, *map), partition));
        let expected = written.map(|map| Expected { partition, attempt: attempt(map) }).collect();
        let request = ReadRequest { partitions: partition..partition + 1, maps, expected };
        let mut reader = self.client.reader(Arc::clone(placement), request).map_err(text)?;
        while let Some(batch) = reader.next().map_err(|error| anyhow::anyhow!("{error:?}"))? {
            let checked = self.payload.check(batch.as_slice(), batch.partition(), &mut tally);
            checked.with_context(|| format!("partition {partition} is not what was written"))?;
            let _nobody_counts = done.send(batch.as_slice().len() as u64);
        }
        Ok(tally)
    }
}

fn attempt(map: u32) -> Attempt {
    Attempt { map_index: map, attempt: u64::from(map) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(size: u64, maps: u32, partitions: u32) -> Work {
        Work { size, applications: 1, maps, tasks: 1, partitions, run: 8, codec: Codec::None, workers: vec![] }
    }

    #[test]
    fn all_that_was_asked_for_is_written_in_whole_items() {
        for (size, maps) in [(0, 1), (1, 3), (64 << 20, 4), (1_000_000_007, 7)] {
            let work = work(size, maps, 64);
            assert!(work.total() >= size.max(1), "{size} by {maps}");
            assert!(work.total() < size + u64::from(maps) * ITEM as u64 + 1, "{size} by {maps}");
        }
    }

    #[test]
    fn a_batch_has_a_block_for_each_partition_unless_there_are_too_many() {
        assert_eq!(work(1 << 30, 1, 64).batch(), 64 * 8 * RECORD);
        assert_eq!(work(1 << 20, 1, 64).batch(), 128 * RECORD, "no more than there is");
        let many = work(1 << 30, 1, 100_000).batch();
        assert!(many <= MAX_BATCH && many.is_multiple_of(RECORD));
    }
}
