//! The order of answers: those of one attempt on one epoch of a shard go back in the order of its frames, so that what
//! its client knows to be acknowledged is always a prefix.

use std::collections::HashMap;

use overhand_common::{
    ids::{Attempt, ShardKey},
    message::{Ack, Failure, Last, Push},
};
use tokio::sync::watch;

/// What comes of a frame.
pub type Verdict = Result<Ack, Failure>;

/// The frames of a connection that were forwarded: per attempt the last one.
#[derive(Debug)]
pub struct Order {
    last: HashMap<(ShardKey, Attempt), watch::Receiver<State>>,
    /// So many attempts are remembered after their last frame so far was answered.
    limit: usize,
}

/// A frame's place in the order; dropped without a verdict, it lets the next one pass.
#[derive(Debug)]
pub struct Queued {
    frame: u32,
    settles: bool,
    before: Option<watch::Receiver<State>>,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone)]
enum State {
    Waiting,
    Taken,
    /// This frame was not, and so none after it.
    Refused(u32, Failure),
}

impl Order {
    /// An order of no frames, that remembers up to `limit` attempts.
    pub fn new(limit: usize) -> Self {
        Self { last: HashMap::new(), limit }
    }

    /// The place of the frame that came last.
    pub fn next(&mut self, push: &Push) -> Queued {
        let (state, receiver) = watch::channel(State::Waiting);
        let key = (push.key, push.attempt);
        let before = match push.last {
            Some(_) => self.last.remove(&key),
            None => {
                self.tidy();
                self.last.insert(key, receiver)
            }
        };
        Queued { frame: push.frame, settles: matches!(push.last, Some(Last::Settled(_))), before, state }
    }

    /// Keeps the number of attempts in bounds. Those that were refused are forgotten last: long after their client has
    /// heard of it.
    fn tidy(&mut self) {
        if self.last.len() < self.limit {
            return;
        }
        self.last.retain(|_, state| !matches!(*state.borrow(), State::Taken));
        if self.last.len() >= self.limit {
            self.last.retain(|_, state| matches!(*state.borrow(), State::Waiting));
        }
    }
}

impl Queued {
    /// Waits for its turn to be answered. A frame that comes after one that was refused is refused for the same reason,
    /// even if all members of the chain have it: else the client might take for acknowledged what it sends again
    /// elsewhere.
    pub async fn turn(&mut self, verdict: Verdict) -> Verdict {
        let Some(before) = &mut self.before else { return verdict };
        match before.wait_for(|state| !matches!(state, State::Waiting)).await.as_deref() {
            Ok(State::Refused(frame, failure)) if *frame < self.frame && !self.settles => Err(failure.clone()),
            Ok(_) | Err(_) => verdict,
        }
    }

    /// It was answered like this: the next one may be.
    pub fn answered(self, verdict: &Verdict) {
        let state = match verdict {
            Ok(_) => State::Taken,
            Err(failure) => State::Refused(self.frame, failure.clone()),
        };
        self.state.send_replace(state);
    }
}

#[cfg(test)]
mod tests {
    use overhand_common::{Error, ErrorKind, ids::Layout, message::Fin};

    use super::*;
    use crate::worker::net::push::at_once;

    fn push(attempt: u64, frame: u32, last: Option<Last>) -> Push {
        let key = ShardKey { shuffle: 1, shard: 0, epoch: 0 };
        let layout = Layout::new(4, 1).expect("in bounds");
        Push { key, layout, attempt: Attempt { map_index: 0, attempt }, frame, last, chain: vec![] }
    }

    fn taken() -> Verdict {
        Ok(Ack::default())
    }

    fn refused() -> Verdict {
        Err(Failure::new(Error::new(ErrorKind::Broken, "its chain broke")))
    }

    #[tokio::test]
    async fn a_frame_is_answered_after_the_one_before_it_and_other_attempts_do_not_wait() {
        let mut order = Order::new(10);
        let (first, mut second) = (order.next(&push(1, 0, None)), order.next(&push(1, 1, None)));
        let mut other = order.next(&push(2, 0, None));
        assert_eq!(other.turn(taken()).await, taken());
        let mut turn = Box::pin(second.turn(taken()));
        assert!(at_once(turn.as_mut()).await.is_none());
        first.answered(&taken());
        assert_eq!(turn.await, taken());
    }

    #[tokio::test]
    async fn nothing_after_a_refused_frame_is_acknowledged_but_itself_and_what_settles() {
        let mut order = Order::new(10);
        order.next(&push(1, 3, None)).answered(&refused());
        let mut after = order.next(&push(1, 4, None));
        assert_eq!(after.turn(taken()).await, refused());
        order.next(&push(1, 3, None)).answered(&refused());
        let mut again = order.next(&push(1, 3, None));
        assert_eq!(again.turn(taken()).await, taken());
        again.answered(&refused());
        let mut settles = order.next(&push(1, 4, Some(Last::Settled(Fin::default()))));
        assert_eq!(settles.turn(taken()).await, taken());
    }

    #[tokio::test]
    async fn attempts_that_never_end_are_forgotten_in_the_end() {
        let mut order = Order::new(10);
        let _waits = order.next(&push(0, 0, None));
        for attempt in 1..100 {
            let place = order.next(&push(attempt, 0, None));
            place.answered(&if attempt % 2 == 0 { taken() } else { refused() });
            assert!(order.last.len() <= 11);
        }
        assert!(order.last.contains_key(&(push(0, 0, None).key, push(0, 0, None).attempt)));
    }
}
