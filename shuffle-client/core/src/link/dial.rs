//! Opens a connection: TCP, hello, welcome; with a bounded number of tries.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use overhand_common::message::{Hello, Kind, Welcome, message};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::{Context, Incoming, Target, broken, failure};
use crate::{Error, ErrorKind, Result, WorkerId, client::count};

const FIRST_REST: Duration = Duration::from_millis(20);
const LONGEST_REST: Duration = Duration::from_secs(2);
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// An open connection that said hello.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) input: BufReader<OwnedReadHalf>,
    pub(crate) output: OwnedWriteHalf,
    /// Body bytes that may be on their way unacknowledged.
    pub(crate) window: u64,
    /// The version of the protocol that both sides speak.
    pub(crate) version: u16,
    /// Who answered: the worker that was meant, in this or in another incarnation.
    pub(crate) worker: WorkerId,
}

/// Connects to the very incarnation that is meant, trying again for [`Context::retry_for`] if it is `patient`.
///
/// # Errors
/// `Stale` if another incarnation answers: it may not hold what this one was given.
pub(crate) async fn dial_exact(context: &Context, target: &Target, patient: bool) -> Result<Session> {
    let session = dial_while(context, target, |_| patient).await?;
    if session.worker == target.place.worker {
        return Ok(session);
    }
    let (place, found) = (&target.place, session.worker.incarnation);
    let text =
        format!("worker {} at {} has been started again: it is incarnation {found}", place.worker, place.address);
    Err(Error::new(ErrorKind::Stale, text))
}

/// Connects, trying again for [`Context::retry_for`] and while `wanted`, which is told why each try failed.
pub(crate) async fn dial_while(
    context: &Context,
    target: &Target,
    mut wanted: impl FnMut(&Error) -> bool,
) -> Result<Session> {
    let place = &target.place;
    let mut rests = rests(context.retry_for);
    loop {
        let error = match dial_once(context, target).await {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        let doing = format!("worker {} at {}", place.worker, place.address);
        if !is_transient(&error) || !wanted(&error) {
            return Err(error.context(doing));
        }
        match rests.next() {
            Some(rest) => tokio::time::sleep(rest).await,
            None => {
                let text = format!(
                    "{doing} was out of reach for {:?}: {}; check that it runs and that this host may reach it",
                    context.retry_for,
                    error.message()
                );
                return Err(broken(text));
            }
        }
    }
}

/// How long to rest before each further try of what may take as long as `within`.
pub(crate) fn rests(within: Duration) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_REST)
        .with_max_delay(LONGEST_REST)
        .with_jitter()
        .without_max_times()
        .with_total_delay(Some(within))
        .build()
}

/// Whether what failed like this may go well when it is tried again.
pub(crate) fn is_transient(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Retry | ErrorKind::Backpressure | ErrorKind::Closed)
}

/// Connects once. Errors that are [transient](is_transient) may be gone when tried again.
pub(crate) async fn dial_once(context: &Context, target: &Target) -> Result<Session> {
    let address = &target.place.address;
    let within = context.connect_timeout;
    let stream = timeout(within, TcpStream::connect(address))
        .await
        .map_err(|_| broken(format!("no connection within {within:?}")))?
        .map_err(|error| broken(format!("no connection: {error}")))?;
    let options = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let set = stream.set_nodelay(true).and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&options));
    set.map_err(|error| broken(format!("the connection's options could not be set: {error}")))?;
    count(&context.tally.connections);
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input);
    let hello = Hello::new(context.tokens.get(&target.app));
    let welcome = async {
        let bytes = message(Kind::Hello, 0, &hello.encode());
        output.write_all(&bytes).await.map_err(|error| broken(format!("the connection broke: {error}")))?;
        Incoming::read(&mut input, &context.pool).await
    };
    let answer = timeout(within, welcome).await.map_err(|_| broken(format!("no welcome within {within:?}")))??;
    let welcome = match answer.kind {
        Kind::Welcome => Welcome::decode(&answer.head)?,
        Kind::Failure => {
            let error = failure(&answer.head);
            // No version in common: no other worker and no new attempt will help.
            let kind = if error.kind() == ErrorKind::Stale { ErrorKind::Invalid } else { error.kind() };
            return Err(Error::new(kind, error.message()));
        }
        other => return Err(Error::new(ErrorKind::Invalid, format!("it answered a hello with {other:?}"))),
    };
    if welcome.worker.id != target.place.worker.id {
        let text = format!("another worker ({}) answers there: the one that was meant is gone", welcome.worker);
        return Err(Error::new(ErrorKind::Stale, text));
    }
    Ok(Session { input, output, window: welcome.window, version: welcome.version, worker: welcome.worker })
}
