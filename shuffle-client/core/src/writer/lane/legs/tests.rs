use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Legs with a model of what is in each: which body is which frame.
struct Model {
    legs: Legs<u32>,
    given: u32,
    opened: usize,
    /// Per leg, the bodies that were sent there, by frame.
    sent: Vec<Vec<u32>>,
    fins: BTreeMap<usize, Fin>,
    /// Frames that nobody has answered: leg and number.
    unanswered: BTreeSet<(usize, u32)>,
    /// Bodies that were said to be done with, by leg.
    done: Vec<Vec<u32>>,
    broken: BTreeSet<usize>,
    settles: BTreeMap<usize, Fin>,
}

fn sums(body: u32) -> Fin {
    Fin { frames: 1, blocks: 2, bytes: u64::from(body) + 10, crc_xor: body.wrapping_mul(0x9e37_79b9) }
}

fn all(bodies: &[u32]) -> Fin {
    let mut fin = Fin::default();
    bodies.iter().for_each(|body| add(&mut fin, &sums(*body)));
    fin
}

impl Model {
    fn new() -> Self {
        let mut model = Self {
            legs: Legs::new(),
            given: 0,
            opened: 0,
            sent: vec![],
            fins: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            done: vec![],
            broken: BTreeSet::new(),
            settles: BTreeMap::new(),
        };
        model.open();
        model
    }

    fn open(&mut self) {
        self.legs.open();
        self.opened += 1;
        self.sent.push(vec![]);
        self.done.push(vec![]);
        self.go_on();
    }

    fn give(&mut self, last: bool) {
        self.legs.push(Piece { body: self.given, sums: sums(self.given), last });
        self.given += 1;
        self.go_on();
    }

    fn go_on(&mut self) {
        while let Some(next) = self.legs.next() {
            assert_eq!(next.leg, self.opened - 1, "only the current leg takes frames");
            let sent = &mut self.sent[next.leg];
            assert_eq!(next.frame as usize, sent.len(), "without gaps");
            sent.push(next.body);
            if let Some(fin) = next.fin {
                assert_eq!(fin, all(sent));
                self.fins.insert(next.leg, fin);
            } else {
                assert!(!self.fins.contains_key(&next.leg), "nothing comes after the last frame");
            }
            self.unanswered.insert((next.leg, next.frame));
        }
        for (leg, fin) in self.legs.take_ready() {
            assert!(self.settles.insert(leg, fin).is_none(), "once");
            assert!(leg < self.opened - 1);
        }
    }

    fn pick(&self, at: prop::sample::Index) -> Option<(usize, u32)> {
        let count = self.unanswered.len();
        (count > 0).then(|| *self.unanswered.iter().nth(at.index(count)).expect("counted"))
    }

    fn acknowledge(&mut self, at: prop::sample::Index) {
        let Some((leg, frame)) = self.pick(at) else { return };
        self.unanswered.remove(&(leg, frame));
        self.done[leg].extend(self.legs.acknowledged(leg, frame).iter().map(|piece| piece.body));
        self.go_on();
    }

    fn fail(&mut self, at: prop::sample::Index) {
        let Some((leg, frame)) = self.pick(at) else { return };
        self.unanswered.remove(&(leg, frame));
        assert_eq!(self.legs.broke(leg), self.broken.insert(leg), "it counts once");
        self.go_on();
        if self.legs.is_stuck() {
            self.open();
        }
    }

    fn split(&mut self) {
        if !self.legs.is_closed() {
            self.open();
        }
    }
}

#[derive(Debug, Clone)]
enum Event {
    Give,
    Acknowledge(prop::sample::Index),
    Fail(prop::sample::Index),
    Split,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => Just(Event::Give),
        4 => any::<prop::sample::Index>().prop_map(Event::Acknowledge),
        1 => any::<prop::sample::Index>().prop_map(Event::Fail),
        1 => Just(Event::Split),
    ];
    prop::collection::vec(event, 0..80)
}

impl Model {
    fn apply(&mut self, event: Event, give: bool) {
        match event {
            Event::Give if give => self.give(false),
            Event::Give => {}
            Event::Acknowledge(at) => self.acknowledge(at),
            Event::Fail(at) => self.fail(at),
            Event::Split => self.split(),
        }
        assert!(!self.legs.is_done() || self.unanswered.iter().all(|(leg, _)| self.broken.contains(leg)));
    }
}

proptest! {
    #[test]
    fn every_frame_ends_in_the_acknowledged_prefix_of_exactly_one_leg(
        before in events(),
        after in events(),
        order in prop::collection::vec(any::<prop::sample::Index>(), 400),
    ) {
        let mut model = Model::new();
        before.into_iter().for_each(|event| model.apply(event, true));
        model.give(true);
        after.into_iter().for_each(|event| model.apply(event, false));
        order.into_iter().for_each(|at| model.acknowledge(at));
        prop_assert!(model.unanswered.is_empty());

        let mut once = BTreeSet::new();
        for (leg, done) in model.done.iter().enumerate() {
            prop_assert_eq!(&model.sent[leg][..done.len()], &done[..], "a prefix, in order");
            prop_assert!(done.iter().all(|body| once.insert(*body)), "in one leg only");
            let closed = model.fins.get(&leg).is_some_and(|fin| fin.frames as usize == done.len());
            let settled = model.settles.get(&leg);
            if done.is_empty() || leg + 1 == model.opened {
                prop_assert!(settled.is_none());
                prop_assert!(done.is_empty() || closed);
            } else {
                prop_assert_eq!(settled, Some(&all(done)));
            }
        }
        prop_assert_eq!(once.len() as u32, model.given);
        prop_assert_eq!(model.legs.is_done(), model.settles.is_empty());
        let settles: Vec<usize> = model.settles.keys().copied().collect();
        settles.into_iter().for_each(|leg| model.legs.settled(leg));
        prop_assert!(model.legs.is_done());
    }
}

#[test]
fn a_late_answer_of_a_broken_leg_moves_nothing() {
    let mut model = Model::new();
    (0..3).for_each(|_| model.give(false));
    assert_eq!(model.legs.acknowledged(0, 0).len(), 1);
    assert!(model.legs.broke(0) && !model.legs.broke(0) && model.legs.is_stuck());
    assert!(model.legs.acknowledged(0, 1).is_empty());
    model.open();
    assert_eq!(model.sent[1], [1, 2]);
}

#[test]
fn the_last_frame_waits_for_what_is_under_way_in_earlier_legs() {
    let mut model = Model::new();
    model.give(false);
    model.open();
    model.give(true);
    assert!(model.sent[1].is_empty());
    assert!(model.legs.broke(0), "the frame comes before the last one");
    model.go_on();
    assert_eq!(model.sent[1], [0, 1]);
    assert_eq!(model.fins[&1], all(&[0, 1]));
}
