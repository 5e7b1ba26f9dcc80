//! Permits, in bytes, and who gets them first.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use overhand_common::{Error, ErrorKind, Result, ids::AppId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A budget of bytes. Of the applications that wait, the one that holds the least goes first, and within it who came
/// first; while that one waits nobody else is given anything, so that a large request is never starved by small ones.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    capacity: u64,
    held: AtomicU64,
    wanted: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: u64,
    closed: bool,
    next_number: u64,
    /// Those that hold something or wait.
    accounts: HashMap<AppId, Account>,
}

/// What an application holds, and what it waits for.
#[derive(Debug)]
struct Account {
    /// Shared by its permits, so that a permit costs no copy of the id.
    app: Arc<AppId>,
    held: u64,
    permits: usize,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// In order of arrival, over all applications.
    number: u64,
    bytes: u32,
    grant: oneshot::Sender<Permit>,
}

/// Bytes of a budget, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    app: Arc<AppId>,
    bytes: u32,
}

impl Budget {
    /// A budget of `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        let state = State { free: capacity, closed: false, next_number: 0, accounts: HashMap::new() };
        let (held, wanted) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { capacity, held, wanted, state: Mutex::new(state) }) }
    }

    /// All the bytes there are.
    pub fn capacity(&self) -> u64 {
        self.shared.capacity
    }

    /// Bytes held by permits.
    pub fn held(&self) -> u64 {
        self.shared.held.load(Ordering::Acquire)
    }

    /// Bytes that are being waited for.
    pub fn wanted(&self) -> u64 {
        self.shared.wanted.load(Ordering::Acquire)
    }

    /// Takes `bytes` for `app` if nobody waits and they are there.
    pub fn try_acquire(&self, app: &AppId, bytes: u32) -> Option<Permit> {
        let mut state = self.shared.state.lock();
        if state.closed || self.wanted() > 0 || state.free < u64::from(bytes) {
            return None;
        }
        let app = state.account(app).take(bytes);
        Some(self.shared.grant(&mut state, app, bytes))
    }

    /// Waits for `bytes` for `app`. `Invalid` for more than there will ever be, `Closed` after [`Budget::close`].
    pub async fn acquire(&self, app: &AppId, bytes: u32) -> Result<Permit> {
        if u64::from(bytes) > self.shared.capacity {
            let text = format!(
                "a frame that takes {bytes} bytes of memory is over the whole memory budget of {}: \
                 raise the budget or send smaller frames",
                self.shared.capacity
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let (grant, granted) = oneshot::channel();
        let number = self.shared.wait(app, bytes, grant);
        let _request = Request { shared: &self.shared, app, number };
        granted.await.map_err(|_| Error::new(ErrorKind::Closed, "the worker is shutting down"))
    }

    /// Everybody who waits, now or later, gets `Closed`.
    pub fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        state.accounts.values_mut().for_each(|account| account.waiting.clear());
        state.accounts.retain(|_, account| account.permits > 0);
        self.shared.wanted.store(0, Ordering::Release);
    }
}

impl Shared {
    /// Queues a request, and returns its number.
    fn wait(self: &Arc<Self>, app: &AppId, bytes: u32, grant: oneshot::Sender<Permit>) -> u64 {
        let mut state = self.state.lock();
        let number = state.next_number;
        state.next_number += 1;
        if !state.closed {
            state.account(app).waiting.push_back(Waiting { number, bytes, grant });
            self.wanted.fetch_add(u64::from(bytes), Ordering::AcqRel);
        }
        self.hand_out(state);
        number
    }

    /// Takes a request back that was not granted.
    fn give_up(self: &Arc<Self>, app: &AppId, number: u64) {
        let mut state = self.state.lock();
        let Some(account) = state.accounts.get_mut(app) else { return };
        let Some(at) = account.waiting.iter().position(|waiting| waiting.number == number) else { return };
        let given_up = account.waiting.remove(at).expect("it was just found");
        self.wanted.fetch_sub(u64::from(given_up.bytes), Ordering::AcqRel);
        state.tidy(app);
        // It may have been the one that the others waited behind.
        self.hand_out(state);
    }

    fn give_back(self: &Arc<Self>, app: &AppId, bytes: u32) {
        let mut state = self.state.lock();
        let bytes = u64::from(bytes);
        state.free += bytes;
        self.held.fetch_sub(bytes, Ordering::AcqRel);
        let account = state.accounts.get_mut(app).expect("an application with a permit has an account");
        account.held -= bytes;
        account.permits -= 1;
        state.tidy(app);
        self.hand_out(state);
    }

    /// Grants what can be granted. A grant that nobody takes any more comes back by itself, outside of the lock.
    fn hand_out(self: &Arc<Self>, mut state: parking_lot::MutexGuard<'_, State>) {
        let mut granted = vec![];
        while let Some((app, waiting)) = state.next() {
            self.wanted.fetch_sub(u64::from(waiting.bytes), Ordering::AcqRel);
            granted.push((waiting.grant, self.grant(&mut state, app, waiting.bytes)));
        }
        drop(state);
        for (grant, permit) in granted {
            drop(grant.send(permit));
        }
    }

    /// A permit for bytes that an account has taken.
    fn grant(self: &Arc<Self>, state: &mut State, app: Arc<AppId>, bytes: u32) -> Permit {
        state.free -= u64::from(bytes);
        self.held.fetch_add(u64::from(bytes), Ordering::AcqRel);
        Permit { shared: self.clone(), app, bytes }
    }
}

impl State {
    fn account(&mut self, app: &AppId) -> &mut Account {
        if !self.accounts.contains_key(app) {
            let account = Account { app: Arc::new(app.clone()), held: 0, permits: 0, waiting: VecDeque::new() };
            self.accounts.insert(app.clone(), account);
        }
        self.accounts.get_mut(app).expect("it is there by now")
    }

    /// Takes out the request whose turn it is, if there is room for it.
    fn next(&mut self) -> Option<(Arc<AppId>, Waiting)> {
        let waiting = self.accounts.values_mut().filter(|account| !account.waiting.is_empty());
        let account =
            waiting.min_by_key(|account| (account.held, account.waiting.front().map(|first| first.number)))?;
        let bytes = account.waiting.front()?.bytes;
        if u64::from(bytes) > self.free {
            return None;
        }
        Some((account.take(bytes), account.waiting.pop_front()?))
    }

    /// Forgets an application that neither holds nor waits.
    fn tidy(&mut self, app: &AppId) {
        if self.accounts.get(app).is_some_and(|account| account.permits == 0 && account.waiting.is_empty()) {
            self.accounts.remove(app);
        }
    }
}

impl Account {
    fn take(&mut self, bytes: u32) -> Arc<AppId> {
        self.held += u64::from(bytes);
        self.permits += 1;
        self.app.clone()
    }
}

impl Permit {
    /// How many bytes it is for.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Takes in another permit of the same application.
    pub(super) fn join(&mut self, mut other: Permit) {
        debug_assert_eq!(self.app, other.app, "a buffer is one application's");
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.give_back(&self.app, self.bytes);
    }
}

/// A request that waits; one that is dropped before it was granted is taken back.
struct Request<'a> {
    shared: &'a Arc<Shared>,
    app: &'a AppId,
    number: u64,
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.shared.give_up(self.app, self.number);
    }
}
