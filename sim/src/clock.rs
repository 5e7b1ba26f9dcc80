//! Virtual time: tasks that are run one at a time, in an order that only the seed decides.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Who a task belongs to: it ends with its host.
pub type Host = u32;

type Queue = Arc<Mutex<VecDeque<u64>>>;

/// The simulated world's clock, tasks, chance and trace.
#[derive(Clone)]
pub struct Sim(Rc<Inner>, Rc<RefCell<SmallRng>>);

struct Inner {
    /// Since the beginning.
    now: Cell<Duration>,
    /// What the beginning is for code that wants an [`Instant`].
    base: Instant,
    next: Cell<u64>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    ready: Queue,
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    hash: RefCell<DefaultHasher>,
    prints: bool,
}

struct Task {
    host: Host,
    /// None while it runs.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

struct Wakes {
    id: u64,
    ready: Queue,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().expect("nobody panics with it");
        if !ready.contains(&self.id) {
            ready.push_back(self.id);
        }
    }
}

impl Sim {
    /// A world in which `seed` decides everything; `prints`: its trace goes to standard output.
    pub fn new(seed: u64, prints: bool) -> Self {
        let inner = Inner {
            now: Cell::default(),
            base: Instant::now(),
            next: Cell::new(1),
            tasks: RefCell::default(),
            ready: Queue::default(),
            timers: RefCell::default(),
            hash: RefCell::default(),
            prints,
        };
        Self(Rc::new(inner), generator(seed))
    }

    /// The same world with a chance of its own: what is drawn there changes nothing of what is drawn here.
    pub fn aside(&self, seed: u64) -> Self {
        Self(Rc::clone(&self.0), generator(!seed))
    }

    /// Since the beginning.
    pub fn now(&self) -> Duration {
        self.0.now.get()
    }

    /// The same for code that wants an instant.
    pub fn instant(&self) -> Instant {
        self.0.base + self.now()
    }

    /// A number from `range`.
    pub fn pick(&self, range: std::ops::Range<u64>) -> u64 {
        self.1.borrow_mut().random_range(range)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&self, percent: u64) -> bool {
        self.pick(0..100) < percent
    }

    /// A time from `range`, in milliseconds.
    pub fn millis(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_micros(self.pick(range.start * 1000..range.end * 1000))
    }

    /// Notes that something happened.
    pub fn trace(&self, what: std::fmt::Arguments<'_>) {
        let line = format!("{:>10.4} {what}", self.now().as_secs_f64());
        line.hash(&mut *self.0.hash.borrow_mut());
        if self.0.prints {
            println!("{line}");
        }
    }

    /// All that was traced, as a number.
    pub fn hash(&self) -> u64 {
        self.0.hash.borrow().finish()
    }

    fn next(&self) -> u64 {
        self.0.next.replace(self.0.next.get() + 1)
    }

    /// Begins a task of `host`.
    pub fn spawn(&self, host: Host, future: impl Future<Output = ()> + 'static) {
        let id = self.next();
        self.0.tasks.borrow_mut().insert(id, Task { host, future: Some(Box::pin(future)) });
        self.0.ready.lock().expect("nobody panics with it").push_back(id);
    }

    /// Ends all tasks of `host` where they are.
    pub fn kill(&self, host: Host) {
        let mut dead = vec![];
        self.0.tasks.borrow_mut().retain(|_, task| {
            let stays = task.host != host;
            if !stays {
                dead.push(task.future.take());
            }
            stays
        });
        // Dropped with nothing borrowed: what they hold may wake others.
        drop(dead);
    }

    /// Waits.
    pub async fn sleep(&self, time: Duration) {
        let (until, seq) = (self.now() + time, self.next());
        std::future::poll_fn(|context| {
            if self.now() >= until {
                return Poll::Ready(());
            }
            self.0.timers.borrow_mut().insert((until, seq), context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// What `future` gives within `time`.
    pub async fn timeout<T>(&self, time: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            given = future => Some(given),
            () = self.sleep(time) => None,
        }
    }

    /// Runs until `main` has ended, for `limit` of virtual time at most; none if it has not ended by then.
    pub fn run<T: 'static>(&self, limit: Duration, main: impl Future<Output = T> + 'static) -> Option<T> {
        let result = Rc::new(RefCell::new(None));
        let given = Rc::clone(&result);
        self.spawn(0, async move {
            let value = main.await;
            *given.borrow_mut() = Some(value);
        });
        while result.borrow().is_none() && self.now() < limit {
            let ready = self.0.ready.lock().expect("nobody panics with it").pop_front();
            match ready {
                Some(id) => self.poll(id),
                None => {
                    let Some(((at, _), waker)) = self.0.timers.borrow_mut().pop_first() else { break };
                    self.0.now.set(self.now().max(at));
                    waker.wake();
                }
            }
        }
        let all = std::mem::take(&mut *self.0.tasks.borrow_mut());
        drop(all);
        result.take()
    }

    fn poll(&self, id: u64) {
        let future = self.0.tasks.borrow_mut().get_mut(&id).and_then(|task| task.future.take());
        let Some(mut future) = future else { return };
        let waker = Waker::from(Arc::new(Wakes { id, ready: Arc::clone(&self.0.ready) }));
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.0.tasks.borrow_mut().remove(&id);
            return;
        }
        if let Some(task) = self.0.tasks.borrow_mut().get_mut(&id) {
            task.future = Some(future);
        }
    }
}

fn generator(seed: u64) -> Rc<RefCell<SmallRng>> {
    Rc::new(RefCell::new(SmallRng::seed_from_u64(seed)))
}
