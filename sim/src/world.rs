//! The cluster, what happens to it, and what may be lost by that.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use overhand_client::{AppId, WorkerId};
use overhand_server::worker::store::Durability;

use crate::{
    clock::{Host, Sim},
    control::Control,
    disk::Fault,
    driver::{DRIVER, Driver},
    net::Net,
    options::Broken,
    reader::READERS,
    reports,
    worker::{Worker, make_folder},
    writer::WRITERS,
};

/// What a seed decides about a run before it starts.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Workers.
    pub workers: u32,
    /// Replicas.
    pub replicas: u32,
    /// What an acknowledged FIN means.
    pub durability: Durability,
    /// No more copies are destroyed at a time than the replicas allow: nothing may be lost.
    pub gentle: bool,
    /// Bytes at which a shard is split; 0: never.
    pub split_size: u64,
    /// A worker's memory in bytes.
    pub memory: u64,
}

impl Plan {
    /// What the seed of `sim` decides.
    pub fn draw(sim: &Sim) -> Self {
        let replicas = [1, 2, 2, 2, 3][sim.pick(0..5) as usize];
        Self {
            workers: sim.pick(u64::from(replicas) + 1..u64::from(replicas) + 4) as u32,
            replicas,
            durability: if sim.chance(40) { Durability::Disk } else { Durability::Memory },
            gentle: sim.chance(70),
            split_size: if sim.chance(30) { 20_000 } else { 0 },
            memory: sim.pick(400_000..4_000_000),
        }
    }
}

/// A worker that lost something.
#[derive(Debug, Clone, Copy)]
struct Destroyed {
    worker: WorkerId,
    /// It can't be made up for.
    for_good: bool,
    /// Also what was committed, not only what was under way.
    committed: bool,
}

/// The workers and what was done to them.
#[derive(Clone)]
pub struct World(Rc<Inner>);

struct Inner {
    sim: Sim,
    net: Net,
    app: AppId,
    driver: Driver,
    control: Control,
    plan: Plan,
    dir: PathBuf,
    broken: Option<Broken>,
    workers: RefCell<BTreeMap<Host, Worker>>,
    generation: Cell<u128>,
    /// Workers that lost what they held, or part of it, and have not been made up for.
    destroyed: RefCell<Vec<Destroyed>>,
    worst: Cell<usize>,
}

impl World {
    /// Starts the workers of `plan` in folders below `dir`.
    pub fn start(
        (sim, net, driver, control): (&Sim, &Net, &Driver, &Control),
        app: &AppId,
        plan: Plan,
        dir: PathBuf,
        broken: Option<Broken>,
    ) -> Self {
        let this = Self(Rc::new(Inner {
            sim: sim.clone(),
            net: net.clone(),
            app: app.clone(),
            driver: driver.clone(),
            control: control.clone(),
            plan,
            dir,
            broken,
            workers: RefCell::default(),
            generation: Cell::new(1),
            destroyed: RefCell::default(),
            worst: Cell::new(0),
        }));
        for host in this.hosts() {
            this.format(host);
            this.boot(host);
        }
        let watcher = this.clone();
        sim.spawn(0, async move {
            loop {
                watcher.0.sim.sleep(Duration::from_secs(1)).await;
                watcher.heal_damage();
            }
        });
        this
    }

    /// The workers that run.
    pub fn workers(&self) -> Vec<Worker> {
        self.0.workers.borrow().values().cloned().collect()
    }

    /// The hosts of all workers, also those that are down.
    pub fn hosts(&self) -> Vec<Host> {
        (1..=self.0.plan.workers).collect()
    }

    /// Where a worker's data is.
    pub fn folder(&self, host: Host) -> PathBuf {
        self.0.dir.join(format!("w{host}"))
    }

    /// Whether more copies were destroyed at a time than the replicas make up for, or the application was deleted.
    pub fn may_lose(&self) -> bool {
        self.0.worst.get() >= self.0.plan.replicas as usize || self.0.control.promise().is_deleted()
    }

    fn format(&self, host: Host) {
        let generation = self.0.generation.replace(self.0.generation.get() + 1);
        // A worker that was there has its folder no more.
        let _ = std::fs::remove_dir_all(self.folder(host));
        make_folder(&self.folder(host), u128::from(host) + 1000 * generation);
    }

    fn boot(&self, host: Host) {
        let Inner { sim, net, app, plan, broken, control, workers, .. } = &*self.0;
        let settings = |plain| overhand_server::worker::store::Settings {
            memory_budget: plan.memory,
            high_mark: plan.memory / 2,
            low_mark: plan.memory / 4,
            memtable_max: plan.memory / 8,
            durability: plan.durability,
            split_size: plan.split_size,
            ..plain
        };
        let worker = Worker::start((sim, net), host, app, self.folder(host), settings, *broken);
        workers.borrow_mut().insert(host, worker.clone());
        reports::start(sim, control, host, &worker, *broken);
    }

    /// A worker vanishes in the middle of whatever it does.
    fn kill(&self, host: Host) {
        let worker = self.0.workers.borrow_mut().remove(&host);
        self.0.net.down(host);
        self.0.sim.kill(host);
        drop(worker);
    }

    /// A worker vanishes and is back at once with what is on its disk.
    pub fn reopen(&self, host: Host) {
        self.kill(host);
        self.boot(host);
    }

    fn destroy(&self, worker: WorkerId, for_good: bool, committed: bool) {
        let mut destroyed = self.0.destroyed.borrow_mut();
        let known = destroyed.iter().position(|known| known.worker.id == worker.id);
        let before = known.map(|at| destroyed.swap_remove(at));
        let for_good = for_good || before.is_some_and(|before| before.for_good);
        let committed = committed || before.is_some_and(|before| before.committed);
        destroyed.push(Destroyed { worker, for_good, committed });
        self.count(&destroyed);
    }

    /// Takes note of how many copies are gone. What was under way on a worker counts with what others held: it was
    /// settled with them alone.
    fn count(&self, destroyed: &[Destroyed]) {
        if destroyed.iter().any(|known| known.committed) {
            self.0.worst.set(self.0.worst.get().max(destroyed.len() + self.0.driver.shortage()));
        }
    }

    fn heal_damage(&self) {
        let driver = &self.0.driver;
        let mut destroyed = self.0.destroyed.borrow_mut();
        destroyed.retain(|known| known.for_good || !driver.is_whole_without(&known.worker));
        self.count(&destroyed);
    }

    /// Whether what `worker` holds may be destroyed now; what it has `committed`, or only what is under way.
    fn may_destroy(&self, worker: WorkerId, committed: bool) -> bool {
        let Plan { gentle, replicas, .. } = self.0.plan;
        let destroyed = self.0.destroyed.borrow();
        let others = destroyed.iter().filter(|known| known.worker.id != worker.id).count();
        let harmless = !committed && !destroyed.iter().any(|known| known.committed);
        !gentle || harmless || others + 1 + self.0.driver.shortage() < replicas as usize
    }

    /// Does one thing after the other to the workers, for `time`.
    pub async fn torment(self, time: Duration) {
        let end = self.0.sim.now() + time;
        while self.0.sim.now() < end {
            self.0.sim.sleep(self.0.sim.millis(100..8000)).await;
            let hosts: Vec<Host> = self.0.workers.borrow().keys().copied().collect();
            if hosts.is_empty() {
                continue;
            }
            let host = hosts[self.0.sim.pick(0..hosts.len() as u64) as usize];
            let (this, what) = (self.clone(), self.0.sim.pick(0..100));
            self.0.sim.spawn(0, async move { this.harm(host, what).await });
        }
    }

    async fn harm(self, host: Host, what: u64) {
        let Inner { sim, net, plan, .. } = &*self.0;
        let Some(id) = self.0.workers.borrow().get(&host).map(Worker::id) else { return };
        // What holds a worker would keep its folder locked after a crash.
        let to = |what: &dyn Fn(&Worker)| self.0.workers.borrow().get(&host).into_iter().for_each(what);
        match what {
            0..12 => self.crash(host, id, false).await,
            12..22 => self.crash(host, id, true).await,
            22..32 => self.restart(host).await,
            32..45 => {
                sim.trace(format_args!("fault: connections of worker {host} break"));
                net.reset(host);
            }
            45..65 => {
                let others = [WRITERS, READERS, DRIVER, 1 + sim.pick(0..u64::from(plan.workers)) as u32];
                let other = others[sim.pick(0..4) as usize];
                if other == host {
                    return;
                }
                sim.trace(format_args!("fault: worker {host} is cut off from {other}"));
                net.cut(host, other, true);
                sim.sleep(sim.millis(100..30_000)).await;
                net.cut(host, other, false);
            }
            65..72 => {
                sim.trace(format_args!("fault: worker {host} has a slow disk"));
                let by = sim.millis(500..15_000);
                to(&|worker| worker.slow_down(by));
                sim.sleep(sim.millis(1000..30_000)).await;
                to(&|worker| worker.slow_down(Duration::ZERO));
            }
            72..79 => {
                sim.trace(format_args!("fault: worker {host} can't write its disk"));
                to(&|worker| worker.disk().set(Fault::Fails));
                sim.sleep(sim.millis(1000..30_000)).await;
                to(&|worker| worker.disk().set(Fault::None));
            }
            79..83 => {
                if !self.may_destroy(id, true) {
                    return;
                }
                sim.trace(format_args!("fault: worker {host} has a disk that lies"));
                self.destroy(id, true, true);
                to(&|worker| worker.disk().set(Fault::Lies));
                sim.sleep(sim.millis(1000..30_000)).await;
                to(&|worker| worker.disk().set(Fault::None));
            }
            _ => {
                sim.trace(format_args!("fault: worker {host} is drained"));
                to(&|worker| worker.store().set_draining(true));
                sim.sleep(sim.millis(1000..60_000)).await;
                to(&|worker| worker.store().set_draining(false));
            }
        }
    }

    /// A worker vanishes and comes back, with its disk or without.
    async fn crash(&self, host: Host, worker: WorkerId, disk_is_gone: bool) {
        let Inner { sim, plan, .. } = &*self.0;
        let committed = disk_is_gone || plan.durability == Durability::Memory;
        if !self.may_destroy(worker, committed) {
            return;
        }
        let disk = if disk_is_gone { " and its disk is gone" } else { "" };
        sim.trace(format_args!("fault: worker {host} crashes{disk}"));
        self.destroy(worker, false, committed);
        self.kill(host);
        sim.sleep(sim.millis(100..30_000)).await;
        if disk_is_gone {
            self.format(host);
        }
        self.boot(host);
    }

    /// A clean restart, as by SIGTERM.
    async fn restart(&self, host: Host) {
        let sim = &self.0.sim;
        // Nothing else ends it meanwhile.
        let Some(worker) = self.0.workers.borrow_mut().remove(&host) else { return };
        if !self.may_destroy(worker.id(), true) {
            self.0.workers.borrow_mut().insert(host, worker);
            return;
        }
        sim.trace(format_args!("fault: worker {host} is restarted"));
        let closed = sim.timeout(Duration::from_secs(30), worker.store().close()).await;
        if !matches!(closed, Some(Ok(()))) {
            self.destroy(worker.id(), false, self.0.plan.durability == Durability::Memory);
        }
        drop(worker);
        self.kill(host);
        sim.sleep(sim.millis(100..5000)).await;
        self.boot(host);
    }

    /// Everything works again.
    pub fn heal(&self) {
        self.0.net.heal();
        for worker in self.workers() {
            worker.disk().set(Fault::None);
            worker.slow_down(Duration::ZERO);
            worker.store().set_draining(false);
        }
    }
}
