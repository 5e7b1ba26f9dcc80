//! One attempt's way to one shard, through as many epochs as it takes.
//!
//! # Parts
//! - [`Lane`]: takes frames from the writer, hears from links what became of them, and never waits.
//! - `legs`: which frames went to which epoch; plain state.
//! - `route`: one epoch's link and chain.
//! - `seek`: asks for the next epoch when a chain broke or a shard has grown too large.
//! - `settle`: what was acknowledged in an epoch that was left is confirmed by one of its workers.
//!
//! # When a chain breaks
//! Whoever notices first (a link that can't be made, a worker that refuses) tells the lane. It closes the leg: what was
//! acknowledged in order until then stays there, all else goes again to the newest epoch, as frames numbered from 0, the
//! same bodies. Late answers for the closed leg are not listened to. A worker may so hold more than was promised,
//! and a block may be in two epochs: readers drop repeats.
//!
//! # The end
//! Everything that is owed holds a place in the writer's [`Flow`]: frames while they are under way or wait for the next
//! epoch, and each leg that is being settled, from before its last frame leaves. So an empty flow means that all is done.
//!
//! # Locks
//! A lane's state before its links' and its flow's. Owners are told with nothing locked.

mod legs;
mod route;
mod seek;
mod settle;

#[cfg(feature = "sim")]
pub(crate) mod sim {
    pub use super::legs::{Legs, Next as NextFrame, Piece};
}

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use overhand_common::message::{Ack, Fin};
use parking_lot::Mutex;

use self::{
    legs::{Legs, Piece},
    route::Route,
};
use crate::{
    Attempt, Error, ErrorKind, Placement, Trouble,
    client::{Shared, count},
    link::{
        flow::Flow,
        frame::{Body, Failed},
    },
};

/// The way of one attempt's frames to one shard.
#[derive(Debug)]
pub(super) struct Lane {
    client: Arc<Shared>,
    flow: Arc<Flow>,
    attempt: Attempt,
    shard: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The newest that the lane knows.
    placement: Arc<Placement>,
    legs: Legs<Arc<Body>>,
    /// Per leg, how to get there.
    routes: Vec<Arc<Route>>,
    /// Why the next epoch is needed.
    trouble: Option<Trouble>,
    /// A task seeks it.
    seeking: bool,
    /// Legs in a row that broke before anything was acknowledged, and when the first of them did.
    barren: u32,
    barren_since: Option<Instant>,
}

impl Lane {
    /// A lane that starts in the newest epoch of `shard` that is known.
    pub(super) fn start(
        client: &Arc<Shared>,
        placement: &Arc<Placement>,
        attempt: Attempt,
        shard: u32,
        flow: &Arc<Flow>,
    ) -> Arc<Self> {
        let lane = Arc::new(Self {
            client: Arc::clone(client),
            flow: Arc::clone(flow),
            attempt,
            shard,
            state: Mutex::new(State {
                placement: client.placements.newest(placement),
                legs: Legs::new(),
                routes: vec![],
                trouble: None,
                seeking: false,
                barren: 0,
                barren_since: None,
            }),
        });
        count(&client.tally().shard_outputs);
        lane.open(&mut lane.state.lock());
        lane
    }

    /// Sends a frame, whose body has entered the flow; after the `last` one the attempt is closed on the shard.
    pub(super) fn send(self: &Arc<Self>, body: Arc<Body>, sums: Fin, last: bool) {
        let mut state = self.state.lock();
        state.legs.push(Piece { body, sums, last });
        self.go_on(&mut state);
    }

    /// Whether workers have confirmed everything that was sent, in every epoch that was used.
    pub(super) fn is_done(&self) -> bool {
        self.state.lock().legs.is_done()
    }

    /// Opens a leg in the newest epoch that is known.
    fn open(self: &Arc<Self>, state: &mut State) {
        let route = Route::new(self, state.routes.len(), &state.placement);
        state.routes.push(Arc::new(route));
        state.legs.open();
    }

    /// Sends and settles what can be.
    fn go_on(self: &Arc<Self>, state: &mut State) {
        while let Some(next) = state.legs.next() {
            state.routes[next.leg].send(next);
        }
        for (leg, fin) in state.legs.take_ready() {
            let (lane, route) = (Arc::clone(self), Arc::clone(&state.routes[leg]));
            self.client.runtime().spawn(lane.settle(route, fin, Body::empty(&self.flow)));
        }
    }

    fn acknowledged(self: &Arc<Self>, leg: usize, frame: u32, ack: Ack) {
        let mut state = self.state.lock();
        let done = state.legs.acknowledged(leg, frame);
        if !done.is_empty() {
            state.barren = 0;
        }
        if ack.split {
            self.split(&mut state, leg);
        }
        self.go_on(&mut state);
        drop(state);
        drop(done);
    }

    /// Seeks another epoch because the current one has grown too large; once for each.
    fn split(self: &Arc<Self>, state: &mut State, leg: usize) {
        let route = &state.routes[leg];
        let current = leg + 1 == state.routes.len() && !state.legs.is_stuck();
        if current && self.client.placements.can_ask() && route.splits() {
            state.trouble.get_or_insert(Trouble::Split { shard: self.shard, epoch: route.key().epoch });
            self.start_seeking(state);
        }
    }

    fn failed(self: &Arc<Self>, leg: usize, failed: Failed) {
        let can_move = matches!(
            failed.error.kind(),
            ErrorKind::Broken | ErrorKind::Retry | ErrorKind::Backpressure | ErrorKind::Stale | ErrorKind::Closed
        );
        if !can_move || !self.client.placements.can_ask() {
            self.flow.fail(failed.error);
            return;
        }
        let mut state = self.state.lock();
        if !state.legs.broke(leg) {
            return;
        }
        let route = Arc::clone(&state.routes[leg]);
        let why = failed.error.message();
        tracing::info!(shard = %route.key(), attempt = %self.attempt, suspect = ?failed.suspect, why, "a chain broke");
        route.close(&failed);
        if leg + 1 == state.routes.len() && !self.may_go_on(&mut state) {
            let (barren, within) = (state.barren, self.client.config.retry_for);
            let text = format!(
                "{}: {barren} epochs in a row took nothing for {within:?}; the last one: {why}; check the workers",
                route.key()
            );
            self.flow.fail(Error::new(ErrorKind::Broken, text));
            return;
        }
        if leg + 1 == state.routes.len() {
            self.leave(&mut state, &route, &failed);
        }
        self.go_on(&mut state);
    }

    /// Goes on in a newer epoch than the current one, which broke: it is known, or sought.
    fn leave(self: &Arc<Self>, state: &mut State, route: &Route, failed: &Failed) {
        state.placement = self.client.placements.newest(&state.placement);
        let (shard, epoch) = (self.shard, route.key().epoch);
        if state.placement.current(shard).epoch > epoch {
            state.trouble = None;
            self.open(state);
            return;
        }
        let why = failed.error.message().to_owned();
        state.trouble = Some(Trouble::Broken { shard, epoch, suspect: failed.suspect, why });
        self.start_seeking(state);
    }

    /// Counts a broken leg; false if none has taken anything for too long.
    fn may_go_on(&self, state: &mut State) -> bool {
        if state.barren == 0 {
            state.barren_since = Some(Instant::now());
        }
        state.barren += 1;
        let since = state.barren_since.map_or(Duration::ZERO, |since| since.elapsed());
        state.barren == 1 || since < self.client.config.retry_for
    }

    fn start_seeking(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.seeking, true) {
            self.client.runtime().spawn(Arc::clone(self).seek());
        }
    }
}
