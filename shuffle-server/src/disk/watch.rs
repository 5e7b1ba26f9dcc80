//! Work that somebody waits for only as long as it moves.

use std::{
    fs::File,
    io::{self, IoSlice},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{Medium, Space};

/// What a job shows of itself while it runs.
#[derive(Debug)]
pub struct Watch {
    began: Instant,
    /// When its last step ended, in nanoseconds from its begin.
    moved: AtomicU64,
    abandoned: AtomicBool,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), moved: AtomicU64::new(0), abandoned: AtomicBool::new(false) }
    }

    /// A step has ended.
    pub fn moved(&self) {
        self.moved.store(self.began.elapsed().as_nanos() as u64, Ordering::Release);
    }

    /// Whether nobody waits for the job any more.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// How long the current step has been going on.
    fn still(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_nanos(self.moved.load(Ordering::Acquire)))
    }
}

/// A job that was begun.
pub struct Task<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    watch: Watch,
    state: Mutex<State<T>>,
    done: Condvar,
}

enum State<T> {
    Running,
    Done(thread::Result<T>),
    /// Nobody waits; who is told when it has ended.
    Abandoned(Box<dyn FnOnce(Option<T>) + Send>),
}

impl<T> Clone for Task<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> Task<T> {
    pub(super) fn new() -> Self {
        let (state, done) = (Mutex::new(State::Running), Condvar::new());
        Self { shared: Arc::new(Shared { watch: Watch::new(), state, done }) }
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.shared.watch
    }

    pub(super) fn done(&self, result: thread::Result<T>) {
        let mut state = self.shared.state.lock();
        match std::mem::replace(&mut *state, State::Running) {
            State::Abandoned(late) => {
                drop(state);
                late(result.ok());
            }
            State::Running | State::Done(_) => {
                *state = State::Done(result);
                self.shared.done.notify_all();
            }
        }
    }

    /// What the job gives; `None` once one of its steps takes longer than `patience`. Then `abandon` says who gets what
    /// it gives, if ever (nothing if it panics).
    ///
    /// # Panics
    /// If the job did.
    pub fn wait<L>(self, patience: Duration, abandon: impl FnOnce() -> L) -> Option<T>
    where
        L: FnOnce(Option<T>) + Send + 'static,
    {
        let mut state = self.shared.state.lock();
        loop {
            match std::mem::replace(&mut *state, State::Running) {
                State::Done(Ok(given)) => return Some(given),
                State::Done(Err(panic)) => {
                    drop(state);
                    std::panic::resume_unwind(panic);
                }
                State::Running | State::Abandoned(_) => {}
            }
            let Some(left) = patience.checked_sub(self.shared.watch.still()).filter(|left| !left.is_zero()) else {
                *state = State::Abandoned(Box::new(abandon()));
                self.shared.watch.abandoned.store(true, Ordering::Release);
                return None;
            };
            self.shared.done.wait_for(&mut state, left);
        }
    }
}

/// A medium each of whose steps shows that the job moves.
pub struct Watched<'a> {
    /// What does the work.
    pub medium: &'a dyn Medium,
    /// The job's.
    pub watch: &'a Watch,
}

impl Watched<'_> {
    fn step<T>(&self, step: impl FnOnce(&dyn Medium) -> T) -> T {
        let done = step(self.medium);
        self.watch.moved();
        done
    }
}

impl Medium for Watched<'_> {
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.step(|medium| medium.space(path))
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        self.step(|medium| medium.create(path))
    }

    fn write(&self, file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.step(|medium| medium.write(file, slices))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.step(|medium| medium.sync(file))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(|medium| medium.remove(path))
    }
}
