//! What comes for a reader, and how long it waits.

use std::{
    fmt,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use crate::{client::Interrupt, link::fetch::Event};

/// How often a reader that waits asks whether the engine wants its thread back.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What ended a wait.
#[derive(Debug)]
pub(super) enum Waited {
    /// Something came.
    Event(Event),
    /// Nothing came in time.
    Late,
    /// The engine wants its thread back.
    Interrupted,
}

/// The reader's end of all its fetches.
pub(super) struct Inbox {
    events: Receiver<Event>,
    sender: Sender<Event>,
    interrupt: Option<Interrupt>,
    asked: Instant,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("interrupted", &self.interrupt.is_some()).finish_non_exhaustive()
    }
}

impl Inbox {
    pub(super) fn new() -> Self {
        let (sender, events) = channel();
        Self { events, sender, interrupt: None, asked: Instant::now() }
    }

    /// Where to send what is meant for this reader.
    pub(super) fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }

    pub(super) fn set_interrupt(&mut self, interrupt: Interrupt) {
        self.interrupt = Some(interrupt);
    }

    /// What has come already.
    pub(super) fn here(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Waits for what comes, at most until then.
    pub(super) fn wait(&mut self, until: Option<Instant>) -> Waited {
        loop {
            let ask_at = self.interrupt.is_some().then(|| self.asked + ASK_EVERY);
            let end = until.into_iter().chain(ask_at).min();
            let timeout = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            match self.events.recv_timeout(timeout) {
                Ok(event) => return Waited::Event(event),
                Err(RecvTimeoutError::Disconnected) => unreachable!("a sender is kept here"),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if ask_at.is_some_and(|at| at <= now) {
                self.asked = now;
                if self.interrupt.as_ref().is_some_and(|interrupt| interrupt()) {
                    return Waited::Interrupted;
                }
            }
            if until.is_some_and(|until| until <= now) {
                return Waited::Late;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[test]
    fn what_is_here_comes_first_and_a_wait_ends_in_time_or_when_interrupted() {
        let mut inbox = Inbox::new();
        assert!(inbox.here().is_none());
        assert!(matches!(inbox.wait(Some(Instant::now())), Waited::Late));
        let answer = || Event::Placement(Err(crate::Error::new(crate::ErrorKind::Retry, "no")));
        inbox.sender().send(answer()).expect("open");
        assert!(matches!(inbox.wait(None), Waited::Event(Event::Placement(_))));
        let asked = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&asked);
        inbox.set_interrupt(Arc::new(move || counting.fetch_add(1, Ordering::Relaxed) == 1));
        let start = Instant::now();
        assert!(matches!(inbox.wait(None), Waited::Interrupted));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert!(start.elapsed() >= ASK_EVERY / 2);
    }
}
