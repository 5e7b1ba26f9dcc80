//! The driver's side: registration, lease, placement, epochs, repair, removal.
//!
//! - [`Application`]: what the driver holds.
//! - `lease`: keeps the lease with every coordinator, and so the token and the view of the workers fresh.
//! - `keeper`: what to say to one coordinator next, and when; pure.
//! - `cluster`: the workers as the coordinators see them, in one view; pure.
//! - `placing`: which workers the shards of a shuffle go to; pure.
//! - `suspects`: workers that tasks complained about; pure.
//! - `state`: where each shuffle is, and when an epoch is opened; pure.
//! - `plan`: what to copy next; pure.
//! - `work`: what of it is being done, and what must wait; pure.
//! - `repair`: has it copied.
//! - `orders`: tells workers to copy, to forget and to delete.
//!
//! # A worker dies, step by step
//! 1. A task whose push it does not take asks ([`Application::ask`]). All shards of the shuffle whose newest chain has
//!    the worker get a new epoch, at once and without a call to anybody; for a while no other is placed on it.
//! 2. The coordinators hear no more of it and leave it out of their answers: it is silent.
//! 3. After [`ApplicationConfig::repair_after`] it is lost. Shards of other shuffles are moved off it, and every epoch
//!    that it held is copied from another member of its chain to another worker, which takes its place.
//! 4. Placements with a larger version say so to whoever asks.

mod cluster;
mod config;
mod health;
mod keeper;
mod lease;
mod orders;
mod placing;
mod plan;
mod repair;
mod state;
mod suspects;
mod work;

#[cfg(feature = "sim")]
pub(crate) mod sim {
    pub use super::{
        cluster::Answer,
        keeper::{Keeper, SHORTEST_PAUSE},
        state::State,
        work::Job,
    };
}

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;
use tokio::{sync::Notify, task::AbortHandle};

pub use self::{config::ApplicationConfig, health::Health};
use self::{
    lease::Lease,
    orders::Orders,
    state::{Shuffle, State},
};
use crate::{
    AppId, Counters, Driver, Error, ErrorKind, Placement, Result, Trouble,
    client::{OwnedRuntime, Tally, count},
    control::Coordinators,
};

/// A registered application. Dropping it stops the lease from being kept; [`Application::end`] also says goodbye.
#[derive(Debug)]
pub struct Application {
    shared: Arc<Shared>,
    lease: Arc<Lease>,
    orders: Arc<Orders>,
    repair: AbortHandle,
    tally: Arc<Tally>,
    runtime: OwnedRuntime,
}

/// What the tasks in the background work on.
#[derive(Debug)]
struct Shared {
    config: ApplicationConfig,
    state: Mutex<State>,
    /// Something may be there to repair.
    changed: Notify,
}

impl Application {
    /// Registers with every coordinator and keeps the lease with all of them from then on; the first good answer is
    /// enough to go on.
    ///
    /// # Errors
    /// `Retry` if no coordinator answers (the text names each with its failure), `Denied` if the secret is wrong,
    /// `Backpressure` if the tenant may have no more applications, `Invalid` if there is no coordinator in the settings.
    pub fn register(config: ApplicationConfig) -> Result<Self> {
        let tally = Arc::<Tally>::default();
        let coordinators = Arc::new(Coordinators::new(
            config.coordinators.clone(),
            config.connect_timeout,
            config.request_timeout,
            Arc::clone(&tally),
        )?);
        let runtime = OwnedRuntime::start("overhand-driver", 1)?;
        let orders = Arc::new(Orders::new(&config, Arc::clone(&tally)));
        let state = Mutex::new(State::new(&config));
        let shared = Arc::new(Shared { config, state, changed: Notify::new() });
        let lease = runtime.handle().block_on(Lease::register(coordinators, Arc::clone(&shared)))?;
        let repairing = repair::keep(Arc::clone(&shared), Arc::clone(&orders), Arc::clone(&lease));
        let repair = runtime.handle().spawn(repairing).abort_handle();
        Ok(Self { shared, lease, orders, repair, tally, runtime })
    }

    /// Where the shards of a shuffle are; a new one is placed from the view of the cluster that the lease keeps fresh,
    /// with no call.
    ///
    /// # Errors
    /// `Backpressure` if the tenant is over its quota, `NotFound` if no worker takes new data, `Invalid` if
    /// `partitions` is out of bounds or the shuffle is there with another number of them.
    pub fn placement(&self, shuffle: u32, partitions: u32) -> Result<Placement> {
        let known = self.shared.state.lock().place(shuffle, partitions, Instant::now())?.clone();
        count(&self.tally.shuffles);
        Ok(self.answer(shuffle, known))
    }

    /// The placement of a shuffle as it is now, after what `trouble` calls for was done. It makes no call and waits for
    /// nobody.
    ///
    /// # Errors
    /// `NotFound` if there is no such shuffle (any more) or no worker that takes new data; `Backpressure` if all that
    /// are left failed again and again; `Invalid` if `trouble` names a shard or an epoch that was never
    /// there.
    pub fn ask(&self, shuffle: u32, trouble: &Trouble) -> Result<Placement> {
        let known = self.shared.state.lock().trouble(shuffle, trouble, Instant::now()).cloned();
        if !matches!(trouble, Trouble::Split { .. }) {
            count(&self.tally.refreshes);
            self.lease.refresh();
        }
        self.shared.changed.notify_one();
        Ok(self.answer(shuffle, known?))
    }

    fn answer(&self, shuffle: u32, known: Shuffle) -> Placement {
        let (token, token_expires) = self.lease.token();
        let Shuffle { version, layout, shards, .. } = known;
        let config = &self.shared.config;
        let (app, coordinators) = (config.app.clone(), config.coordinators.clone());
        Placement { version, app, shuffle, layout, token, token_expires, coordinators, shards }
    }

    /// Deletes a shuffle at every worker that may hold something of it and waits for their word. A worker that can't be
    /// reached is passed over: it deletes the shuffle with the application.
    ///
    /// # Errors
    /// As a worker answers, after all were asked.
    pub fn remove_shuffle(&self, shuffle: u32) -> Result<()> {
        let places = self.shared.state.lock().remove(shuffle);
        self.orders.set_token(&self.token());
        self.runtime.handle().block_on(self.orders.remove(shuffle, places))
    }

    /// Ends the application: the lease is kept no longer and the workers delete all its data. Nothing else may be asked
    /// of it afterwards.
    ///
    /// # Errors
    /// As of [`Application::register`]; the data then goes when the lease has expired.
    pub fn end(&self) -> Result<()> {
        self.repair.abort();
        self.runtime.handle().block_on(self.lease.end())
    }

    /// Notes that `outputs` map outputs of a shuffle are gone from every worker and are made again; `text` says why, for
    /// people.
    pub fn report_lost(&self, shuffle: u32, outputs: u64, text: &str) {
        tracing::error!(shuffle, outputs, text, "map outputs are lost and are made again");
        self.shared.state.lock().health.lose(shuffle, outputs, text);
    }

    /// How the application's data fares; the coordinators are told the same.
    pub fn health(&self) -> Health {
        self.shared.state.lock().health(Instant::now())
    }

    /// The newest token.
    pub fn token(&self) -> String {
        self.lease.token().0
    }

    /// The application's id.
    pub fn app(&self) -> &AppId {
        &self.shared.config.app
    }

    /// Calls and messages so far.
    pub fn counters(&self) -> Counters {
        self.tally.read()
    }
}

impl Driver for Application {
    fn ask(&self, app: &AppId, shuffle: u32, trouble: &Trouble) -> Result<Placement> {
        if app != self.app() {
            return Err(Error::new(ErrorKind::NotFound, format!("application {app} is not {}", self.app())));
        }
        Application::ask(self, shuffle, trouble)
    }
}
