//! What a driver may rely on while it keeps its lease, and whether that was so.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use overhand_common::{Error, ErrorKind};

use crate::{
    clock::{Host, Sim},
    control::PATIENCE,
};

/// How old a coordinator's word may be on which a worker acts: from the beginning of a report that it answered, as late
/// as it could, to the end of the next one, which it did not answer.
const OLDEST_WORD: Duration = PATIENCE.saturating_mul(2);

/// The promise: as long as no more than a lease, less the age of the words that workers act on, passes between two words of
/// the driver that any coordinator has heard and confirmed, no worker deletes anything of its application.
#[derive(Clone)]
pub struct Promise(Rc<Inner>);

struct Inner {
    sim: Sim,
    lease: Duration,
    /// When a coordinator last confirmed a word.
    kept: Cell<Duration>,
    /// The driver was silent for too long, at least once.
    lapsed: Cell<bool>,
    ended: Cell<bool>,
    deleted: Cell<bool>,
    violations: RefCell<Vec<String>>,
}

impl Promise {
    /// The promise of coordinators that give leases of this length.
    pub fn new(sim: &Sim, lease: Duration) -> Self {
        Self(Rc::new(Inner {
            sim: sim.clone(),
            lease,
            kept: Cell::default(),
            lapsed: Cell::default(),
            ended: Cell::default(),
            deleted: Cell::default(),
            violations: RefCell::default(),
        }))
    }

    fn holds(&self) -> bool {
        let Inner { sim, lease, kept, lapsed, ended, .. } = &*self.0;
        !ended.get() && !lapsed.get() && sim.now() - kept.get() <= *lease - OLDEST_WORD
    }

    /// A coordinator has confirmed a word of the driver.
    pub fn kept(&self) {
        if !self.holds() {
            self.0.lapsed.set(true);
        }
        self.0.kept.set(self.0.sim.now());
    }

    /// A coordinator has refused to keep the lease.
    pub fn refused(&self, error: &Error) {
        self.0.sim.trace(format_args!("driver: the lease is refused: {error}"));
        if error.kind() != ErrorKind::Stale || (!self.0.ended.get() && !self.0.deleted.get()) {
            self.violates(format!("the lease was refused for no good reason: {error}"));
        }
    }

    /// The driver begins to say that the application has ended.
    pub fn ends(&self) {
        self.0.ended.set(true);
    }

    /// A worker begins to delete the application.
    pub fn deletes(&self, host: Host) {
        self.0.sim.trace(format_args!("worker {host} deletes the application"));
        self.0.deleted.set(true);
        if self.holds() {
            let ago = self.0.sim.now() - self.0.kept.get();
            self.violates(format!("worker {host} deletes an application whose driver spoke {ago:?} ago"));
        }
    }

    /// Whether a worker has deleted the application.
    pub fn is_deleted(&self) -> bool {
        self.0.deleted.get()
    }

    fn violates(&self, what: String) {
        self.0.sim.trace(format_args!("VIOLATION: {what}"));
        self.0.violations.borrow_mut().push(what);
    }

    /// What should not have been.
    pub fn violations(&self) -> Vec<String> {
        self.0.violations.borrow().clone()
    }
}
