//! What is left to read of each shard: which of its epochs, and of whom. Plain state; who holds it does the asking.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::members::Members;
use crate::{Epoch, Error, ErrorKind, Place, Placement};

/// One epoch of one shard, to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Read {
    pub shard: u32,
    /// The epoch's place in its shard.
    epoch: usize,
}

#[derive(Debug)]
struct Shard {
    epochs: Vec<Members>,
    /// Whose turn it is to be asked first in its chains.
    turn: usize,
    /// It waits for the driver's answer.
    waits: bool,
    damage: Option<String>,
}

/// What there is to do about a shard that is not whole, none of whose epochs is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Reads were queued.
    Read,
    /// Everybody was asked: the driver may know more.
    AskDriver,
}

/// The shards that are being read.
#[derive(Debug, Default)]
pub struct Shards {
    open: BTreeMap<u32, Shard>,
    queue: VecDeque<Read>,
}

impl Shards {
    /// Reads all epochs of a shard; `turn` says which member of a chain is asked first.
    pub fn add(&mut self, shard: u32, epochs: &[Epoch], turn: usize) {
        let members = epochs.iter().map(|epoch| Members::new(epoch, turn)).collect();
        self.queue.extend((0..epochs.len()).map(|epoch| Read { shard, epoch }));
        self.open.insert(shard, Shard { epochs: members, turn, waits: false, damage: None });
    }

    /// How many reads are to be started.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The next read to be started.
    pub fn pop(&mut self) -> Option<Read> {
        self.queue.pop_front()
    }

    /// Whether reads of a shard are to be started.
    pub fn queues(&self, shard: u32) -> bool {
        self.queue.iter().any(|read| read.shard == shard)
    }

    /// Who has what a read is after.
    pub fn members(&mut self, read: Read) -> &mut Members {
        let shard = self.open.get_mut(&read.shard).expect("a shard is open while it is read");
        &mut shard.epochs[read.epoch]
    }

    /// Notes that a shard's blocks were damaged.
    pub fn damaged(&mut self, shard: u32, damage: String) {
        if let Some(shard) = self.open.get_mut(&shard) {
            shard.damage = Some(damage);
        }
    }

    /// A shard is whole: nothing more of it is read.
    pub fn close(&mut self, shard: u32) {
        self.open.remove(&shard);
        self.queue.retain(|read| read.shard != shard);
    }

    /// Nothing is being read of a shard that is not whole: queues what may help.
    pub fn go_on(&mut self, shard: u32) -> Next {
        let Some(open) = self.open.get_mut(&shard) else { return Next::Read };
        let helpful = (0..open.epochs.len()).filter(|epoch| open.epochs[*epoch].can_ask());
        let before = self.queue.len();
        self.queue.extend(helpful.map(|epoch| Read { shard, epoch }));
        open.waits = self.queue.len() == before;
        if open.waits { Next::AskDriver } else { Next::Read }
    }

    /// Whether a shard waits for the driver.
    pub fn waits(&self) -> bool {
        self.open.values().any(|shard| shard.waits)
    }

    /// The shards that waited for the driver until now.
    pub fn wake(&mut self) -> Vec<u32> {
        let waiting = self.open.iter_mut().filter(|(_, shard)| shard.waits);
        let woken = waiting.map(|(number, shard)| {
            shard.waits = false;
            *number
        });
        woken.collect()
    }

    /// Takes what is new in the placement: epochs and members.
    pub fn learn(&mut self, placement: &Placement) {
        for (number, shard) in &mut self.open {
            for epoch in &placement.shards[*number as usize] {
                match shard.epochs.iter_mut().find(|members| members.epoch == epoch.epoch) {
                    Some(members) => members.learn(&epoch.chain),
                    None => shard.epochs.push(Members::new(epoch, shard.turn)),
                }
            }
        }
    }

    /// What was heard of a shard that is lost, for people.
    pub fn why(&self, shard: u32) -> String {
        let Some(shard) = self.open.get(&shard) else { return String::new() };
        let said: Vec<String> = shard.epochs.iter().flat_map(Members::said).collect();
        let damage = shard.damage.as_ref().map(|damage| format!(" (damaged: {damage})"));
        format!("{}{}", said.join("; "), damage.unwrap_or_default())
    }

    /// A fault that kept all members of an epoch from answering: none that running map tasks again would cure.
    pub fn fault(&self, shard: u32) -> Option<&Error> {
        let epochs = self.open.get(&shard).into_iter().flat_map(|shard| &shard.epochs);
        epochs.filter_map(Members::all_failed).find(|error| error.kind() == ErrorKind::Internal)
    }

    /// The shards all of whose epochs were only with members that are gone.
    pub fn gone(&self) -> Vec<u32> {
        let gone: HashSet<&Place> =
            self.open.values().flat_map(|shard| shard.epochs.iter().flat_map(Members::gone)).collect();
        let lost = |shard: &Shard| shard.epochs.iter().all(|members| members.places().all(|at| gone.contains(at)));
        self.open.iter().filter(|(_, shard)| lost(shard)).map(|(number, _)| *number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layout, WorkerId};

    fn epoch(number: u32, chain: &[u128]) -> Epoch {
        let place = |id: &u128| Place {
            worker: WorkerId { id: uuid::Uuid::from_u128(*id), incarnation: 1 },
            address: format!("worker-{id}:1"),
        };
        Epoch { epoch: number, chain: chain.iter().map(place).collect() }
    }

    fn out_of_reach() -> Error {
        Error::new(ErrorKind::Retry, "out of reach")
    }

    /// Starts all queued reads, each of which fails like this.
    fn fail_all(shards: &mut Shards, error: &Error) -> usize {
        let mut count = 0;
        while let Some(read) = shards.pop() {
            let ask = shards.members(read).ask(|_| false).expect("queued because it helps");
            shards.members(read).failed(ask.member, error.clone());
            count += 1;
        }
        count
    }

    #[test]
    fn every_epoch_is_read_then_every_other_member_then_the_driver_is_asked() {
        let mut shards = Shards::default();
        shards.add(4, &[epoch(0, &[1, 2]), epoch(1, &[3, 4, 5])], 1);
        assert_eq!((fail_all(&mut shards, &out_of_reach()), shards.go_on(4)), (2, Next::Read));
        assert_eq!((fail_all(&mut shards, &out_of_reach()), shards.go_on(4)), (2, Next::Read));
        assert!(!shards.waits());
        assert_eq!((fail_all(&mut shards, &out_of_reach()), shards.go_on(4)), (1, Next::AskDriver));
        assert!(shards.waits());
        let newer = Placement {
            version: 1,
            app: "app".parse().expect("valid"),
            shuffle: 1,
            layout: Layout::new(10, 5).expect("in bounds"),
            token: String::new(),
            token_expires: 0,
            coordinators: vec![],
            shards: vec![vec![epoch(0, &[1, 6]), epoch(1, &[3, 4, 5]), epoch(7, &[1])]; 5],
        };
        shards.learn(&newer);
        assert_eq!(shards.wake(), [4]);
        assert_eq!((shards.go_on(4), fail_all(&mut shards, &out_of_reach())), (Next::Read, 2));
        assert_eq!(shards.go_on(4), Next::AskDriver);
        shards.learn(&newer);
        assert_eq!(shards.go_on(4), Next::AskDriver, "the same again is nothing new");
    }

    #[test]
    fn only_shards_that_nobody_else_has_go_with_a_worker() {
        let mut shards = Shards::default();
        shards.add(0, &[epoch(0, &[1])], 0);
        assert_eq!(fail_all(&mut shards, &out_of_reach()), 1);
        shards.add(1, &[epoch(0, &[1])], 0);
        shards.add(2, &[epoch(0, &[1, 2])], 0);
        shards.add(3, &[epoch(0, &[1]), epoch(1, &[2])], 0);
        assert_eq!(shards.gone(), [0, 1]);
        shards.close(1);
        assert_eq!((shards.gone(), shards.queues(1), shards.queued()), (vec![0], false, 3));
    }

    #[test]
    fn a_fault_is_told_from_a_loss() {
        let mut shards = Shards::default();
        shards.add(0, &[epoch(0, &[1]), epoch(1, &[2])], 0);
        fail_all(&mut shards, &Error::new(ErrorKind::NotFound, "not here"));
        assert_eq!((shards.fault(0), shards.gone()), (None, vec![]));
        assert_eq!(shards.why(0), "worker-1:1: not here; worker-2:1: not here");
        shards.add(0, &[epoch(0, &[1, 2])], 0);
        fail_all(&mut shards, &Error::new(ErrorKind::Internal, "a fault"));
        assert_eq!(shards.fault(0), None, "another member may have it");
    }
}
