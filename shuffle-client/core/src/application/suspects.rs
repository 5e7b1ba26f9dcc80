//! Workers that tasks complained about: they get no new data for a while. Pure.
//!
//! The coordinators may still hear of such a worker while its clients don't, so the view alone can't say that it is
//! well again. It is tried again after [`FIRST`]; each time that it is complained about anew it is avoided for twice as
//! long as before, up to [`LONGEST`]. One that was started again is forgiven; a newer incarnation is another worker, which
//! nobody has complained about.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::WorkerId;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(80);
/// Without a complaint for that long after it was tried again, a worker has a clean slate.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// Who is avoided.
#[derive(Debug, Default)]
pub struct Suspects(HashMap<WorkerId, Suspicion>);

#[derive(Debug)]
struct Suspicion {
    since: Instant,
    lasts: Duration,
    /// The last complaint.
    last: Instant,
}

impl Suspicion {
    fn until(&self) -> Instant {
        self.since + self.lasts
    }
}

impl Suspects {
    /// Somebody complains about `worker`. Complaints while it is avoided anyway don't make it longer: many tasks meet the
    /// same failure.
    pub fn add(&mut self, worker: WorkerId, now: Instant) {
        self.0.retain(|_, suspicion| now < suspicion.until() + FORGOTTEN_AFTER);
        let suspicion = self.0.entry(worker).or_insert(Suspicion { since: now, lasts: FIRST, last: now });
        suspicion.last = now;
        if suspicion.until() <= now {
            (suspicion.since, suspicion.lasts) = (now, (suspicion.lasts * 2).min(LONGEST));
        }
    }

    /// There is no reason any more to avoid `worker`.
    pub fn forgive(&mut self, worker: &WorkerId) {
        self.0.remove(worker);
    }

    /// When somebody complained last about `worker`, if it is avoided.
    pub fn last(&self, worker: &WorkerId, now: Instant) -> Option<Instant> {
        self.0.get(worker).filter(|suspicion| now < suspicion.until()).map(|suspicion| suspicion.last)
    }

    /// When the next one may be tried again.
    pub fn next_end(&self, now: Instant) -> Option<Instant> {
        self.0.values().map(Suspicion::until).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_is_tried_again_and_avoided_longer_when_it_fails_again() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let worker = WorkerId { id: uuid::Uuid::from_u128(1), incarnation: 1 };
        let mut suspects = Suspects::default();
        suspects.add(worker, start);
        suspects.add(worker, at(5));
        assert_eq!(suspects.last(&worker, at(9)), Some(at(5)));
        assert_eq!(suspects.last(&worker, at(10)), None);
        suspects.add(worker, at(20));
        assert_eq!(suspects.last(&worker, at(39)), Some(at(20)));
        assert_eq!(suspects.next_end(at(39)), Some(at(40)));
        assert_eq!(suspects.last(&worker, at(40)), None);
        for _ in 0..10 {
            suspects.add(worker, at(1000));
        }
        assert_eq!(suspects.next_end(at(1000)), Some(at(1010)), "a clean slate");
        assert_eq!(suspects.last(&WorkerId { incarnation: 2, ..worker }, at(1000)), None);
    }
}
