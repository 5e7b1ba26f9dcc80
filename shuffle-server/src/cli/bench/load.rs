//! Writes a shuffle and reads it back, by all tasks at a time, and counts what that costs.

use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use overhand_client::{
    Application, ApplicationConfig, Attempt, Client, ClientConfig, Codec, Expected, Placement, ReadRequest,
};

use super::{
    cpu,
    payload::{ITEM, Payload, RECORD, RUN, Tally},
    progress::Progress,
    report::Phase,
};

/// Bytes of items in a block.
const BLOCK: usize = RUN as usize * ITEM;
/// The most records that a task collects before it hands them over, in bytes.
const MAX_BATCH: usize = 32 << 20;
/// How often progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(500);

/// What is to be done.
#[derive(Debug)]
pub struct Work {
    /// Bytes of items to write, all tasks together; rounded up to whole items.
    pub size: u64,
    /// Tasks at a time.
    pub tasks: u32,
    /// Partitions of the shuffle.
    pub partitions: u32,
    /// How blocks are compressed.
    pub codec: Codec,
    /// The workers' process ids, as far as they are known.
    pub workers: Vec<u32>,
}

impl Work {
    /// Items that each task writes.
    fn items(&self) -> u64 {
        self.size.div_ceil(u64::from(self.tasks) * ITEM as u64).max(1)
    }

    /// Bytes of a batch: a block for each partition, if that is not too much.
    fn batch(&self) -> usize {
        let round = self.partitions as usize * RUN as usize * RECORD;
        round.clamp(RECORD, MAX_BATCH / RECORD * RECORD)
    }

    fn total(&self) -> u64 {
        self.items() * u64::from(self.tasks) * ITEM as u64
    }

    /// CPU seconds so far: of this process, and of each worker that is known.
    fn cpu(&self) -> anyhow::Result<(f64, Vec<f64>)> {
        let workers: anyhow::Result<_> = self.workers.iter().map(|pid| cpu::seconds(*pid)).collect();
        Ok((cpu::seconds(std::process::id())?, workers?))
    }
}

/// An application with a client, ready to write and read.
#[derive(Debug)]
pub struct Load {
    application: Arc<Application>,
    client: Client,
    payload: Payload,
    work: Work,
    shuffle: u32,
}

impl Load {
    /// Registers with the coordinators, for so many replicas.
    pub fn start(coordinators: Vec<String>, secret: &str, replicas: u32, work: Work) -> anyhow::Result<Self> {
        let app = format!("bench-{}-{replicas}", std::process::id()).parse().map_err(text)?;
        let config = ApplicationConfig {
            replicas: Some(replicas),
            registration_secret: secret.to_owned(),
            ..ApplicationConfig::new(coordinators, app)
        };
        let application = Arc::new(Application::register(config).map_err(text)?);
        let config =
            ClientConfig { codec: work.codec, block_size: BLOCK, min_block_size: BLOCK, ..ClientConfig::default() };
        let client = Client::with_driver(config, Arc::clone(&application) as _).map_err(text)?;
        let payload = Payload::new(work.partitions);
        let this = Self { application, client, payload, work, shuffle: 0 };
        let given = this.place(0)?.shards.iter().flatten().map(|epoch| epoch.chain.len()).min();
        ensure!(given == Some(replicas as usize), "the cluster has too few workers for {replicas} replicas");
        Ok(this)
    }

    /// Writes a shuffle, reads it back and removes it.
    pub fn round(&mut self, name: &str, progress: &mut Progress) -> anyhow::Result<(Phase, Phase)> {
        let placement = Arc::new(self.place(self.shuffle)?);
        progress.step(&format!("{name}: writing"));
        let (write, _) = self.phase(progress, |task, done| self.write(&placement, task, done))?;
        progress.step(&format!("{name}: reading"));
        let (read, tallies) = self.phase(progress, |task, done| self.read(&placement, task, done))?;
        let tally = tallies.into_iter().fold(Tally::default(), Tally::and);
        let expected = Payload::expected(self.work.tasks, self.work.items());
        ensure!(tally == expected, "{} items were written and {} others read", expected.items, tally.items);
        self.application.remove_shuffle(self.shuffle).map_err(text)?;
        self.shuffle += 1;
        Ok((write, read))
    }

    /// Ends the application.
    pub fn end(self) -> anyhow::Result<()> {
        self.application.end().map_err(text)
    }

    fn place(&self, shuffle: u32) -> anyhow::Result<Placement> {
        self.application.placement(shuffle, self.work.partitions).map_err(text)
    }

    /// Runs all tasks of one kind and measures them; they tell how many bytes they have done.
    fn phase<T: Send>(
        &self,
        progress: &Progress,
        task: impl Fn(u32, &Sender<u64>) -> anyhow::Result<T> + Sync,
    ) -> anyhow::Result<(Phase, Vec<T>)> {
        let (own, workers) = self.work.cpu()?;
        let begun = Instant::now();
        let (mut done, task) = (0, &task);
        let results: anyhow::Result<Vec<T>> = thread::scope(|scope| {
            let (sender, parts) = channel();
            let start = |at: u32| {
                let sender = sender.clone();
                scope.spawn(move || task(at, &sender))
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
            running
                .into_iter()
                .map(|task| task.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let seconds = begun.elapsed().as_secs_f64();
        let results = results?;
        let (own_after, workers_after) = self.work.cpu()?;
        let worker_cpu = workers_after.iter().zip(&workers).map(|(after, before)| after - before).collect();
        Ok((Phase { bytes: done, seconds, client_cpu: own_after - own, worker_cpu }, results))
    }

    fn write(&self, placement: &Arc<Placement>, task: u32, done: &Sender<u64>) -> anyhow::Result<()> {
        let attempt = attempt(task);
        let mut writer = self.client.writer(Arc::clone(placement), attempt).map_err(text)?;
        let (mut item, end) = (0, self.work.items());
        loop {
            let mut chunk = writer.chunk(self.work.batch()).map_err(text)?;
            let room = self.work.batch();
            let (next, used) = self.payload.fill(&mut chunk.as_mut_slice()[..room], u64::from(task), item, end);
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

    /// Reads each partition whose turn it is, whole, as a reduce task does.
    fn read(&self, placement: &Arc<Placement>, task: u32, done: &Sender<u64>) -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        let maps = 0..self.work.tasks;
        // Each task has written the same items, and so to the first partitions only if they are few.
        let written = self.work.items().div_ceil(RUN).min(u64::from(self.work.partitions)) as u32;
        for partition in (task..written).step_by(self.work.tasks as usize) {
            let expected = maps.clone().map(|map| Expected { partition, attempt: attempt(map) }).collect();
            let request = ReadRequest { partitions: partition..partition + 1, maps: maps.clone(), expected };
            let mut reader = self.client.reader(Arc::clone(placement), request).map_err(text)?;
            while let Some(batch) = reader.next().map_err(|error| anyhow::anyhow!("{error:?}"))? {
                let checked = self.payload.check(batch.as_slice(), batch.partition(), &mut tally);
                checked.with_context(|| format!("partition {partition} is not what was written"))?;
                let _nobody_counts = done.send(batch.as_slice().len() as u64);
            }
        }
        Ok(tally)
    }
}

fn attempt(task: u32) -> Attempt {
    Attempt { map_index: task, attempt: u64::from(task) }
}

fn text(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(size: u64, tasks: u32, partitions: u32) -> Work {
        Work { size, tasks, partitions, codec: Codec::None, workers: vec![] }
    }

    #[test]
    fn all_that_was_asked_for_is_written_in_whole_items() {
        for (size, tasks) in [(0, 1), (1, 3), (64 << 20, 4), (1_000_000_007, 7)] {
            let work = work(size, tasks, 64);
            assert!(work.total() >= size.max(1), "{size} by {tasks}");
            assert!(work.total() < size + u64::from(tasks) * ITEM as u64 + 1, "{size} by {tasks}");
        }
    }

    #[test]
    fn a_batch_has_a_block_for_each_partition_unless_there_are_too_many() {
        assert_eq!(work(1, 1, 64).batch(), 64 * 8 * RECORD);
        let many = work(1, 1, 100_000).batch();
        assert!(many <= MAX_BATCH && many.is_multiple_of(RECORD));
    }
}
