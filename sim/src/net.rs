//! A network: connections that keep their order, and hosts that can be cut off from each other.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::{Rc, Weak},
    time::Duration,
};

use overhand_common::message::{HEADER_LEN, Header, Kind};
use tokio::sync::{Notify, mpsc};

use crate::clock::{Host, Sim};

/// How long a dial waits for a host that does not answer.
const DIAL: Duration = Duration::from_secs(3);
/// How soon what a cut held back comes after it.
pub const RETRANSMITS: Duration = Duration::from_millis(200);

/// All hosts and connections.
#[derive(Clone)]
pub struct Net {
    sim: Sim,
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    listeners: BTreeMap<Host, mpsc::UnboundedSender<Conn>>,
    cuts: BTreeSet<(Host, Host)>,
    pipes: Vec<(Host, Host, Weak<Pipe>)>,
}

#[derive(Default)]
struct Pipe {
    state: RefCell<Flow>,
    changed: Notify,
}

#[derive(Default)]
struct Flow {
    messages: VecDeque<(Duration, Vec<u8>)>,
    /// Nothing more is sent.
    closed: bool,
    /// Nothing more arrives.
    broken: bool,
}

/// One end of a connection.
pub struct Conn {
    net: Net,
    here: Host,
    there: Host,
    output: Rc<Pipe>,
    input: Rc<Pipe>,
}

/// A message that came.
pub struct Message {
    /// Checked.
    pub header: Header,
    bytes: Vec<u8>,
}

impl Message {
    /// Its head.
    pub fn head(&self) -> &[u8] {
        &self.bytes[HEADER_LEN..HEADER_LEN + self.header.head_len as usize]
    }

    /// Its body.
    pub fn body(&self) -> &[u8] {
        &self.bytes[HEADER_LEN + self.header.head_len as usize..]
    }
}

impl Net {
    /// A network without hosts.
    pub fn new(sim: &Sim) -> Self {
        Self { sim: sim.clone(), state: Rc::default() }
    }

    /// From now on connections to `host` come here.
    pub fn listen(&self, host: Host) -> mpsc::UnboundedReceiver<Conn> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state.borrow_mut().listeners.insert(host, sender);
        receiver
    }

    /// Connects; none if nobody answers.
    pub async fn connect(&self, here: Host, there: Host) -> Option<Conn> {
        self.sim.sleep(latency(&self.sim)).await;
        if self.is_cut(here, there) {
            self.sim.sleep(DIAL).await;
            return None;
        }
        let (a, b) = (Rc::<Pipe>::default(), Rc::<Pipe>::default());
        let mut state = self.state.borrow_mut();
        let listener = state.listeners.get(&there)?.clone();
        state.pipes.retain(|(_, _, pipe)| pipe.strong_count() > 0);
        for pipe in [&a, &b] {
            state.pipes.push((here, there, Rc::downgrade(pipe)));
        }
        drop(state);
        let theirs = Conn { net: self.clone(), here: there, there: here, output: Rc::clone(&b), input: Rc::clone(&a) };
        listener.send(theirs).ok()?;
        Some(Conn { net: self.clone(), here, there, output: a, input: b })
    }

    /// Nobody listens at `host` any more, and its connections break with what is on its way.
    pub fn down(&self, host: Host) {
        self.state.borrow_mut().listeners.remove(&host);
        self.reset(host);
    }

    /// All connections of `host` break.
    pub fn reset(&self, host: Host) {
        let of = |(a, b, pipe): &(Host, Host, Weak<Pipe>)| (*a == host || *b == host).then(|| pipe.upgrade()).flatten();
        let pipes: Vec<_> = self.state.borrow().pipes.iter().filter_map(of).collect();
        for pipe in pipes {
            let mut flow = pipe.state.borrow_mut();
            flow.broken = true;
            flow.messages.clear();
            drop(flow);
            pipe.changed.notify_one();
        }
    }

    /// Cuts two hosts off from each other, or ends that. What was sent meanwhile comes later.
    pub fn cut(&self, a: Host, b: Host, cut: bool) {
        let pair = (a.min(b), a.max(b));
        let mut state = self.state.borrow_mut();
        if cut {
            state.cuts.insert(pair);
        } else {
            state.cuts.remove(&pair);
        }
    }

    /// Ends all cuts.
    pub fn heal(&self) {
        self.state.borrow_mut().cuts.clear();
    }

    /// Whether two hosts can't hear each other.
    pub fn is_cut(&self, a: Host, b: Host) -> bool {
        self.state.borrow().cuts.contains(&(a.min(b), a.max(b)))
    }
}

/// How long a message is on its way.
pub fn latency(sim: &Sim) -> Duration {
    if sim.chance(3) { sim.millis(20..400) } else { Duration::from_micros(sim.pick(50..3000)) }
}

impl Conn {
    /// Sends a message with a body of `blocks` blocks.
    pub fn send(&self, kind: Kind, stream: u64, head: &[u8], body: &[u8], blocks: u32) {
        let header = Header::new(kind, stream, head, body.len() as u32, blocks);
        let bytes = [&header.encode(), head, body].concat();
        let mut flow = self.output.state.borrow_mut();
        if flow.broken {
            return;
        }
        let before = flow.messages.back().map_or(Duration::ZERO, |(at, _)| *at);
        let at = before.max(self.net.sim.now() + latency(&self.net.sim));
        flow.messages.push_back((at, bytes));
        drop(flow);
        self.output.changed.notify_one();
    }

    /// The next message; none when the connection is closed or broken.
    pub async fn recv(&self) -> Option<Message> {
        loop {
            let wait = {
                let mut flow = self.input.state.borrow_mut();
                if flow.broken {
                    return None;
                }
                match flow.messages.front() {
                    Some((at, _)) if *at > self.net.sim.now() => Some(*at - self.net.sim.now()),
                    Some(_) if self.net.is_cut(self.here, self.there) => Some(RETRANSMITS),
                    Some(_) => {
                        let (_, bytes) = flow.messages.pop_front().expect("it was looked at");
                        let first = bytes.first_chunk().expect("a message has a header");
                        let header = Header::decode(first).expect("as it was sent");
                        let message = Message { header, bytes };
                        header.check_head(message.head()).expect("as it was sent");
                        return Some(message);
                    }
                    None if flow.closed => return None,
                    None => None,
                }
            };
            match wait {
                Some(time) => {
                    self.net.sim.timeout(time, self.input.changed.notified()).await;
                }
                None => self.input.changed.notified().await,
            }
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.output.state.borrow_mut().closed = true;
        self.output.changed.notify_one();
        let mut input = self.input.state.borrow_mut();
        input.broken = true;
        input.messages.clear();
    }
}
