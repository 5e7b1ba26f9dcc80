//! The control plane: coordinators, which are the real service on simulated time, and calls to them.
//!
//! In the place of gRPC: a call is answered, refused, or lost with whoever was to answer it.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use overhand_common::{Error, Result, token::TokenKey};
use overhand_server::{
    coordinator::{Access, Cluster, Metrics, Quotas, Rules, Service, State},
    secret::Secret,
};
use tokio::sync::oneshot;

use crate::{
    clock::{Host, Sim},
    driver::DRIVER,
    net::{Net, RETRANSMITS, latency},
    promise::Promise,
};

/// How many coordinators there are.
pub const COORDINATORS: usize = 2;
/// How long who calls one waits for its answer.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How often workers report.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A worker whose last report is older is silent.
const WORKER_TIMEOUT: Duration = Duration::from_secs(5);
/// Tokens are checked against real time: none ends while a seed runs.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// All coordinators.
#[derive(Clone)]
pub struct Control(Rc<Inner>);

struct Inner {
    sim: Sim,
    net: Net,
    lease: Duration,
    access: Access,
    promise: Promise,
    /// None while it is down.
    running: RefCell<Vec<Option<Rc<Service>>>>,
}

/// Why a call did not do what it was to do.
#[derive(Debug)]
pub enum Refusal {
    /// There was no answer.
    OutOfReach,
    /// The coordinator says so.
    Said(Error),
}

/// The host of the coordinator of this number.
pub fn host_of(number: usize) -> Host {
    201 + number as Host
}

impl Control {
    /// Coordinators that have just started.
    pub fn start(sim: &Sim, net: &Net) -> Self {
        let key = TokenKey::new(b"0123456789abcdef").expect("long enough");
        let secret = Secret { key, file: "secret".into() };
        let access = Access { secret, token_lifetime: TOKEN_LIFETIME, registration_secret: None };
        let lease = Duration::from_secs(sim.pick(30..61));
        let this = Self(Rc::new(Inner {
            sim: sim.clone(),
            net: net.clone(),
            lease,
            access,
            promise: Promise::new(sim, lease),
            running: RefCell::new(vec![None; COORDINATORS]),
        }));
        (0..COORDINATORS).for_each(|number| this.boot(number));
        this
    }

    /// How long a lease is.
    pub fn lease(&self) -> Duration {
        self.0.lease
    }

    /// The cluster's secret.
    pub fn secret(&self) -> &Secret {
        &self.0.access.secret
    }

    /// What drivers rely on.
    pub fn promise(&self) -> &Promise {
        &self.0.promise
    }

    /// A coordinator starts, and knows nothing.
    fn boot(&self, number: usize) {
        let Inner { sim, lease, access, running, .. } = &*self.0;
        let rules = Rules { lease: *lease, worker_timeout: WORKER_TIMEOUT, quotas: Quotas::default() };
        let state = State::new(rules, sim.instant());
        let cluster = Cluster { heartbeat_interval: HEARTBEAT, replicas: 1 };
        let metrics = Metrics::new(&metrics::NoopRecorder);
        let service = Rc::new(Service::new(state, access.clone(), cluster, metrics));
        running.borrow_mut()[number] = Some(Rc::clone(&service));
        let sim = sim.clone();
        self.0.sim.spawn(host_of(number), async move {
            loop {
                service.tidy(sim.instant());
                sim.sleep(HEARTBEAT).await;
            }
        });
    }

    /// A coordinator vanishes with all that it knew, and comes back after `time`.
    async fn crash(self, number: usize, time: Duration) {
        if self.0.running.borrow_mut()[number].take().is_none() {
            return;
        }
        self.0.sim.trace(format_args!("fault: coordinator {number} crashes"));
        self.0.sim.kill(host_of(number));
        self.0.sim.sleep(time).await;
        self.boot(number);
    }

    /// Has `from` ask a coordinator. What a cut holds back comes after it, also if nobody waits for it any more.
    pub async fn call<T: 'static>(
        &self,
        from: Host,
        number: usize,
        ask: impl FnOnce(&Service, Instant) -> Result<T> + 'static,
    ) -> Result<T, Refusal> {
        let (told, answer) = oneshot::channel();
        let this = self.clone();
        // On the wire it belongs to nobody.
        self.0.sim.spawn(0, async move {
            // One that crashes meanwhile answers nothing that was asked before.
            let asked = this.0.running.borrow()[number].as_ref().map(Rc::downgrade);
            this.travel(from, number).await;
            let running = || asked.as_ref().and_then(std::rc::Weak::upgrade);
            let Some(done) = running().map(|service| ask(&service, this.0.sim.instant())) else { return };
            this.travel(from, number).await;
            if running().is_some() {
                // Who asked may wait no longer.
                let _ = told.send(done);
            }
        });
        match self.0.sim.timeout(PATIENCE, answer).await {
            Some(Ok(done)) => done.map_err(Refusal::Said),
            Some(Err(_)) | None => Err(Refusal::OutOfReach),
        }
    }

    async fn travel(&self, from: Host, number: usize) {
        let Inner { sim, net, .. } = &*self.0;
        sim.sleep(latency(sim)).await;
        while net.is_cut(from, host_of(number)) {
            sim.sleep(RETRANSMITS).await;
        }
    }

    /// Does one thing after the other to the coordinators, for `time`. The driver is never cut off from all of them for
    /// longer than `away`; `workers` are the hosts of the workers.
    pub async fn torment(self, time: Duration, workers: Vec<Host>, away: Duration) {
        let sim = &self.0.sim;
        let end = sim.now() + time;
        while sim.now() < end {
            sim.sleep(sim.millis(500..12_000)).await;
            let (this, workers) = (self.clone(), workers.clone());
            sim.spawn(0, async move { this.harm(&workers, away).await });
        }
    }

    async fn harm(self, workers: &[Host], away: Duration) {
        let Inner { sim, lease, .. } = &*self.0;
        let all: Vec<usize> = (0..COORDINATORS).collect();
        let one = vec![all[sim.pick(0..all.len() as u64) as usize]];
        let worker = vec![workers[sim.pick(0..workers.len() as u64) as usize]];
        let (what, short) = (sim.pick(0..100), sim.millis(100..30_000));
        let up_to = |longest: Duration| sim.millis(100..longest.as_millis() as u64);
        match what {
            0..25 => self.crash(one[0], short).await,
            25..35 => {
                for number in all {
                    sim.spawn(0, self.clone().crash(number, sim.millis(100..30_000)));
                }
            }
            35..50 => self.cut(&worker, &one, short).await,
            50..60 => self.cut(&worker, &all, short).await,
            60..80 => self.cut(&[DRIVER], &one, up_to(*lease * 2)).await,
            80..90 => self.cut(&[DRIVER], &all, up_to(away)).await,
            _ => self.cut(&[workers, &[DRIVER]].concat(), &one, short).await,
        }
    }

    /// Cuts hosts off from coordinators for a while.
    async fn cut(&self, hosts: &[Host], numbers: &[usize], time: Duration) {
        let Inner { sim, net, .. } = &*self.0;
        sim.trace(format_args!("fault: {hosts:?} are cut off from coordinators {numbers:?}"));
        let set = |cut| {
            let pairs = hosts.iter().flat_map(|host| numbers.iter().map(|number| (*host, *number)));
            pairs.for_each(|(host, number)| net.cut(host, host_of(number), cut));
        };
        set(true);
        sim.sleep(time).await;
        set(false);
    }
}
