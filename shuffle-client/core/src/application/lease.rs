//! Keeps the lease with every coordinator, and with it the token and the view of the workers fresh.
//!
//! Each coordinator has a keeper of its own, so that one that is out of reach, or hangs, delays no other. All start by
//! registering; the first good answer lets [`Lease::register`] return. What they last answered is joined in
//! [`Cluster`](super::cluster::Cluster); the answer of one that falls out of reach counts no longer, unless it was the
//! last.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use overhand_proto::v1::{RegisterApplicationRequest, RegisterApplicationResponse};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    task::{AbortHandle, JoinSet},
    time::{Instant as Time, sleep, timeout_at},
};

use super::{
    ApplicationConfig, Shared,
    cluster::Answer,
    keeper::{Keeper, SHORTEST_PAUSE},
};
use crate::{
    Error, ErrorKind, Result,
    client::now,
    control::{Coordinators, Refusal},
};

/// When a coordinator knows that the application has ended, the others have this long to hear it too.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The lease of one application.
#[derive(Debug)]
pub(super) struct Lease {
    coordinators: Arc<Coordinators>,
    shared: Arc<Shared>,
    token: Mutex<Option<Token>>,
    /// What each coordinator answered last; none if it is out of reach.
    answers: Mutex<Vec<Option<Answer>>>,
    refresh: Notify,
    keepers: Mutex<Vec<AbortHandle>>,
}

/// A token; times in seconds since 1970.
#[derive(Debug, Clone)]
struct Token {
    text: String,
    expires: u64,
    /// From here on it is renewed.
    renew_at: u64,
}

impl Lease {
    /// Takes a lease with every coordinator and keeps it until [`Lease::stop`]; returns when one has given it.
    ///
    /// # Errors
    /// As a coordinator refuses, `Retry` if none can be reached.
    pub(super) async fn register(coordinators: Arc<Coordinators>, shared: Arc<Shared>) -> Result<Arc<Self>> {
        let count = coordinators.len();
        let lease = Arc::new(Self {
            coordinators,
            shared,
            token: Mutex::default(),
            answers: Mutex::new(vec![None; count]),
            refresh: Notify::new(),
            keepers: Mutex::default(),
        });
        let (first, mut firsts) = mpsc::channel(count);
        for at in 0..count {
            let keeper = tokio::spawn(Arc::clone(&lease).keep(at, first.clone()));
            lease.keepers.lock().push(keeper.abort_handle());
        }
        drop(first);
        let (mut unreachable, mut refused) = (vec![], None);
        let mut until = Time::now() + Duration::from_secs(3600);
        while let Ok(Some(answer)) = timeout_at(until, firsts.recv()).await {
            match answer {
                Ok(()) => return Ok(lease),
                Err(Refusal::OutOfReach(text)) => unreachable.push(text),
                Err(Refusal::Said(error)) => {
                    // Another one may know better, if it says so soon.
                    until = Time::now() + lease.shared.config.connect_timeout;
                    refused.get_or_insert(error);
                }
            }
            if unreachable.len() + usize::from(refused.is_some()) == count {
                break;
            }
        }
        lease.stop();
        let failing = "the application could not be registered";
        Err(match refused {
            Some(error) => error.context(failing),
            None => lease.coordinators.nobody(failing, &unreachable),
        })
    }

    /// The newest token and its end; set since the registration.
    pub(super) fn token(&self) -> (String, u64) {
        let token = self.token.lock();
        token.as_ref().map(|token| (token.text.clone(), token.expires)).unwrap_or_default()
    }

    /// Asks the coordinators anew, without waiting for their turns.
    pub(super) fn refresh(&self) {
        self.refresh.notify_waiters();
    }

    /// Keeps the lease with one coordinator, for ever; says how it went the first time.
    async fn keep(self: Arc<Self>, at: usize, first: mpsc::Sender<Result<(), Refusal>>) {
        let mut first = Some(first);
        let mut keeper = Keeper::default();
        loop {
            let (answer, done) = match self.keep_once(at, &keeper).await {
                Ok((lease, answer)) => {
                    keeper.kept(lease);
                    (Some(answer), Ok(()))
                }
                Err(refusal) => {
                    if keeper.failed() {
                        tracing::warn!(app = %self.shared.config.app, coordinator = self.coordinators.address(at),
                            error = %refusal, "the lease was not kept");
                    }
                    (None, Err(refusal))
                }
            };
            self.learn(at, answer);
            if let Some(first) = first.take() {
                // It fails only if nobody waits for it any more.
                let _ = first.try_send(done);
            }
            sleep(SHORTEST_PAUSE).await;
            tokio::select! {
                () = sleep(keeper.pause() - SHORTEST_PAUSE) => {}
                () = self.refresh.notified() => {}
            }
        }
    }

    async fn keep_once(&self, at: usize, keeper: &Keeper) -> Result<(Duration, Answer), Refusal> {
        let token = self.token.lock().clone().filter(|token| keeper.is_known() && now() < token.renew_at);
        if let Some(token) = token {
            let health = self.shared.state.lock().health(Instant::now()).encode();
            match self.coordinators.keep_alive(at, &token.text, health).await {
                Ok(kept) => {
                    let answer = Answer::read(kept.workers, kept.replicas, kept.over_quota);
                    return Ok((Duration::from_millis(kept.lease_ms), answer));
                }
                Err(Refusal::Said(error)) if Keeper::registers_anew(&error) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        let registered = self.coordinators.register(at, request(&self.shared.config)).await?;
        self.adopt(&registered);
        let lease = Duration::from_millis(registered.lease_ms);
        Ok((lease, Answer::read(registered.workers, registered.replicas, registered.over_quota)))
    }

    /// Takes the token of a registration if a new one is due: one is as good as another.
    fn adopt(&self, registered: &RegisterApplicationResponse) {
        let mut token = self.token.lock();
        if token.as_ref().is_none_or(|token| now() >= token.renew_at) {
            let lifetime = registered.token_lifetime_ms / 1000;
            let (expires, renew_at) = (now() + lifetime, now() + lifetime / 2);
            *token = Some(Token { text: registered.token.clone(), expires, renew_at });
        }
    }

    fn learn(&self, at: usize, answer: Option<Answer>) {
        let mut answers = self.answers.lock();
        answers[at] = answer;
        self.shared.state.lock().see(answers.iter().flatten(), Instant::now());
        self.shared.changed.notify_one();
    }

    /// Tells every coordinator that the application has ended. One that confirms it is enough; the others are waited for
    /// a moment longer.
    ///
    /// # Errors
    /// As a coordinator answers, `Retry` if none can be reached.
    pub(super) async fn end(&self) -> Result<()> {
        self.stop();
        let (token, _) = self.token();
        let mut asked = JoinSet::new();
        for at in 0..self.coordinators.len() {
            let (coordinators, token) = (Arc::clone(&self.coordinators), token.clone());
            asked.spawn(async move { coordinators.end(at, &token).await });
        }
        let (mut unreachable, mut refused) = (vec![], None);
        while let Some(done) = asked.join_next().await {
            match done {
                Ok(Ok(_)) => {
                    // Those that don't hear it now hear it from the workers, which delete what is left of it.
                    let _ = tokio::time::timeout(LAST_WORDS, asked.join_all()).await;
                    return Ok(());
                }
                Ok(Err(Refusal::OutOfReach(text))) => unreachable.push(text),
                Ok(Err(Refusal::Said(error))) => refused = Some(error),
                Err(error) => refused = Some(Error::new(ErrorKind::Internal, error.to_string())),
            }
        }
        let failing = "the application's end could not be told";
        Err(match refused {
            Some(error) => error.context(failing),
            None => self.coordinators.nobody(failing, &unreachable),
        })
    }

    /// The lease is kept no longer.
    pub(super) fn stop(&self) {
        self.keepers.lock().drain(..).for_each(|keeper| keeper.abort());
    }
}

fn request(config: &ApplicationConfig) -> RegisterApplicationRequest {
    RegisterApplicationRequest {
        app: config.app.to_string(),
        tenant: config.tenant.clone(),
        registration_secret: config.registration_secret.clone(),
    }
}
