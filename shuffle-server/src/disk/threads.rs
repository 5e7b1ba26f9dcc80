//! A data folder's own threads: what may hang with its disk is done on them, so that nothing else hangs with it.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::watch::{Task, Watch};

/// Threads that are started as they are needed, and reused. There are as many as were ever busy at once.
#[derive(Default)]
pub struct Threads {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Box<dyn FnOnce() + Send>>,
    idle: usize,
    alive: usize,
    ended: bool,
}

impl Threads {
    /// Begins `job` on a thread.
    pub fn begin<T: Send + 'static>(&self, job: impl FnOnce(&Watch) -> T + Send + 'static) -> io::Result<Task<T>> {
        let task = Task::new();
        let running = task.clone();
        let job = Box::new(move || {
            let done = catch_unwind(AssertUnwindSafe(|| job(running.watch())));
            running.done(done);
        });
        let mut state = self.shared.state.lock();
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            self.shared.changed.notify_all();
            return Ok(task);
        }
        let shared = self.shared.clone();
        if let Err(error) = thread::Builder::new().name("disk".into()).spawn(move || shared.run()) {
            state.jobs.pop_back();
            return Err(error);
        }
        state.alive += 1;
        Ok(task)
    }

    /// Tells the threads to end, and waits for all but `stuck` of them, or until `patience` is over.
    pub fn end(&self, stuck: usize, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.state.lock();
        state.ended = true;
        self.shared.changed.notify_all();
        while state.alive > stuck && !self.shared.changed.wait_until(&mut state, deadline).timed_out() {}
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end(usize::MAX, Duration::ZERO);
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = self.state.lock();
            } else if state.ended {
                state.alive -= 1;
                self.changed.notify_all();
                return;
            } else {
                state.idle += 1;
                self.changed.wait(&mut state);
                state.idle -= 1;
            }
        }
    }
}
