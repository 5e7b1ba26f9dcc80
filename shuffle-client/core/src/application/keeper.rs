//! How the lease with one coordinator is kept: what to say to it next, and when. Pure.

use std::time::Duration;

use crate::{Error, ErrorKind};

/// The least time between two words to one coordinator.
pub const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
/// A lease may be long; what happens to workers should be known soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// The lease with one coordinator.
#[derive(Debug, Default)]
pub struct Keeper {
    /// It has given a lease, and so it gave a token.
    known: bool,
    lease: Duration,
    failing: bool,
}

impl Keeper {
    /// Whether a token that is good is enough to keep the lease; else the application is registered.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Whether to register at once where the lease can't be kept for this reason: a coordinator that was started again
    /// knows nothing of the application yet.
    pub fn registers_anew(error: &Error) -> bool {
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied)
    }

    /// The coordinator gave a lease for so long.
    pub fn kept(&mut self, lease: Duration) {
        *self = Self { known: true, lease, failing: false };
    }

    /// It gave none; returns whether it did the last time.
    pub fn failed(&mut self) -> bool {
        !std::mem::replace(&mut self.failing, true)
    }

    /// How long until the next word, if nobody asks for it before.
    pub fn pause(&self) -> Duration {
        (self.lease / if self.failing { 12 } else { 3 }).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_fails_is_asked_more_often_and_told_of_once() {
        let mut keeper = Keeper::default();
        assert!(keeper.failed() && !keeper.failed());
        assert!(!keeper.is_known());
        keeper.kept(Duration::from_secs(6));
        assert_eq!(keeper.pause(), Duration::from_secs(2));
        assert!(keeper.failed());
        assert_eq!(keeper.pause(), Duration::from_millis(500));
        assert!(keeper.is_known());
    }

    #[test]
    fn a_long_lease_does_not_make_for_old_news_and_a_short_one_for_no_storm() {
        let mut keeper = Keeper::default();
        keeper.kept(Duration::from_secs(3600));
        assert_eq!(keeper.pause(), LONGEST_PAUSE);
        keeper.kept(Duration::from_millis(1));
        assert_eq!(keeper.pause(), SHORTEST_PAUSE);
    }
}
