//! What one sender has under way: a bound on it, and the first failure.

use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{Error, ErrorKind, Result, client::Patience};

/// Shared by a writer, which waits on it, and the links that carry its frames.
#[derive(Debug)]
pub(crate) struct Flow {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    frames: usize,
    failed: Option<Error>,
    wait_nanos: u64,
    patience: Patience,
}

impl Flow {
    /// A flow of `limit` bytes at a time, or of one frame if that is larger.
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), limit }
    }

    /// Who waits from here on is as patient as this.
    pub(crate) fn set_patience(&self, patience: Patience) {
        self.state.lock().patience = patience;
    }

    /// Waits until there is room for a frame of `bytes`, and takes it.
    pub(crate) fn enter(&self, bytes: usize) -> Result<()> {
        let fits = |state: &State| state.frames == 0 || state.bytes + bytes <= self.limit;
        let mut state = self.wait(self.state.lock(), fits)?;
        state.bytes += bytes;
        state.frames += 1;
        Ok(())
    }

    /// Takes room for a frame without a body: there always is.
    pub(crate) fn join(&self) {
        self.state.lock().frames += 1;
    }

    /// A frame of `bytes` has gone, acknowledged or not wanted any more.
    pub(crate) fn leave(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes -= bytes;
        state.frames -= 1;
        self.changed.notify_all();
    }

    /// Fails the flow; the first failure is kept. Its frames still leave one by one.
    pub(crate) fn fail(&self, error: Error) {
        self.state.lock().failed.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Nobody waits for this flow any more.
    pub(crate) fn close(&self) {
        self.fail(Error::new(ErrorKind::Closed, "the writer was closed"));
    }

    /// The first failure.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.state.lock().failed.clone()
    }

    /// Waits until every frame was acknowledged and everything else that entered has left.
    pub(crate) fn drained(&self) -> Result<()> {
        self.wait(self.state.lock(), |state| state.frames == 0).map(drop)
    }

    /// Waits for `ready` or a failure.
    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        ready: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'a, State>> {
        if state.failed.is_none() && !ready(&state) {
            let (start, patience) = (Instant::now(), state.patience.clone());
            let waited =
                patience.wait_while(&self.changed, &mut state, |state| state.failed.is_none() && !ready(state));
            state.wait_nanos += start.elapsed().as_nanos() as u64;
            waited?;
        }
        match &state.failed {
            Some(error) => Err(error.clone()),
            None => Ok(state),
        }
    }

    /// Bytes on their way.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Nanoseconds that were waited here.
    pub(crate) fn wait_nanos(&self) -> u64 {
        self.state.lock().wait_nanos
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn a_full_flow_is_entered_when_room_was_made() {
        let flow = Arc::new(Flow::new(100));
        flow.enter(500).expect("the first frame always fits");
        let other = Arc::clone(&flow);
        let waiting = thread::spawn(move || other.enter(60));
        flow.leave(500);
        waiting.join().expect("no panic").expect("room");
        flow.enter(40).expect("room");
        assert_eq!(flow.bytes(), 100);
    }

    #[test]
    fn a_failure_wakes_everyone_and_the_first_one_stays() {
        let flow = Arc::new(Flow::new(100));
        flow.enter(100).expect("room");
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let flow = Arc::clone(&flow);
                thread::spawn(move || flow.enter(60).and_then(|()| flow.drained()))
            })
            .collect();
        flow.fail(Error::new(ErrorKind::Invalid, "first"));
        flow.close();
        for thread in waiting {
            assert_eq!(thread.join().expect("no panic").expect_err("failed").message(), "first");
        }
    }
    #[test]
    fn who_waits_for_room_or_for_the_end_is_interrupted() {
        let flow = Flow::new(100);
        flow.set_patience(Patience::until(Arc::new(|| true)));
        flow.enter(100).expect("room");
        for error in [flow.enter(60).expect_err("no room"), flow.drained().expect_err("one is under way")] {
            assert_eq!((error.kind(), error.message()), (ErrorKind::Closed, "the task was interrupted"));
        }
        flow.leave(100);
        flow.drained().expect("nothing to wait for");
    }
}
