//! What was acknowledged in an epoch that was left is confirmed by one of its workers, or it is lost.

use std::sync::Arc;

use overhand_common::message::{Ack, Fin, Push};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Lane, route::Route};
use crate::{
    Error, ErrorKind, Place,
    link::frame::{Body, Failed, Frame, Owner},
};

impl Lane {
    /// Asks the workers of a leg's chain, one after the other, to commit `fin` of the attempt, each with those that come
    /// after it; fails the flow if none does. `hold` is what the flow waits for.
    pub(super) async fn settle(self: Arc<Self>, route: Arc<Route>, fin: Fin, hold: Arc<Body>) {
        let (members, there) = route.members();
        let mut refusals = vec![];
        for (at, place) in members.iter().enumerate() {
            let chain = &members[(at + 1).min(there)..there];
            match self.settle_from(&route, fin, &hold, place, chain.to_vec()).await {
                Ok(()) => {
                    self.state.lock().legs.settled(route.leg());
                    return;
                }
                Err(error) => refusals.push(format!("worker {} at {}: {error}", place.worker, place.address)),
            }
        }
        let text = format!(
            "{}: {} frames of {} that were acknowledged are lost, none of the chain confirms them ({}); the map task must \
             run again; with 2 or more replicas the loss of a worker is survived",
            route.key(),
            fin.frames,
            self.attempt,
            refusals.join("; ")
        );
        self.flow.fail(Error::new(ErrorKind::DataLost, text));
    }

    /// Settles on `place` and on as many of `chain` as can be reached from there.
    async fn settle_from(
        &self,
        route: &Arc<Route>,
        fin: Fin,
        hold: &Arc<Body>,
        place: &Place,
        mut chain: Vec<Place>,
    ) -> Result<(), Error> {
        loop {
            let failed = match self.ask_take_ready(route.settling(fin, &chain), hold, place).await {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            if failed.error.kind() != ErrorKind::Broken || !failed.answered || chain.is_empty() {
                return Err(failed.error);
            }
            let before = chain.len();
            chain.retain(|place| Some(place.worker) != failed.suspect);
            if chain.len() == before {
                chain.clear();
            }
        }
    }

    async fn ask_take_ready(&self, push: Push, hold: &Arc<Body>, place: &Place) -> Result<(), Failed> {
        let (told, answer) = oneshot::channel();
        let owner = Arc::new(Question(Mutex::new(Some(told))));
        let app = self.state.lock().placement.app.clone();
        self.client.push_link(&app, place).send(Frame { push, body: Arc::clone(hold), owner });
        // A link drops what it need not send because the flow has failed.
        answer.await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Closed, "the writer was closed");
            Err(Failed { error, suspect: None, answered: false })
        })
    }
}

/// A frame whose sender waits for what becomes of it.
#[derive(Debug)]
struct Question(Mutex<Option<oneshot::Sender<Result<(), Failed>>>>);

impl Question {
    fn answer(&self, answer: Result<(), Failed>) {
        if let Some(told) = self.0.lock().take() {
            // Who asked may have gone.
            let _ = told.send(answer);
        }
    }
}

impl Owner for Question {
    fn wanted(&self) -> bool {
        true
    }

    fn acknowledged(&self, _push: &Push, _ack: Ack) {
        self.answer(Ok(()));
    }

    fn failed(&self, _push: &Push, failed: Failed) {
        self.answer(Err(failed));
    }
}
