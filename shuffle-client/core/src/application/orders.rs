//! Tells workers to delete or to copy, over connections that are kept for the next time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use overhand_common::{
    ids::ShardKey,
    message::{Forget, Kind, RemoveShuffle, Replicate, message},
};
use tokio::{io::AsyncWriteExt, sync::Mutex, task::JoinSet, time::timeout};

use super::ApplicationConfig;
use crate::{
    AppId, Error, ErrorKind, Place, Result,
    client::{Tally, Tokens, count},
    link::{
        Context, Incoming, Target, broken,
        dial::{Session, dial_once},
        failure,
    },
    pool::Pool,
};

/// Connections to the workers that were told something, kept open.
#[derive(Debug)]
pub(super) struct Orders {
    app: AppId,
    context: Context,
    sessions: Mutex<HashMap<Place, Session>>,
    silence: Duration,
}

/// What a worker is told.
#[derive(Debug, Clone)]
struct Order {
    kind: Kind,
    head: Vec<u8>,
}

impl Orders {
    pub(super) fn new(config: &ApplicationConfig, tally: Arc<Tally>) -> Self {
        let context = Context {
            pool: Pool::new(0),
            tokens: Arc::new(Tokens::default()),
            tally,
            connect_timeout: config.connect_timeout,
            answer_timeout: config.silence,
            silence: config.silence,
            retry_for: Duration::ZERO,
        };
        Self { app: config.app.clone(), context, sessions: Mutex::default(), silence: config.silence }
    }

    /// The application's newest token.
    pub(super) fn set_token(&self, token: &str) {
        self.context.tokens.set(&self.app, token);
    }

    /// Tells all of `places` at once to delete a shuffle, and waits for each. One that can't be reached is passed over:
    /// it deletes the shuffle with the application.
    ///
    /// # Errors
    /// As a worker answers, after all were asked.
    pub(super) async fn remove(self: &Arc<Self>, shuffle: u32, places: Vec<Place>) -> Result<()> {
        let mut asked = JoinSet::new();
        for place in places {
            let orders = Arc::clone(self);
            asked.spawn(async move { orders.remove_at(shuffle, &place).await });
        }
        let mut failed = None;
        for done in asked.join_all().await {
            failed = failed.or(done.err());
        }
        failed.map_or(Ok(()), Err)
    }

    /// Tells one worker to delete a shuffle.
    async fn remove_at(&self, shuffle: u32, place: &Place) -> Result<()> {
        let order = Order { kind: Kind::RemoveShuffle, head: RemoveShuffle { shuffle }.encode() };
        count(&self.context.tally.removals);
        match self.tell(place, &order).await {
            Err(error) if matches!(error.kind(), ErrorKind::Retry | ErrorKind::Stale | ErrorKind::Closed) => {
                tracing::warn!(shuffle, worker = place.address, %error, "a worker was not told to delete a shuffle");
                Ok(())
            }
            done => done,
        }
    }

    /// Has `to` copy what it is told, and waits until it has: as long as it says that it is at it.
    ///
    /// # Errors
    /// As the worker answers; `Retry` if it can't be reached or falls silent.
    pub(super) async fn copy(&self, to: &Place, what: &Replicate) -> Result<()> {
        self.tell(to, &Order { kind: Kind::Replicate, head: what.encode() }).await
    }

    /// Has a worker delete its copy of an epoch.
    ///
    /// # Errors
    /// As of [`Orders::copy`].
    pub(super) async fn forget(&self, at: &Place, key: ShardKey) -> Result<()> {
        self.tell(at, &Order { kind: Kind::Forget, head: Forget { key }.encode() }).await
    }

    async fn tell(&self, place: &Place, order: &Order) -> Result<()> {
        // One that was kept may have been closed since: then once more over a new one.
        let kept = self.sessions.lock().await.remove(place);
        let mut told = Err(broken("no connection yet"));
        if let Some(session) = kept {
            told = self.ask(session, order).await;
        }
        if told.is_err() {
            let target = Target { app: self.app.clone(), place: place.clone() };
            told = match dial_once(&self.context, &target).await {
                Ok(session) => self.ask(session, order).await,
                Err(error) => Err(error),
            };
        }
        let done = match told {
            Ok((session, done)) => {
                self.sessions.lock().await.insert(place.clone(), session);
                done
            }
            Err(error) => Err(error),
        };
        done.map_err(|error| error.context(format!("worker {} at {}", place.worker, place.address)))
    }

    /// The worker's answer, and the connection for the next time; fails if that is of no use any more.
    async fn ask(&self, mut session: Session, order: &Order) -> Result<(Session, Result<()>)> {
        let bytes = message(order.kind, 1, &order.head);
        let sent = session.output.write_all(&bytes).await;
        sent.map_err(|error| broken(format!("the connection broke: {error}")))?;
        loop {
            let answer = timeout(self.silence, Incoming::read(&mut session.input, &self.context.pool))
                .await
                .map_err(|_| broken(format!("it was silent for {:?}", self.silence)))??;
            let done = match answer.kind {
                Kind::Busy => continue,
                Kind::Ack => Ok(()),
                Kind::Failure => Err(failure(&answer.head)),
                other => {
                    return Err(Error::new(ErrorKind::Invalid, format!("it answered {:?} with {other:?}", order.kind)));
                }
            };
            return Ok((session, done));
        }
    }
}
