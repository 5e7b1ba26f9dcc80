//! A link to one worker, as clients and forwarding workers have it: frames go out in order, answers come back.
//!
//! Written for the simulation, in the place of the client's `link` and the server's `forward::link`.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::Place,
    message::{Ack, Failure, Hello, Kind, VERSION, Welcome},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    clock::{Host, Sim},
    net::{Conn, Net},
};

/// How long a worker that owes an answer may be silent.
pub const SILENCE: Duration = Duration::from_secs(10);

/// Something to ask a worker.
pub struct Request {
    /// What.
    pub kind: Kind,
    /// Its head.
    pub head: Vec<u8>,
    /// Its body.
    pub body: Rc<Vec<u8>>,
    /// Blocks in the body.
    pub blocks: u32,
}

/// What came of it.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was done.
    Done(Ack),
    /// The worker refused.
    Refused(Failure),
    /// The worker can't be reached, is silent or is another one.
    Gone(Error),
}

type Asked = (Request, oneshot::Sender<Outcome>);

/// A link that is made with its first request.
#[derive(Clone)]
pub struct Link(Rc<RefCell<Option<mpsc::UnboundedSender<Asked>>>>);

impl Link {
    /// A link of `here` to `place`, where the very incarnation must answer. One that breaks is dialled once more if
    /// `redials`.
    pub fn new(sim: &Sim, net: &Net, here: Host, place: &Place, redials: bool) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let this = Self(Rc::new(RefCell::new(Some(sender))));
        let (sim, net, place, state) = (sim.clone(), net.clone(), place.clone(), Rc::clone(&this.0));
        sim.clone().spawn(here, async move { run(&sim, &net, here, &place, redials, receiver, &state).await });
        this
    }

    /// Whether it has not failed.
    pub fn is_open(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Sends a request after all others.
    pub fn send(&self, request: Request) -> oneshot::Receiver<Outcome> {
        let (told, answer) = oneshot::channel();
        if let Some(sender) = &*self.0.borrow() {
            // If it just failed, that is heard by the sender's drop.
            let _ = sender.send((request, told));
        }
        answer
    }

    /// Sends a request and waits for what comes of it.
    pub async fn ask(&self, request: Request) -> Outcome {
        heard(self.send(request)).await
    }
}

/// What comes of a request.
pub async fn heard(answer: oneshot::Receiver<Outcome>) -> Outcome {
    answer.await.unwrap_or_else(|_| Outcome::Gone(Error::new(ErrorKind::Retry, "the link has failed")))
}

/// Connects and greets; the worker's id must be right, and its incarnation if `exact`.
pub async fn dial(sim: &Sim, net: &Net, here: Host, place: &Place, exact: bool) -> Result<Conn> {
    let lost = |what: &str| Error::new(ErrorKind::Retry, format!("{}: {what}", place.address));
    let conn = net.connect(here, host_of(place)).await.ok_or_else(|| lost("out of reach"))?;
    conn.send(Kind::Hello, 0, &Hello::new("token").encode(), &[], 0);
    let answer = sim.timeout(SILENCE, conn.recv()).await.flatten().ok_or_else(|| lost("no answer"))?;
    let welcome = Welcome::decode(answer.head())?;
    let same = if exact { welcome.worker == place.worker } else { welcome.worker.id == place.worker.id };
    if !same {
        return Err(Error::new(ErrorKind::Stale, format!("another worker answers there: {}", welcome.worker)));
    }
    Ok(conn)
}

/// The host in an address.
pub fn host_of(place: &Place) -> Host {
    place.address.split(':').next().and_then(|name| name[1..].parse().ok()).expect("addresses are made by us")
}

async fn run(
    sim: &Sim,
    net: &Net,
    here: Host,
    place: &Place,
    mut redials: bool,
    mut requests: mpsc::UnboundedReceiver<Asked>,
    state: &RefCell<Option<mpsc::UnboundedSender<Asked>>>,
) {
    let mut pending = BTreeMap::<u64, Asked>::new();
    let mut stream = 0;
    let error = loop {
        let conn = match dial(sim, net, here, place, true).await {
            Ok(conn) => conn,
            Err(error) => break error,
        };
        for (stream, (request, _)) in &pending {
            conn.send(request.kind, *stream, &request.head, &request.body, request.blocks);
        }
        let broken = loop {
            let owed = !pending.is_empty();
            tokio::select! {
                biased;
                asked = requests.recv() => {
                    let Some((request, told)) = asked else { return };
                    stream += 1;
                    conn.send(request.kind, stream, &request.head, &request.body, request.blocks);
                    pending.insert(stream, (request, told));
                }
                message = sim.timeout(if owed { SILENCE } else { SILENCE * 1000 }, conn.recv()) => {
                    let Some(message) = message else {
                        redials = false;
                        break Error::new(ErrorKind::Retry, "it is silent");
                    };
                    let Some(message) = message else { break Error::new(ErrorKind::Retry, "the connection broke") };
                    let outcome = match message.header.kind {
                        Kind::Ack => Outcome::Done(Ack::decode(message.head()).expect("as it was sent")),
                        Kind::Failure => Outcome::Refused(Failure::decode(message.head()).expect("as it was sent")),
                        _ => continue,
                    };
                    if let Some((_, told)) = pending.remove(&message.header.stream) {
                        // Who asked may have gone.
                        let _ = told.send(outcome);
                    }
                }
            }
        };
        if !std::mem::take(&mut redials) {
            break broken;
        }
    };
    *state.borrow_mut() = None;
    while let Ok((_, told)) = requests.try_recv() {
        let _ = told.send(Outcome::Gone(error.clone()));
    }
    for (_, (_, told)) in pending {
        let _ = told.send(Outcome::Gone(error.clone()));
    }
}

/// What a push is sent as.
pub fn request(push: &overhand_common::message::Push, body: Rc<Vec<u8>>, blocks: u32) -> Request {
    Request { kind: Kind::Push, head: push.encode(VERSION).expect("this version says all"), body, blocks }
}
