//! The driver's side: registration, lease, placement, removal.

use std::time::Duration;

use crate::{AppId, Counters, Placement, Result};

/// How a driver reaches the coordinators, and as whom.
#[derive(Debug, Clone)]
pub struct ApplicationConfig {
    /// `host:port` of every coordinator; any of them will do.
    pub coordinators: Vec<String>,
    /// The application.
    pub app: AppId,
    /// Who pays for it; may be empty.
    pub tenant: String,
    /// Needed where the coordinators are set up with one, else empty.
    pub registration_secret: String,
    /// How long to wait for one coordinator to take a connection.
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

/// A registered application. Dropping it stops the lease from being kept; [`Application::end`] also says goodbye.
#[derive(Debug)]
pub struct Application {
    config: ApplicationConfig,
}

impl Application {
    /// Registers with the first coordinator that answers and keeps the lease from then on.
    ///
    /// # Errors
    /// `Retry` if no coordinator answers (the text names each with its failure), `Denied` if the secret is wrong,
    /// `Invalid` if there is no coordinator in the settings.
    pub fn register(config: ApplicationConfig) -> Result<Self> {
        Ok(Self { config })
    }

    /// Where the shards of a new shuffle are: from the view of the cluster that the lease keeps fresh, with no call.
    ///
    /// # Errors
    /// `NotFound` if no worker takes new data, `Invalid` if `partitions` is out of bounds.
    pub fn placement(&self, shuffle: u32, partitions: u32) -> Result<Placement> {
        let _ = (shuffle, partitions);
        todo!()
    }

    /// Deletes a shuffle at every worker that it was placed on and waits for their word. A worker that can't be
    /// reached is passed over: it deletes the shuffle with the application.
    pub fn remove_shuffle(&self, shuffle: u32) -> Result<()> {
        let _ = shuffle;
        todo!()
    }

    /// Ends the application: the lease is kept no longer and the workers delete all its data.
    ///
    /// # Errors
    /// As of [`Application::register`]; the data then goes when the lease has expired.
    pub fn end(self) -> Result<()> {
        todo!()
    }

    /// The newest token.
    pub fn token(&self) -> String {
        todo!()
    }

    /// The application's id.
    pub fn app(&self) -> &AppId {
        &self.config.app
    }

    /// Calls and messages so far.
    pub fn counters(&self) -> Counters {
        todo!()
    }
}
