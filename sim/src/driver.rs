//! The driver: the real state, fed with what coordinators answer (see `lease`), and the calls that it makes.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use overhand_client::{
    AppId, ApplicationConfig, Place, Placement, Result, Trouble,
    sim::{Answer, Job, State},
};
use overhand_common::{
    Error, ErrorKind,
    message::{Forget, Kind, RemoveShuffle, Replicate},
};
use tokio::sync::Notify;

use crate::{
    clock::{Host, Sim},
    link::{Link, Outcome, Request},
    net::Net,
    options::Broken,
};

/// The driver's host.
pub const DRIVER: Host = 100;
/// A worker that is silent for that long is lost.
const REPAIR_AFTER: Duration = Duration::from_secs(10);
const AT_A_TIME: usize = 2;

/// A driver.
#[derive(Clone)]
pub struct Driver(Rc<Inner>);

struct Inner {
    sim: Sim,
    net: Net,
    app: AppId,
    state: RefCell<State>,
    /// A task's trouble calls for a fresh view of the workers.
    wants_news: Notify,
    is_dead: Cell<bool>,
    running: RefCell<usize>,
    broken: Option<Broken>,
}

impl Driver {
    /// A driver whose application wants so many replicas.
    pub fn start(sim: &Sim, net: &Net, app: &AppId, replicas: u32, broken: Option<Broken>) -> Self {
        let config = ApplicationConfig {
            replicas: Some(replicas),
            repair_after: REPAIR_AFTER,
            ..ApplicationConfig::new(vec![], app.clone())
        };
        let this = Self(Rc::new(Inner {
            sim: sim.clone(),
            net: net.clone(),
            app: app.clone(),
            state: RefCell::new(State::new(&config)),
            wants_news: Notify::new(),
            is_dead: Cell::default(),
            running: RefCell::default(),
            broken,
        }));
        let keeper = this.clone();
        sim.spawn(DRIVER, async move { keeper.keep().await });
        this
    }

    /// Takes the last answers of the coordinators that are in reach.
    pub fn see<'a>(&self, answers: impl Iterator<Item = &'a Answer>) {
        self.0.state.borrow_mut().see(answers, self.0.sim.instant());
    }

    /// Waits until the workers should be asked for anew.
    pub async fn wants_news(&self) {
        self.0.wants_news.notified().await;
    }

    /// The driver's process is gone.
    pub fn die(&self) {
        self.0.is_dead.set(true);
        self.0.sim.kill(DRIVER);
    }

    async fn keep(self) {
        let Inner { sim, state, running, .. } = &*self.0;
        loop {
            sim.sleep(Duration::from_millis(500)).await;
            let mut state = state.borrow_mut();
            state.follow(sim.instant());
            while *running.borrow() < AT_A_TIME
                && let Some(job) = state.next_job(sim.instant())
            {
                *running.borrow_mut() += 1;
                let this = self.clone();
                sim.spawn(DRIVER, async move {
                    this.work(job).await;
                    *this.0.running.borrow_mut() -= 1;
                });
            }
        }
    }

    async fn work(&self, job: Job) {
        let Inner { sim, state, broken, .. } = &*self.0;
        match job {
            Job::Copy(copy) => {
                let what = Replicate { key: copy.key, layout: copy.layout, from: copy.from.clone() };
                let made = if *broken == Some(Broken::NoCopying) {
                    true
                } else {
                    self.tell(&copy.to, Kind::Replicate, what.encode()).await.is_ok()
                };
                sim.trace(format_args!(
                    "driver: copy of {} from {} to {}: {made}",
                    copy.key, copy.from.address, copy.to.address
                ));
                if state.borrow_mut().copied(&copy, made, sim.instant()) {
                    // It goes with the application if this fails.
                    let _ = self.remove_at(&copy.to, copy.key.shuffle).await;
                }
            }
            Job::Forget(forget) => {
                let done = self.tell(&forget.at, Kind::Forget, Forget { key: forget.key }.encode()).await.is_ok();
                sim.trace(format_args!("driver: forget {} at {}: {done}", forget.key, forget.at.address));
                state.borrow_mut().forgot(&forget, done, sim.instant());
            }
        }
    }

    async fn tell(&self, place: &Place, kind: Kind, head: Vec<u8>) -> Result<()> {
        let link = Link::new(&self.0.sim, &self.0.net, DRIVER, place, false);
        match link.ask(Request { kind, head, body: Rc::default(), blocks: 0 }).await {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(failure) => Err(failure.error),
            Outcome::Gone(error) => Err(error),
        }
    }

    async fn remove_at(&self, place: &Place, shuffle: u32) -> Result<()> {
        self.tell(place, Kind::RemoveShuffle, RemoveShuffle { shuffle }.encode()).await
    }

    /// Where a shuffle is; placed if it is new.
    pub fn placement(&self, shuffle: u32, partitions: u32) -> Result<Placement> {
        self.0.state.borrow_mut().place(shuffle, partitions, self.0.sim.instant())?;
        Ok(self.answer(shuffle))
    }

    fn answer(&self, shuffle: u32) -> Placement {
        let state = self.0.state.borrow();
        let known = &state.shuffles[&shuffle];
        Placement {
            version: known.version,
            app: self.0.app.clone(),
            shuffle,
            layout: known.layout,
            token: String::new(),
            token_expires: 0,
            coordinators: vec![],
            shards: known.shards.clone(),
        }
    }

    /// A task asks, over a network that takes its time.
    pub async fn ask(&self, shuffle: u32, trouble: &Trouble) -> Result<Placement> {
        let Inner { sim, state, .. } = &*self.0;
        sim.sleep(sim.millis(0..5)).await;
        if self.0.is_dead.get() {
            return Err(Error::new(ErrorKind::Retry, "the driver is gone"));
        }
        let asked = Trouble::decode(&trouble.encode())?;
        let done = state.borrow_mut().trouble(shuffle, &asked, sim.instant()).map(drop);
        sim.trace(format_args!("driver: {asked:?}: {}", done.is_ok()));
        if !matches!(asked, Trouble::Split { .. }) {
            self.0.wants_news.notify_waiters();
        }
        done?;
        let answer = Placement::decode(&self.answer(shuffle).encode())?;
        sim.sleep(sim.millis(0..5)).await;
        Ok(answer)
    }

    /// Whether every chain is as long and as well as it should be, and none has `gone` or what it was before.
    pub fn is_whole_without(&self, gone: &overhand_client::WorkerId) -> bool {
        let state = self.0.state.borrow();
        let has = |place: &Place| place.worker.id == gone.id && place.worker.incarnation <= gone.incarnation;
        let named = state.epochs().flat_map(|(_, epoch)| &epoch.chain).any(has);
        !named && state.health(self.0.sim.instant()).under_replicated_epochs == 0
    }

    /// How many members the shortest chain lacks: so many copies the driver could not place, because workers were
    /// missing or being drained.
    pub fn shortage(&self) -> usize {
        let state = self.0.state.borrow();
        let shortest = state.epochs().map(|(_, epoch)| epoch.chain.len()).min();
        shortest.map_or(0, |len| state.replicas().saturating_sub(len))
    }

    /// Where everything is, for people.
    pub fn describe(&self, shuffle: u32) -> String {
        let state = self.0.state.borrow();
        let mut text = String::new();
        for (key, epoch) in state.epochs().filter(|(key, _)| key.shuffle == shuffle) {
            let chain: Vec<_> =
                epoch.chain.iter().map(|at| format!("{}#{}", at.address, at.worker.incarnation)).collect();
            text += &format!(" {}.{}[{}]", key.shard, key.epoch, chain.join(" "));
        }
        text
    }

    /// Deletes a shuffle everywhere.
    pub async fn remove(&self, shuffle: u32) -> Result<()> {
        let mut places = self.0.state.borrow_mut().remove(shuffle);
        places.sort_by(|a, b| a.address.cmp(&b.address).then(a.worker.cmp(&b.worker)));
        for place in places {
            match self.remove_at(&place, shuffle).await {
                Err(error) if matches!(error.kind(), ErrorKind::Retry | ErrorKind::Stale) => {}
                other => other?,
            }
        }
        Ok(())
    }
}
