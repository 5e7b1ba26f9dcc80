//! What a driver may set.

use std::time::Duration;

use crate::AppId;

/// How a driver reaches the coordinators, as whom, and what it wants of the workers.
#[derive(Clone)]
pub struct ApplicationConfig {
    /// `host:port` of every coordinator; one that answers is enough.
    pub coordinators: Vec<String>,
    /// The application.
    pub app: AppId,
    /// Who pays for it; may be empty.
    pub tenant: String,
    /// Needed where the coordinators are set up with one, else empty.
    pub registration_secret: String,
    /// How many workers hold each byte; if not set, as many as the coordinators say.
    pub replicas: Option<u32>,
    /// Only workers that have all of these take the application's data.
    pub tags: Vec<String>,
    /// A worker that no coordinator has heard of for that long is lost: what it held is copied from others.
    pub repair_after: Duration,
    /// How long to wait for one coordinator, or worker, to take a connection.
    pub connect_timeout: Duration,
    /// How long to wait for one answer of a coordinator.
    pub request_timeout: Duration,
    /// How long a worker that owes an answer may be silent before it is given up.
    pub silence: Duration,
}

impl ApplicationConfig {
    /// The settings of `app` at these coordinators, the rest as by default.
    pub fn new(coordinators: Vec<String>, app: AppId) -> Self {
        Self {
            coordinators,
            app,
            tenant: String::new(),
            registration_secret: String::new(),
            replicas: None,
            tags: vec![],
            repair_after: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
            silence: Duration::from_secs(10),
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
