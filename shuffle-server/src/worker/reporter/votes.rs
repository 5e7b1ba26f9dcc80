//! Which applications a worker may delete: what its coordinators say, counted.

use std::collections::BTreeSet;

use overhand_common::ids::AppId;

/// How many deletions are kept for a coordinator that can't be told of them.
const UNTOLD: usize = 10_000;

/// The last word of every coordinator about the applications that the worker holds.
///
/// - One that says an application has ended has it from its driver: that is enough.
/// - A lease that expired at one coordinator may be alive at another: all must say so. One that can't be reached, or has
///   not answered since this worker started, says nothing, and so nothing expires: a cut network deletes no data.
#[derive(Debug)]
pub struct Votes {
    coordinators: Vec<Vote>,
}

#[derive(Debug, Default)]
struct Vote {
    /// What has expired there, by its last answer; none while it can't be reached.
    expired: Option<BTreeSet<AppId>>,
    /// What this worker deletes and has not told it.
    untold: BTreeSet<AppId>,
}

impl Votes {
    /// No word yet of this many coordinators.
    pub fn new(coordinators: usize) -> Self {
        Self { coordinators: (0..coordinators).map(|_| Vote::default()).collect() }
    }

    /// Coordinator `from` has answered a report; returns what may be deleted now.
    pub fn heard(&mut self, from: usize, ended: BTreeSet<AppId>, expired: BTreeSet<AppId>) -> BTreeSet<AppId> {
        self.coordinators[from].expired = Some(expired.clone());
        let is_expired = |app: &AppId| {
            self.coordinators.iter().all(|vote| vote.expired.as_ref().is_some_and(|expired| expired.contains(app)))
        };
        let mut gone: BTreeSet<AppId> = expired.into_iter().filter(is_expired).collect();
        gone.extend(ended);
        gone
    }

    /// Coordinator `from` did not answer: its last word counts no more.
    pub fn silent(&mut self, from: usize) {
        self.coordinators[from].expired = None;
    }

    /// The worker deletes this application: every coordinator is to know.
    pub fn deleting(&mut self, app: &AppId) {
        for vote in &mut self.coordinators {
            if vote.untold.len() < UNTOLD {
                vote.untold.insert(app.clone());
            }
        }
    }

    /// What coordinator `to` is to be told of deletions.
    pub fn untold(&self, to: usize) -> BTreeSet<AppId> {
        self.coordinators[to].untold.clone()
    }

    /// Coordinator `to` has been told of these.
    pub fn told(&mut self, to: usize, apps: &BTreeSet<AppId>) {
        self.coordinators[to].untold.retain(|app| !apps.contains(app));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apps(names: &[&str]) -> BTreeSet<AppId> {
        names.iter().map(|name| name.parse().expect("valid")).collect()
    }

    #[test]
    fn the_word_of_one_that_it_ended_is_enough() {
        let mut votes = Votes::new(3);
        assert_eq!(votes.heard(1, apps(&["a"]), apps(&["b"])), apps(&["a"]));
    }

    #[test]
    fn a_lease_has_expired_when_all_say_so() {
        let mut votes = Votes::new(2);
        assert_eq!(votes.heard(0, apps(&[]), apps(&["a", "b"])), apps(&[]), "the other has not spoken yet");
        assert_eq!(votes.heard(1, apps(&[]), apps(&[])), apps(&[]), "it is alive there");
        assert_eq!(votes.heard(0, apps(&[]), apps(&["a", "b"])), apps(&[]));
        assert_eq!(votes.heard(1, apps(&[]), apps(&["b"])), apps(&["b"]));
        assert_eq!(votes.heard(0, apps(&[]), apps(&["a"])), apps(&[]), "b is back there");
    }

    #[test]
    fn one_coordinator_decides_alone() {
        assert_eq!(Votes::new(1).heard(0, apps(&["a"]), apps(&["b"])), apps(&["a", "b"]));
    }

    #[test]
    fn what_one_said_before_it_fell_silent_counts_no_more() {
        let mut votes = Votes::new(2);
        votes.heard(0, apps(&[]), apps(&["a"]));
        votes.silent(0);
        assert_eq!(votes.heard(1, apps(&[]), apps(&["a"])), apps(&[]));
        assert_eq!(votes.heard(0, apps(&[]), apps(&["a"])), apps(&["a"]));
    }

    #[test]
    fn each_coordinator_is_told_once_of_a_deletion() {
        let mut votes = Votes::new(2);
        votes.deleting(&"a".parse().expect("valid"));
        let first = votes.untold(0);
        assert_eq!(first, apps(&["a"]));
        votes.deleting(&"b".parse().expect("valid"));
        votes.told(0, &first);
        assert_eq!((votes.untold(0), votes.untold(1)), (apps(&["b"]), apps(&["a", "b"])));
    }

    #[test]
    fn what_is_kept_for_one_that_never_answers_is_bounded() {
        let mut votes = Votes::new(1);
        (0..UNTOLD + 10).for_each(|at| votes.deleting(&format!("app-{at}").parse().expect("valid")));
        assert_eq!(votes.untold(0).len(), UNTOLD);
    }
}
