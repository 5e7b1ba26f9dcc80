//! One run: map tasks that write, faults meanwhile, and the checks at the end.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use overhand_client::{AppId, Attempt, ErrorKind, Expected};

use crate::{
    clock::Sim,
    control::Control,
    driver::Driver,
    ending::Ending,
    lease::Lease,
    net::Net,
    options::Options,
    reader::{Given, READERS, read},
    world::{Plan, World},
    writer::{Client, Output, WRITERS},
};

const SHUFFLE: u32 = 1;
/// A run that is not over by then is stuck.
const LIMIT: Duration = Duration::from_secs(3600);
/// After this every fault is over: the driver had time to put the chains right.
const RECOVERS: Duration = Duration::from_secs(90);

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// All that happened, as a number: the same for the same seed.
    pub hash: u64,
    /// What should not have been; empty if all is well.
    pub violations: Vec<String>,
    /// Attempts that finished.
    pub finished: usize,
    /// Attempts that were lost, and might be.
    pub lost: usize,
    /// Whether the application was deleted before its driver was gone, because it could not be heard for too long.
    pub expired: bool,
    /// How the run was set up.
    pub plan: String,
}

/// What the checker knows.
#[derive(Default)]
struct Known {
    /// Per map index the attempt that is valid, and what it wrote.
    valid: RefCell<BTreeMap<u32, (Attempt, Output)>>,
    next_attempt: Cell<u64>,
    violations: RefCell<Vec<String>>,
    lost: Cell<usize>,
    expired: Cell<bool>,
}

impl Known {
    fn violates(&self, sim: &Sim, what: String) {
        sim.trace(format_args!("VIOLATION: {what}"));
        self.violations.borrow_mut().push(what);
    }
}

/// Runs `seed`.
pub fn run(seed: u64, options: Options) -> Report {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let dir = dir.expect("a temporary folder");
    let sim = Sim::new(seed, options.prints);
    let plan = Plan::draw(&sim);
    sim.trace(format_args!("seed {seed}: {plan:?}"));
    let known = Rc::new(Known::default());
    let ended =
        sim.run(LIMIT, whole(sim.clone(), sim.aside(seed), plan, dir.path().to_owned(), options, Rc::clone(&known)));
    if ended.is_none() {
        known.violates(&sim, format!("it is stuck: not over after {LIMIT:?}"));
    }
    Report {
        hash: sim.hash(),
        violations: known.violations.borrow().clone(),
        finished: known.valid.borrow().len(),
        lost: known.lost.get(),
        expired: known.expired.get(),
        plan: format!("{plan:?}"),
    }
}

/// `aside` is the chance of all that is about coordinators.
async fn whole(sim: Sim, aside: Sim, plan: Plan, dir: PathBuf, options: Options, known: Rc<Known>) {
    let app: AppId = "app-1".parse().expect("well-formed");
    let net = Net::new(&sim);
    let driver = Driver::start(&sim, &net, &app, plan.replicas, options.broken);
    let control = Control::start(&aside, &net);
    let world = World::start((&sim, &net, &driver, &control), &app, plan, dir, options.broken);
    sim.sleep(Duration::from_secs(1)).await;
    let lease = Lease::start(&aside, &control, &driver, &app);
    sim.sleep(Duration::from_secs(2)).await;
    let partitions = sim.pick(1..600) as u32;
    let placement = driver.placement(SHUFFLE, partitions).expect("there are workers");
    sim.trace(format_args!("placed:{}", driver.describe(SHUFFLE)));
    let client = Client::new(&sim, &net, &driver, placement, options.broken);
    let time = Duration::from_secs(sim.pick(5..90));
    sim.spawn(0, world.clone().torment(time));
    let away = control.lease() / 2 - Duration::from_secs(7);
    sim.spawn(0, control.clone().torment(time, world.hosts(), away));
    let open = Rc::new(Cell::new(sim.pick(2..9)));
    for map_index in 0..open.get() as u32 {
        let (client, known, open) = (client.clone(), Rc::clone(&known), Rc::clone(&open));
        sim.spawn(WRITERS, async move {
            map_task(&client, &known, map_index, partitions).await;
            open.set(open.get() - 1);
        });
    }
    while open.get() > 0 {
        sim.sleep(Duration::from_secs(2)).await;
        if sim.chance(20) {
            let (client, known) = (client.clone(), Rc::clone(&known));
            sim.spawn(READERS, async move { read_meanwhile(&client, &known).await });
        }
    }
    sim.sleep(sim.millis(0..60_000)).await;
    sim.sleep(RECOVERS).await;
    world.heal();
    sim.sleep(RECOVERS).await;
    sim.trace(format_args!("at the end:{}", driver.describe(SHUFFLE)));
    read_all(&client, &known, &world).await;
    sim.kill(WRITERS);
    sim.kill(READERS);
    sim.sleep(Duration::from_secs(5)).await;
    if let Err(error) = driver.remove(SHUFFLE).await {
        known.violates(&sim, format!("the shuffle can't be removed: {error}"));
    }
    check_empty(&sim, &known, &world);
    known.expired.set(control.promise().is_deleted());
    let placement = driver.placement(SHUFFLE + 1, partitions).expect("all workers are well");
    let client = Client::new(&sim, &net, &driver, placement, options.broken);
    let ending = Ending { sim: &aside, driver: &driver, lease: &lease, control: &control, world: &world };
    ending.run(&client, SHUFFLE + 1, partitions).await;
    ending.remains(&app).into_iter().for_each(|what| known.violates(&sim, what));
    known.violations.borrow_mut().extend(control.promise().violations());
}

/// Runs a map task until an attempt has finished, now and then two attempts at a time.
async fn map_task(client: &Client, known: &Rc<Known>, map_index: u32, partitions: u32) {
    let sim = &client.sim;
    sim.sleep(sim.millis(0..20_000)).await;
    if sim.chance(20) {
        let (client, known) = (client.clone(), Rc::clone(known));
        sim.spawn(WRITERS, async move { attempt(&client, &known, map_index, partitions).await });
        sim.sleep(sim.millis(0..500)).await;
    }
    while !known.valid.borrow().contains_key(&map_index) {
        attempt(client, known, map_index, partitions).await;
        sim.sleep(Duration::from_millis(500)).await;
    }
}

async fn attempt(client: &Client, known: &Known, map_index: u32, partitions: u32) {
    let sim = &client.sim;
    let number = known.next_attempt.replace(known.next_attempt.get() + 1);
    let attempt = Attempt { map_index, attempt: number };
    let output = draw_output(sim, partitions);
    let blocks: usize = output.values().map(Vec::len).sum();
    sim.trace(format_args!("{attempt} begins: {blocks} blocks"));
    match client.write(attempt, &output).await {
        Ok(()) => {
            sim.trace(format_args!("{attempt} finished"));
            known.valid.borrow_mut().entry(map_index).or_insert((attempt, output));
        }
        Err(error) => {
            sim.trace(format_args!("{attempt} failed: {error}"));
            if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Internal | ErrorKind::Denied) {
                known.violates(sim, format!("{attempt} failed for no good reason: {error}"));
            }
        }
    }
}

/// What an attempt is to write.
pub fn draw_output(sim: &Sim, partitions: u32) -> Output {
    let mut output = Output::new();
    for _ in 0..sim.pick(1..12) {
        let partition = sim.pick(0..u64::from(partitions)) as u32;
        let largest = if sim.chance(10) { 30_000 } else { 2000 };
        let payload = |_| vec![sim.pick(0..256) as u8; sim.pick(0..largest) as usize];
        output.insert(partition, (0..sim.pick(1..6)).map(payload).collect());
    }
    output
}

type Valid = BTreeMap<u32, (Attempt, Output)>;

fn expected(valid: &Valid) -> Vec<Expected> {
    let pieces = |(attempt, output): &(Attempt, Output)| {
        let attempt = *attempt;
        output.keys().map(|partition| Expected { partition: *partition, attempt }).collect::<Vec<_>>()
    };
    valid.values().flat_map(pieces).collect()
}

fn check_same(sim: &Sim, known: &Known, valid: &Valid, all: &BTreeMap<Attempt, Output>) {
    let written: BTreeMap<Attempt, Output> = valid.values().cloned().collect();
    if *all != written {
        known.violates(sim, "what was read is not what was written".into());
    }
}

/// A read while things fail may lose, but not lie.
async fn read_meanwhile(client: &Client, known: &Known) {
    let valid = known.valid.borrow().clone();
    match read(client, expected(&valid)).await {
        Given::All(all) => check_same(&client.sim, known, &valid, &all),
        Given::Lost(lost, _) => client.sim.trace(format_args!("a reader misses {} attempts for now", lost.len())),
    }
}

/// Reads all that is valid; what is lost is left out and must have been destroyed.
async fn read_all(client: &Client, known: &Known, world: &World) {
    let mut valid = known.valid.borrow().clone();
    loop {
        match read(client, expected(&valid)).await {
            Given::All(all) => return check_same(&client.sim, known, &valid, &all),
            Given::Lost(lost, why) => {
                client.sim.trace(format_args!("{lost:?} lost: {why}"));
                if !world.may_lose() {
                    known.violates(&client.sim, format!("{lost:?} lost, and too little was destroyed for that: {why}"));
                }
                let before = valid.len();
                valid.retain(|_, (attempt, _)| !lost.contains(attempt));
                known.lost.set(known.lost.get() + before - valid.len());
                if valid.len() == before {
                    return known.violates(&client.sim, "a reader lost nothing that it was to read".into());
                }
            }
        }
    }
}

/// No worker holds anything any more.
fn check_empty(sim: &Sim, known: &Known, world: &World) {
    for worker in world.workers() {
        let usage = worker.store().usage();
        if (usage.memory_used, usage.disk_used) != (0, 0) {
            let place = worker.place().address;
            known.violates(sim, format!("{place} holds {usage:?} of a shuffle that was removed"));
        }
    }
}
