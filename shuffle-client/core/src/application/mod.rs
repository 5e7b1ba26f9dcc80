//! The driver's side: registration, lease, placement, removal.
//!
//! - [`Application`]: what the driver holds.
//! - `lease`: keeps the lease, the token and the view of the workers fresh in the background.
//! - `placing`: which workers a shuffle goes to; pure.
//! - `removal`: tells workers to delete a shuffle.

mod lease;
mod placing;
mod removal;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use self::{lease::Lease, removal::Removals};
use crate::{
    AppId, Counters, Place, Placement, Result,
    client::{OwnedRuntime, Tally},
    control::Coordinators,
};

/// How a driver reaches the coordinators, and as whom.
#[derive(Clone)]
pub struct ApplicationConfig {
    /// `host:port` of every coordinator; any of them will do.
    pub coordinators: Vec<String>,
    /// The application.
    pub app: AppId,
    /// Who pays for it; may be empty.
    pub tenant: String,
    /// Needed where the coordinators are set up with one, else empty.
    pub registration_secret: String,
    /// How long to wait for one coordinator, or worker, to take a connection.
    pub connect_timeout: Duration,
    /// How long to wait for one answer.
    pub request_timeout: Duration,
}

impl ApplicationConfig {
    /// The settings of `app` at these coordinators, the rest as by default.
    pub fn new(coordinators: Vec<String>, app: AppId) -> Self {
        Self {
            coordinators,
            app,
            tenant: String::new(),
            registration_secret: String::new(),
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
        }
    }
}

impl std::fmt::Debug for ApplicationConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApplicationConfig")
            .field("coordinators", &self.coordinators)
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// A registered application. Dropping it stops the lease from being kept; [`Application::end`] also says goodbye.
#[derive(Debug)]
pub struct Application {
    config: ApplicationConfig,
    coordinators: Arc<Coordinators>,
    lease: Arc<Lease>,
    removals: Removals,
    /// Per shuffle, the workers that it was placed on.
    placed: Mutex<HashMap<u32, HashSet<Place>>>,
    tally: Arc<Tally>,
    runtime: OwnedRuntime,
}

impl Application {
    /// Registers with the first coordinator that answers and keeps the lease from then on.
    ///
    /// # Errors
    /// `Retry` if no coordinator answers (the text names each with its failure), `Denied` if the secret is wrong,
    /// `Invalid` if there is no coordinator in the settings.
    pub fn register(config: ApplicationConfig) -> Result<Self> {
        let tally = Arc::<Tally>::default();
        let coordinators = Arc::new(Coordinators::new(
            config.coordinators.clone(),
            config.connect_timeout,
            config.request_timeout,
            Arc::clone(&tally),
        )?);
        let runtime = OwnedRuntime::start("overhand-driver", 1)?;
        let register = Lease::register(Arc::clone(&coordinators), config.clone());
        let lease = Arc::new(runtime.handle().block_on(register)?);
        runtime.handle().spawn(Arc::clone(&lease).keep());
        let removals = Removals::new(&config, Arc::clone(&tally));
        Ok(Self { config, coordinators, lease, removals, placed: Mutex::default(), tally, runtime })
    }

    /// Where the shards of a new shuffle are: from the view of the cluster that the lease keeps fresh, with no call.
    ///
    /// # Errors
    /// `NotFound` if no worker takes new data, `Invalid` if `partitions` is out of bounds.
    pub fn placement(&self, shuffle: u32, partitions: u32) -> Result<Placement> {
        let (workers, token, token_expires) = self.lease.view();
        let (layout, shards) = placing::place(&workers, shuffle, partitions)?;
        let placement = Placement {
            version: 0,
            app: self.config.app.clone(),
            shuffle,
            layout,
            token,
            token_expires,
            coordinators: self.config.coordinators.clone(),
            shards,
        };
        let mut placed = self.placed.lock();
        placed.entry(shuffle).or_default().extend(placement.workers().into_iter().cloned());
        Ok(placement)
    }

    /// Deletes a shuffle at every worker that it was placed on and waits for their word. A worker that can't be
    /// reached is passed over: it deletes the shuffle with the application.
    ///
    /// # Errors
    /// As a worker answers, after all were asked.
    pub fn remove_shuffle(&self, shuffle: u32) -> Result<()> {
        let Some(places) = self.placed.lock().remove(&shuffle) else { return Ok(()) };
        let (_, token, _) = self.lease.view();
        self.runtime.handle().block_on(self.removals.remove(shuffle, places, &token))
    }

    /// Ends the application: the lease is kept no longer and the workers delete all its data.
    ///
    /// # Errors
    /// As of [`Application::register`]; the data then goes when the lease has expired.
    pub fn end(self) -> Result<()> {
        self.lease.stop();
        self.runtime.handle().block_on(self.coordinators.end(&self.token()))
    }

    /// The newest token.
    pub fn token(&self) -> String {
        self.lease.view().1
    }

    /// The application's id.
    pub fn app(&self) -> &AppId {
        &self.config.app
    }

    /// Calls and messages so far.
    pub fn counters(&self) -> Counters {
        self.tally.read()
    }
}
