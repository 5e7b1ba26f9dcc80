//! Tells workers to delete a shuffle, over connections that are kept for the next one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use overhand_common::message::{Kind, RemoveShuffle, message};
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
pub(super) struct Removals {
    app: AppId,
    context: Arc<Context>,
    sessions: Arc<Mutex<HashMap<Place, Session>>>,
}

impl Removals {
    pub(super) fn new(config: &ApplicationConfig, tally: Arc<Tally>) -> Self {
        let context = Context {
            pool: Pool::new(0),
            tokens: Arc::new(Tokens::default()),
            tally,
            connect_timeout: config.connect_timeout,
            answer_timeout: config.request_timeout,
            silence: config.request_timeout,
            retry_for: Duration::ZERO,
        };
        Self { app: config.app.clone(), context: Arc::new(context), sessions: Arc::default() }
    }

    /// Tells all of `places` at once, and waits for each.
    pub(super) async fn remove(&self, shuffle: u32, places: HashSet<Place>, token: &str) -> Result<()> {
        self.context.tokens.set(&self.app, token);
        let mut asked = JoinSet::new();
        for place in places {
            let target = Target { app: self.app.clone(), place };
            asked.spawn(remove_at(Arc::clone(&self.context), Arc::clone(&self.sessions), target, shuffle));
        }
        let mut failed = None;
        for done in asked.join_all().await {
            failed = failed.or(done.err());
        }
        failed.map_or(Ok(()), Err)
    }
}

async fn remove_at(
    context: Arc<Context>,
    sessions: Arc<Mutex<HashMap<Place, Session>>>,
    target: Target,
    shuffle: u32,
) -> Result<()> {
    // One that was kept may have been closed since: then once more over a new one.
    let kept = sessions.lock().await.remove(&target.place);
    let mut done = Err(broken("no connection yet"));
    if let Some(session) = kept {
        done = ask(&context, session, shuffle).await;
    }
    if done.as_ref().is_err_and(|error| error.kind() == ErrorKind::Retry) {
        done = match dial_once(&context, &target).await {
            Ok(session) => ask(&context, session, shuffle).await,
            Err(error) => Err(error),
        };
    }
    match done {
        Ok(session) => {
            sessions.lock().await.insert(target.place, session);
            Ok(())
        }
        Err(error) if matches!(error.kind(), ErrorKind::Retry | ErrorKind::Stale | ErrorKind::Closed) => {
            let worker = &target.place.address;
            tracing::warn!(shuffle, %worker, %error, "a worker was not told to delete a shuffle");
            Ok(())
        }
        Err(error) => Err(error.context(format!("worker {} at {}", target.place.worker, target.place.address))),
    }
}

async fn ask(context: &Context, mut session: Session, shuffle: u32) -> Result<Session> {
    count(&context.tally.removals);
    let bytes = message(Kind::RemoveShuffle, 1, &RemoveShuffle { shuffle }.encode());
    let asked = async {
        session.output.write_all(&bytes).await.map_err(|error| broken(format!("the connection broke: {error}")))?;
        Incoming::read(&mut session.input, &context.pool).await
    };
    let answer = timeout(context.answer_timeout, asked)
        .await
        .map_err(|_| broken(format!("no answer within {:?}", context.answer_timeout)))??;
    match answer.kind {
        Kind::Ack => Ok(session),
        Kind::Failure => Err(failure(&answer.head)),
        other => Err(Error::new(ErrorKind::Invalid, format!("it answered a removal with {other:?}"))),
    }
}
