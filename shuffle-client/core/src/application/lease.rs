//! Keeps the lease, and with it the token and the view of the workers, fresh.

use std::{sync::Arc, time::Duration};

use overhand_proto::v1::{RegisterApplicationRequest, RegisterApplicationResponse, WorkerInfo};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ApplicationConfig;
use crate::{ErrorKind, Result, client::now, control::Coordinators};

const SHORTEST_PAUSE: Duration = Duration::from_millis(200);

/// The lease of one application.
#[derive(Debug)]
pub(super) struct Lease {
    coordinators: Arc<Coordinators>,
    config: ApplicationConfig,
    state: Mutex<State>,
    stop: Notify,
}

#[derive(Debug)]
struct State {
    token: String,
    token_expires: u64,
    /// From here on the token is renewed, in seconds since 1970.
    renew_at: u64,
    lease: Duration,
    workers: Arc<[WorkerInfo]>,
}

impl From<RegisterApplicationResponse> for State {
    fn from(answer: RegisterApplicationResponse) -> Self {
        let lifetime = answer.token_lifetime_ms / 1000;
        Self {
            token: answer.token,
            token_expires: now() + lifetime,
            renew_at: now() + lifetime / 2,
            lease: Duration::from_millis(answer.lease_ms),
            workers: answer.workers.into(),
        }
    }
}

impl Lease {
    /// Takes a lease.
    pub(super) async fn register(coordinators: Arc<Coordinators>, config: ApplicationConfig) -> Result<Self> {
        let state = State::from(coordinators.register(request(&config)).await?);
        Ok(Self { coordinators, config, state: Mutex::new(state), stop: Notify::new() })
    }

    /// The workers, the token and its end.
    pub(super) fn view(&self) -> (Arc<[WorkerInfo]>, String, u64) {
        let state = self.state.lock();
        (Arc::clone(&state.workers), state.token.clone(), state.token_expires)
    }

    /// Keeps the lease until [`Lease::stop`]. Coordinators that are out of reach are tried for ever: the view stays as
    /// it was, and the workers keep the data as long as no coordinator says otherwise.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut reachable = true;
        loop {
            let pause = (self.state.lock().lease / if reachable { 3 } else { 12 }).max(SHORTEST_PAUSE);
            tokio::select! {
                () = self.stop.notified() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let done = self.keep_once().await;
            if let Err(error) = &done {
                tracing::warn!(app = %self.config.app, %error, "the lease was not kept");
            }
            reachable = done.is_ok();
        }
    }

    async fn keep_once(&self) -> Result<()> {
        let (token, renew) = {
            let state = self.state.lock();
            (state.token.clone(), now() >= state.renew_at)
        };
        if !renew {
            match self.coordinators.keep_alive(&token).await {
                Ok(answer) => {
                    let mut state = self.state.lock();
                    state.lease = Duration::from_millis(answer.lease_ms);
                    state.workers = answer.workers.into();
                    return Ok(());
                }
                // One that was started again knows nothing of the application yet.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied) => {}
                Err(error) => return Err(error),
            }
        }
        let answer = self.coordinators.register(request(&self.config)).await?;
        *self.state.lock() = answer.into();
        Ok(())
    }

    /// The lease is kept no longer.
    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }
}

fn request(config: &ApplicationConfig) -> RegisterApplicationRequest {
    RegisterApplicationRequest {
        app: config.app.to_string(),
        tenant: config.tenant.clone(),
        registration_secret: config.registration_secret.clone(),
    }
}
