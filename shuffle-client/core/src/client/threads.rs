//! The threads that encode: a fixed number, fed by a queue that holds one job per writer at most.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    thread,
};

use parking_lot::Mutex;

use crate::{Error, ErrorKind, Result};

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs; ends, after those that it has, when dropped.
#[derive(Debug)]
pub(crate) struct Threads {
    jobs: Sender<Job>,
}

impl Threads {
    pub(crate) fn start(count: usize) -> Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..count {
            let queue = Arc::clone(&queue);
            let work = move || {
                loop {
                    let job = queue.lock().recv();
                    match job {
                        // A job that panics fails its writer, not this thread.
                        Ok(job) => drop(catch_unwind(AssertUnwindSafe(job))),
                        Err(_) => return,
                    }
                }
            };
            let name = format!("overhand-encode-{number}");
            thread::Builder::new()
                .name(name)
                .spawn(work)
                .map_err(|error| Error::new(ErrorKind::Internal, format!("a thread could not be started: {error}")))?;
        }
        Ok(Self { jobs })
    }

    /// Runs `job` when a thread is free.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<()> {
        self.jobs.send(Box::new(job)).map_err(|_| Error::new(ErrorKind::Internal, "the encoding threads have ended"))
    }
}
