//! What to do when a fetch has ended.

use std::time::Instant;

use super::{Active, Fetches, Next, Read, Step};
use crate::{
    Error, ErrorKind,
    link::fetch::What,
    reader::{
        members::{Ask, is_gone},
        wanted::Wanted,
    },
};

impl Fetches {
    /// A fetch has ended, one way or another.
    pub(super) fn ended(&mut self, active: Active, end: What, wanted: &Wanted) {
        let Active { read, member, .. } = active;
        let (error, for_good) = match end {
            What::Data(..) => return,
            What::End(sent) if sent == active.received => return self.sent_all(active, wanted),
            What::End(sent) => {
                let text = format!("{sent} bytes were sent, {} came", active.received);
                (Error::new(ErrorKind::Retry, text), false)
            }
            What::Broken(error) => (error, false),
            What::Failed(error) => (error, true),
        };
        let members = self.shards.members(read);
        match error.kind() {
            ErrorKind::Denied | ErrorKind::Invalid => {
                let place = members.place(member).clone();
                return self.steps.push_back(Step::Refused(read.shard, place, error));
            }
            // An epoch that got nothing of this shard; if it should have, another member may.
            ErrorKind::NotFound => {
                members.read(member, Some(error));
                return self.go_on_without(read, wanted);
            }
            _ => {
                if is_gone(&error) {
                    self.client.pace.avoid(members.place(member));
                }
                if for_good { members.failed(member, error) } else { members.broke(member, error) }
            }
        }
        let alone = self.on(read).next().is_none() && !self.whole(read.shard, wanted);
        match if alone { self.ask(read) } else { None } {
            Some(ask) => self.open(read, ask, false, wanted),
            None => self.go_on_without(read, wanted),
        }
    }

    /// A member sent all that it has of an epoch.
    fn sent_all(&mut self, active: Active, wanted: &Wanted) {
        let Active { read, member, damage, .. } = active;
        if active.received == 0 {
            self.client.pace.answered(active.asked.elapsed());
        }
        let members = self.shards.members(read);
        let again = damage.is_some() && members.repeats(member) && !self.whole(read.shard, wanted);
        if let Some(damage) = damage {
            self.shards.damaged(read.shard, damage);
        }
        if again {
            let ask = Ask { member, first: false, again: false };
            return self.open(read, ask, false, wanted);
        }
        self.shards.members(read).read(member, None);
        let beaten: Vec<u64> = self.on(read).collect();
        for id in beaten {
            self.cancel(id);
        }
        self.review(read.shard, wanted);
    }

    /// Stops a fetch that is not needed any more.
    pub(super) fn cancel(&mut self, id: u64) {
        let Some(active) = self.active.remove(&id) else { return };
        active.link.cancel(active.stream);
        let members = self.shards.members(active.read);
        if active.late && active.received == 0 {
            self.client.pace.avoid(members.place(active.member));
        }
        members.beaten(active.member);
    }

    /// A fetch of an epoch has ended without all of it, and none takes its place; if another one runs, that has all of
    /// the window from now on.
    fn go_on_without(&mut self, read: Read, wanted: &Wanted) {
        self.review(read.shard, wanted);
        let Some(other) = self.on(read).next() else { return };
        let window = self.window_of(read);
        let active = self.active.get_mut(&other).expect("found there");
        active.late = false;
        active.since = Instant::now();
        active.widen(window);
    }

    /// A fetch of a shard has ended: is the shard whole, or is there nothing more to read?
    pub(super) fn review(&mut self, shard: u32, wanted: &Wanted) {
        if self.whole(shard, wanted) {
            let needless: Vec<u64> = self.of(shard).collect();
            for id in needless {
                self.cancel(id);
            }
            self.shards.close(shard);
            self.steps.push_back(Step::Whole(shard));
        } else if self.of(shard).next().is_none() && !self.shards.queues(shard) {
            match self.shards.go_on(shard) {
                Next::Read => {}
                Next::AskDriver if self.client.placements.can_ask() => self.ask_driver(),
                Next::AskDriver => self.steps.push_back(Step::Lost(shard)),
            }
        }
    }
}
