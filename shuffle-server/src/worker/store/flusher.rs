//! Who flushes what, and when: the flusher's threads and their queue.
//!
//! A shard is flushed because it was asked for (its memtable got large, a commit must be on disk, the store closes) or
//! because memory is short: then the shards that hold the most go first, until what is on its way to disk brings memory
//! down to the low mark.

use std::{
    cmp::Reverse,
    collections::VecDeque,
    io,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
};

use parking_lot::{Condvar, Mutex};

use super::{core::Core, flush::flush, shard::Shard};
use crate::disk::Folder;

/// Shards that wait to be flushed.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    probe: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Bytes that waiting and running jobs will free.
    planned: u64,
}

struct Job {
    shard: Arc<Shard>,
    bytes: u64,
}

impl Queue {
    /// Asks for a flush of `shard`. One that is asked for again before it began is done once.
    pub fn push(&self, shard: &Arc<Shard>) {
        self.state.lock().push(shard);
        self.ready.notify_one();
    }

    /// Says that memory is short.
    pub fn wake(&self) {
        // With the lock, so that a thread that just found nothing to do is waiting by now.
        drop(self.state.lock());
        self.ready.notify_one();
    }

    /// Says that the threads should end.
    pub fn stop(&self) {
        drop(self.state.lock());
        self.ready.notify_all();
        self.probe.notify_all();
    }

    /// The next shard to flush; `None` when the thread should end.
    fn next(&self, core: &Core) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if core.is_stopping() {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if !state.plan(core) {
                self.ready.wait(&mut state);
            }
        }
    }

    fn done(&self, bytes: u64) {
        self.state.lock().planned -= bytes;
    }
}

impl State {
    fn push(&mut self, shard: &Arc<Shard>) {
        if !shard.queued.swap(true, Ordering::AcqRel) {
            let bytes = shard.memory();
            self.planned += bytes;
            self.jobs.push_back(Job { shard: shard.clone(), bytes });
        }
    }

    /// Queues the largest shards if memory is short; whether there is anything to do now.
    fn plan(&mut self, core: &Core) -> bool {
        if core.excess() <= self.planned || *core.stalled.borrow() {
            return false;
        }
        let mut shards: Vec<(u64, Arc<Shard>)> = core
            .apps
            .shards()
            .into_iter()
            .map(|shard| (shard.memory(), shard))
            .filter(|(bytes, _)| *bytes > 0)
            .collect();
        shards.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
        for (_, shard) in shards {
            if core.excess() <= self.planned {
                break;
            }
            self.push(&shard);
        }
        !self.jobs.is_empty()
    }
}

/// Starts the flusher's threads and the one that probes the data folders, unless there are to be none.
pub fn start(core: &Arc<Core>) -> io::Result<Vec<JoinHandle<()>>> {
    if core.settings.flush_threads == 0 {
        return Ok(vec![]);
    }
    let flusher = |number: usize| {
        let core = core.clone();
        thread::Builder::new().name(format!("flush-{number}")).spawn(move || run(&core))
    };
    let mut threads = (0..core.settings.flush_threads).map(flusher).collect::<io::Result<Vec<_>>>()?;
    let core = core.clone();
    threads.push(thread::Builder::new().name("disk-probe".into()).spawn(move || probe(&core))?);
    Ok(threads)
}

fn run(core: &Arc<Core>) {
    while let Some(job) = core.queue.next(core) {
        work(core, job);
    }
}

fn work(core: &Arc<Core>, job: Job) {
    job.shard.queued.store(false, Ordering::Release);
    if let Err(error) = flush(core, &job.shard)
        && !core.stalled.send_replace(true)
    {
        tracing::error!(shard = %job.shard.key, %error, "no data folder takes data: what is in memory stays there");
    }
    core.queue.done(job.bytes);
}

/// Does one flush that is due, if any: for a store without threads.
#[cfg(feature = "sim")]
pub fn flush_one(core: &Arc<Core>) -> bool {
    let job = {
        let mut state = core.queue.state.lock();
        if state.jobs.is_empty() {
            state.plan(core);
        }
        state.jobs.pop_front()
    };
    let due = job.is_some();
    job.into_iter().for_each(|job| work(core, job));
    due
}

/// Probes the data folders from time to time, and ends a stall when one takes data again.
fn probe(core: &Arc<Core>) {
    loop {
        let mut state = core.queue.state.lock();
        if core.is_stopping() {
            return;
        }
        core.queue.probe.wait_for(&mut state, core.settings.probe_interval);
        drop(state);
        if core.is_stopping() {
            return;
        }
        probe_once(core);
    }
}

/// Measures the data folders, and ends a stall if one takes data again.
pub fn probe_once(core: &Core) {
    probe_all(core);
    if core.folders.any_healthy() && core.stalled.send_replace(false) {
        tracing::info!("a data folder takes data again");
        core.queue.wake();
    }
}

/// Probes all folders at the same time, so that one that hangs holds up nobody else's.
fn probe_all(core: &Core) {
    let begin = |folder: &Arc<Folder>| {
        let probed = folder.clone();
        let begun = folder.begin(move |_| probed.probe());
        (folder.clone(), begun)
    };
    let probes: Vec<_> = core.folders.all().iter().filter(|folder| !folder.hangs()).map(begin).collect();
    for (folder, begun) in probes {
        let probed = begun.and_then(|task| folder.finish(task, core.settings.stall_timeout, |()| ()));
        if let Err(error) = probed {
            folder.failed(&error);
        }
    }
    core.folders.all().iter().for_each(|folder| folder.tally());
}
