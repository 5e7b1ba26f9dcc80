//! What was acknowledged in an epoch that was left is confirmed by one of its workers, or it is lost.

use std::{sync::Arc, time::Instant};

use overhand_common::message::{Ack, Fin, Push};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Lane, route::Route};
use crate::{
    Error, ErrorKind, Place,
    link::{
        dial,
        frame::{Body, Failed, Frame, Owner},
    },
};

impl Lane {
    /// Has `fin` of the attempt committed by a worker of a leg's chain; fails the flow if none does. Where one is out of
    /// reach, it may be back soon: then all are asked again, for as long as a worker may be out of reach. `hold` is what
    /// the flow waits for.
    pub(super) async fn settle(self: Arc<Self>, route: Arc<Route>, fin: Fin, hold: Arc<Body>) {
        let (began, within) = (Instant::now(), self.client.config.retry_for);
        let mut rests = dial::rests(within);
        let refusals = loop {
            let Err(refusals) = self.settle_on_one(&route, fin, &hold).await else {
                self.state.lock().legs.settled(route.leg());
                return;
            };
            let helps = refusals.iter().any(|(_, failed)| may_be_back(failed)) && self.flow.failure().is_none();
            match rests.next().filter(|_| helps && began.elapsed() < within) {
                Some(rest) => tokio::time::sleep(rest).await,
                None => break refusals,
            }
        };
        let refusal = |(place, failed): &(Place, Failed)| {
            format!("worker {} at {}: {}", place.worker, place.address, failed.error)
        };
        let text = format!(
            "{}: {} frames of {} that were acknowledged are lost, none of the chain confirms them ({}); the map task must \
             run again; with 2 or more replicas the loss of a worker is survived",
            route.key(),
            fin.frames,
            self.attempt,
            refusals.iter().map(refusal).collect::<Vec<_>>().join("; ")
        );
        self.flow.fail(Error::new(ErrorKind::DataLost, text));
    }

    /// Asks the workers of a chain, one after the other, until one has settled, each with those that come after it;
    /// fails with what each of them said.
    async fn settle_on_one(&self, route: &Arc<Route>, fin: Fin, hold: &Arc<Body>) -> Result<(), Vec<(Place, Failed)>> {
        let (members, there) = route.members();
        let mut refusals = vec![];
        for (at, place) in members.iter().enumerate() {
            let chain = &members[(at + 1).min(there)..there];
            match self.settle_from(route, fin, hold, place, chain.to_vec()).await {
                Ok(()) => return Ok(()),
                Err(failed) => refusals.push((place.clone(), failed)),
            }
        }
        Err(refusals)
    }

    /// Settles on `place` and on as many of `chain` as can be reached from there.
    async fn settle_from(
        &self,
        route: &Arc<Route>,
        fin: Fin,
        hold: &Arc<Body>,
        place: &Place,
        mut chain: Vec<Place>,
    ) -> Result<(), Failed> {
        loop {
            let failed = match self.ask_take_ready(route.settling(fin, &chain), hold, place).await {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            if failed.error.kind() != ErrorKind::Broken || !failed.answered || chain.is_empty() {
                return Err(failed);
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

/// Whether a worker could not be reached, and is not known to have lost what it held.
fn may_be_back(failed: &Failed) -> bool {
    !failed.answered && dial::is_transient(&failed.error)
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
