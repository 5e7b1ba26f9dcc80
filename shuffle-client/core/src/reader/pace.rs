//! How soon workers answer fetches, as this client has learned: when to ask somebody else as well, and whom to ask
//! last.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::Place;

/// Until something was learned.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const SHORTEST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// A delay is this often what nearly all took of late.
const PATIENCE: u32 = 4;
/// So many answers are remembered, and the delay is learned anew after so many.
const REMEMBERED: usize = 128;
const LEARNED_EVERY: usize = 16;
/// So many hedges may be sent before answers earn new ones, each a part of one: when all workers are slow, asking
/// twice makes them slower.
const HEDGES: u32 = 64;
const ANSWERS_FOR_A_HEDGE: u32 = 8;
/// So long a worker that failed is asked after the others.
const AVOIDED_FOR: Duration = Duration::from_secs(10);

/// What a client's readers have learned together.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    recent: Vec<Duration>,
    answers: usize,
    delay: Duration,
    /// Hedges that may be sent, in parts that an answer earns.
    hedges: u32,
    avoided: HashMap<Place, Instant>,
}

impl Default for State {
    fn default() -> Self {
        let (recent, avoided) = (Vec::new(), HashMap::new());
        Self { recent, answers: 0, delay: FIRST_DELAY, hedges: HEDGES * ANSWERS_FOR_A_HEDGE, avoided }
    }
}

impl Pace {
    /// The first bytes of a fetch came `after` it was asked for.
    pub(super) fn answered(&self, after: Duration) {
        let mut state = self.0.lock();
        let State { recent, answers, hedges, .. } = &mut *state;
        match recent.len() {
            REMEMBERED => recent[*answers % REMEMBERED] = after,
            _ => recent.push(after),
        }
        *answers += 1;
        *hedges = (*hedges + 1).min(HEDGES * ANSWERS_FOR_A_HEDGE);
        if *answers % LEARNED_EVERY == 0 {
            let mut sorted = recent.clone();
            sorted.sort_unstable();
            let nearly_all = sorted[sorted.len() * 95 / 100];
            state.delay = (nearly_all * PATIENCE).clamp(SHORTEST_DELAY, LONGEST_DELAY);
        }
    }

    /// How long a fetch may bring nothing before somebody else is asked as well.
    pub(super) fn delay(&self) -> Duration {
        self.0.lock().delay
    }

    /// Whether a hedge may be sent; it is counted.
    pub(super) fn may_hedge(&self) -> bool {
        let mut state = self.0.lock();
        let left = state.hedges.checked_sub(ANSWERS_FOR_A_HEDGE);
        state.hedges = left.unwrap_or(state.hedges);
        left.is_some()
    }

    /// A worker is out of reach, or was much slower than another.
    pub(super) fn avoid(&self, place: &Place) {
        let mut state = self.0.lock();
        state.avoided.retain(|_, since| since.elapsed() < AVOIDED_FOR);
        state.avoided.insert(place.clone(), Instant::now());
    }

    /// Whether a worker is to be asked after the others.
    pub(super) fn avoided(&self, place: &Place) -> bool {
        self.0.lock().avoided.get(place).is_some_and(|since| since.elapsed() < AVOIDED_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_follows_what_nearly_all_took_within_its_bounds() {
        let pace = Pace::default();
        assert_eq!(pace.delay(), FIRST_DELAY);
        let learn = |millis: u64| (0..REMEMBERED).for_each(|_| pace.answered(Duration::from_millis(millis)));
        learn(100);
        assert_eq!(pace.delay(), Duration::from_millis(400));
        learn(1);
        assert_eq!(pace.delay(), SHORTEST_DELAY);
        (0..4).for_each(|_| pace.answered(Duration::from_secs(5)));
        assert_eq!(pace.delay(), SHORTEST_DELAY, "a few slow ones do not count");
        learn(9000);
        assert_eq!(pace.delay(), LONGEST_DELAY);
    }

    #[test]
    fn hedges_are_earned_by_answers() {
        let pace = Pace::default();
        assert_eq!((0..2 * HEDGES).filter(|_| pace.may_hedge()).count(), HEDGES as usize);
        (0..ANSWERS_FOR_A_HEDGE).for_each(|_| pace.answered(Duration::ZERO));
        assert_eq!([pace.may_hedge(), pace.may_hedge()], [true, false]);
    }
}
