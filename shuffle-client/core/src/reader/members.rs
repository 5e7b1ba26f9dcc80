//! Whom to ask for an epoch of a shard: each member of its chain once, and only then those again whose connection
//! broke. Plain state, told what became of each fetch.

use crate::{Epoch, Error, ErrorKind, Place};

/// So many connections to one member in a row may break before anything came over them.
const MAX_BARREN: u32 = 6;

/// How far it has got with one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not asked yet.
    Fresh,
    /// Being asked.
    Asked,
    /// Its connection broke, or another one was faster: it may be asked again.
    Broke,
    /// It refused, or is gone.
    Failed,
    /// It sent all that it has.
    Read,
}

#[derive(Debug, Clone)]
struct Member {
    place: Place,
    state: State,
    /// Connections in a row over which nothing came.
    barren: u32,
    /// The driver took it out of the chain: it is not worth asking, at least not again.
    replaced: bool,
    /// It was asked once more because something was damaged.
    repeated: bool,
    /// Why it is not the one that had everything.
    said: Option<Error>,
}

impl Member {
    fn new(place: &Place) -> Self {
        let place = place.clone();
        Self { place, state: State::Fresh, barren: 0, replaced: false, repeated: false, said: None }
    }

    fn is_fresh(&self) -> bool {
        self.state == State::Fresh && !self.replaced
    }

    fn may_come_back(&self) -> bool {
        self.state == State::Broke && !self.replaced && self.barren <= MAX_BARREN
    }
}

/// The members of one epoch's chain, and what was heard from each.
#[derive(Debug, Clone)]
pub struct Members {
    /// The epoch's number.
    pub epoch: u32,
    members: Vec<Member>,
    /// Whose turn it is to be asked first.
    turn: usize,
}

/// Who is asked next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The member, by its place among the members.
    pub member: usize,
    /// Nobody of this epoch was asked before.
    pub first: bool,
    /// Everybody else was asked before, and so was this one.
    pub again: bool,
}

impl Members {
    /// All of an epoch's chain; `turn` says who is asked first.
    pub fn new(epoch: &Epoch, turn: usize) -> Self {
        Self { epoch: epoch.epoch, members: epoch.chain.iter().map(Member::new).collect(), turn }
    }

    /// Who is to be asked next, from now on being asked: somebody new, if possible none to `avoid`; else somebody
    /// whose connection broke.
    pub fn ask(&mut self, avoid: impl Fn(&Place) -> bool) -> Option<Ask> {
        let count = self.members.len();
        let fresh = (0..count).map(|at| (at + self.turn) % count).filter(|at| self.members[*at].is_fresh());
        let fresh = fresh.min_by_key(|at| avoid(&self.members[*at].place));
        let broke = || {
            let broke = (0..count).filter(|at| self.members[*at].may_come_back());
            broke.min_by_key(|at| self.members[*at].barren)
        };
        let member = fresh.or_else(broke)?;
        let first = self.members.iter().all(|member| member.state == State::Fresh);
        self.members[member].state = State::Asked;
        Some(Ask { member, first, again: fresh.is_none() })
    }

    /// Whether there is anybody left to ask.
    pub fn can_ask(&self) -> bool {
        self.members.iter().any(|member| member.is_fresh() || member.may_come_back())
    }

    /// Whether somebody is left who was never asked.
    pub fn has_fresh(&self) -> bool {
        self.members.iter().any(Member::is_fresh)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Where they are.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.members.iter().map(|member| &member.place)
    }

    /// Where a member is.
    pub fn place(&self, member: usize) -> &Place {
        &self.members[member].place
    }

    /// Something came from a member.
    pub fn answered(&mut self, member: usize) {
        self.members[member].barren = 0;
    }

    /// A member's connection broke.
    pub fn broke(&mut self, member: usize, error: Error) {
        let member = &mut self.members[member];
        member.barren += 1;
        member.said = Some(error);
        member.state = State::Broke;
    }

    /// Another member was faster.
    pub fn beaten(&mut self, member: usize) {
        self.members[member].state = State::Broke;
    }

    /// A member refused, or is out of reach for good.
    pub fn failed(&mut self, member: usize, error: Error) {
        let member = &mut self.members[member];
        member.said = Some(error);
        member.state = State::Failed;
    }

    /// A member sent all that it has; `said` if that was less than there should be.
    pub fn read(&mut self, member: usize, said: Option<Error>) {
        let member = &mut self.members[member];
        member.said = said;
        member.state = State::Read;
    }

    /// Whether a member that sent damaged blocks is to be asked once more: they may have been damaged on the way.
    pub fn repeats(&mut self, member: usize) -> bool {
        !std::mem::replace(&mut self.members[member].repeated, true)
    }

    /// The driver has changed the chain: new members may be asked, those that were replaced are not.
    pub fn learn(&mut self, chain: &[Place]) {
        for member in &mut self.members {
            member.replaced = !chain.contains(&member.place);
        }
        let new = |place: &&Place| self.members.iter().all(|member| member.place != **place);
        let new: Vec<Member> = chain.iter().filter(new).map(Member::new).collect();
        self.members.extend(new);
    }

    /// The error of the last member that failed, if every one of them did.
    pub fn all_failed(&self) -> Option<&Error> {
        let all = self.members.iter().all(|member| match member.state {
            State::Broke | State::Failed => true,
            State::Fresh => member.replaced,
            State::Asked | State::Read => false,
        });
        self.members.iter().rev().find_map(|member| member.said.as_ref()).filter(|_| all)
    }

    /// The members that are out of reach or answer nothing.
    pub fn gone(&self) -> impl Iterator<Item = &Place> {
        let gone = |member: &&Member| {
            matches!(member.state, State::Broke | State::Failed) && member.said.as_ref().is_some_and(is_gone)
        };
        self.members.iter().filter(gone).map(|member| &member.place)
    }

    /// Each member and what is known of it, for people.
    pub fn said(&self) -> impl Iterator<Item = String> {
        self.members.iter().map(|Member { place, said, .. }| match said {
            Some(error) => format!("{}: {}", place.address, error.message()),
            None => format!("{}: it does not have all of it", place.address),
        })
    }
}

/// Whether an error is about the worker, not only about what it was asked for.
pub fn is_gone(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Retry | ErrorKind::Stale | ErrorKind::Backpressure | ErrorKind::Closed | ErrorKind::Broken => true,
        ErrorKind::NotFound | ErrorKind::DataLost | ErrorKind::Invalid | ErrorKind::Denied | ErrorKind::Internal => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::WorkerId;

    fn place(number: usize) -> Place {
        let worker = WorkerId { id: uuid::Uuid::from_u128(number as u128), incarnation: 1 };
        Place { worker, address: format!("worker-{number}:1") }
    }

    fn members(count: usize, turn: usize) -> Members {
        Members::new(&Epoch { epoch: 3, chain: (0..count).map(place).collect() }, turn)
    }

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "no")
    }

    proptest! {
        #[test]
        fn all_are_asked_once_before_any_is_asked_again_and_it_ends(
            (count, turn, avoided) in (1usize..5, 0usize..9, 0usize..5),
            outcomes in proptest::collection::vec(0u8..8, 60),
            parallel in 1usize..3,
        ) {
            let mut members = members(count, turn);
            let mut asking: Vec<usize> = vec![];
            let mut asked = vec![0u32; count];
            let mut over = vec![false; count];
            for outcome in outcomes {
                while asking.len() < parallel {
                    let can_ask = members.can_ask();
                    let next = members.ask(|other| *other == place(avoided));
                    prop_assert_eq!(can_ask, next.is_some());
                    let Some(ask) = next else { break };
                    prop_assert!(!asking.contains(&ask.member) && !over[ask.member]);
                    prop_assert_eq!(ask.first, asked.iter().all(|times| *times == 0));
                    prop_assert_eq!(ask.again, asked.iter().all(|times| *times > 0));
                    asked[ask.member] += 1;
                    prop_assert!(asked[ask.member] <= MAX_BARREN + 1);
                    asking.push(ask.member);
                }
                let Some(member) = asking.pop() else { break };
                match outcome {
                    0 => members.failed(member, error(ErrorKind::DataLost)),
                    1 => members.read(member, None),
                    _ => members.broke(member, error(ErrorKind::Retry)),
                }
                over[member] = outcome < 2;
            }
            if asking.is_empty() && members.ask(|_| false).is_none() {
                prop_assert!(asked.iter().all(|times| *times > 0), "{:?}", asked);
            }
        }
    }

    #[test]
    fn turns_rotate_and_who_is_avoided_comes_last() {
        let first = |turn, avoid| members(3, turn).ask(|place| place.address == avoid).map(|ask| ask.member);
        let found: Vec<_> = (0..4).map(|turn| first(turn, "")).collect();
        assert_eq!(found, [Some(0), Some(1), Some(2), Some(0)]);
        assert_eq!(first(1, "worker-1:1"), Some(2));
    }

    #[test]
    fn progress_makes_a_member_worth_asking_again() {
        let mut members = members(1, 0);
        for _ in 0..3 * MAX_BARREN {
            let ask = members.ask(|_| false).expect("there is progress");
            members.answered(ask.member);
            members.broke(ask.member, error(ErrorKind::Retry));
        }
        for _ in 0..MAX_BARREN {
            let ask = members.ask(|_| false).expect("not too often yet");
            members.broke(ask.member, error(ErrorKind::Retry));
        }
        assert_eq!(members.ask(|_| false), None);
        assert_eq!(members.all_failed(), Some(&error(ErrorKind::Retry)));
        assert_eq!(members.gone().count(), 1);
    }

    #[test]
    fn a_changed_chain_brings_new_members_and_gives_up_replaced_ones() {
        let mut members = members(2, 0);
        let first = members.ask(|_| false).expect("fresh").member;
        members.read(first, None);
        members.learn(&[place(0), place(5)]);
        let next = members.ask(|_| false).expect("the new one");
        assert_eq!((members.place(next.member), next.again), (&place(5), false));
        members.failed(next.member, error(ErrorKind::Stale));
        assert_eq!(members.ask(|_| false), None, "the second was replaced");
        assert_eq!((members.all_failed(), members.gone().count()), (None, 1));
    }
}
