//! The driver: the real state, fed with what workers report, and the calls that it makes.
//!
//! In the place of coordinators there is one view of who reported within the last seconds.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use overhand_client::{
    AppId, ApplicationConfig, Place, Placement, Result, Trouble,
    sim::{Answer, Job, State, Worker as Seen},
};
use overhand_common::{
    ErrorKind,
    message::{Forget, Kind, RemoveShuffle, Replicate},
};
use overhand_server::worker::store::Usage;
use uuid::Uuid;

use crate::{
    clock::{Host, Sim},
    link::{Link, Outcome, Request},
    net::Net,
    options::Broken,
};

/// The driver's host.
pub const DRIVER: Host = 100;
/// Whose last word is older is silent.
const TIMEOUT: Duration = Duration::from_secs(5);
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
    heard: RefCell<BTreeMap<Uuid, (Seen, Duration)>>,
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
            heard: RefCell::default(),
            running: RefCell::default(),
            broken,
        }));
        let keeper = this.clone();
        sim.spawn(DRIVER, async move { keeper.keep().await });
        this
    }

    /// A worker reports.
    pub fn hear(&self, place: Place, draining: bool, usage: Usage) {
        let host = place.address.split(':').next().unwrap_or_default().to_owned();
        let seen = Seen {
            place,
            host,
            zone: String::new(),
            tags: vec![],
            memory_used: usage.memory_used,
            memory_budget: usage.memory_budget,
            disk_free: 1 << 40,
            draining,
            disks_lost: usage.disks_lost,
            held: 0,
        };
        self.0.heard.borrow_mut().insert(seen.id(), (seen, self.0.sim.now()));
    }

    async fn keep(self) {
        let Inner { sim, state, heard, running, .. } = &*self.0;
        loop {
            sim.sleep(Duration::from_millis(500)).await;
            let alive = heard.borrow();
            let alive = alive.values().filter(|(_, at)| *at + TIMEOUT > sim.now()).map(|(seen, _)| seen.clone());
            let answer = Answer { workers: alive.collect(), ..Answer::default() };
            let mut state = state.borrow_mut();
            state.see([answer].iter(), sim.instant());
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
        let asked = Trouble::decode(&trouble.encode())?;
        let done = state.borrow_mut().trouble(shuffle, &asked, sim.instant()).map(drop);
        sim.trace(format_args!("driver: {asked:?}: {}", done.is_ok()));
        done?;
        let answer = Placement::decode(&self.answer(shuffle).encode())?;
        sim.sleep(sim.millis(0..5)).await;
        Ok(answer)
    }

    /// Whether every chain is as long and as well as it should be, and none has any of `gone`.
    pub fn is_whole_without(&self, gone: &overhand_client::WorkerId) -> bool {
        let state = self.0.state.borrow();
        let has = |place: &Place| place.worker == *gone;
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
