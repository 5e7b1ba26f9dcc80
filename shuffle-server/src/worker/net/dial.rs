//! Opens connections to other workers.

use std::time::Duration;

use overhand_common::{
    Error, ErrorKind, Result,
    ids::Place,
    message::{Failure, Hello, Kind, Welcome, message},
};
use tokio::{net::TcpStream, time::timeout};

use super::{input::Input, output::Output};

/// An open connection to another worker.
pub struct Session {
    /// What it says.
    pub input: Input,
    /// What it is told. How long it may take nothing is for the caller to judge, who knows what it says meanwhile.
    pub output: Output,
    /// Of the protocol.
    pub version: u16,
    /// Body bytes that may be unacknowledged.
    pub window: u64,
}

/// Connects and says hello, all within `silence`, which is also how long the other side may stop in the middle of a
/// message. `Retry` if it is out of reach, `Stale` if it is another worker or another incarnation, which may not hold what
/// this one was given, else what it answered.
pub async fn dial(place: &Place, token: &str, silence: Duration) -> Result<Session> {
    let greeted = timeout(silence, greet(place, token, silence)).await;
    let session = greeted.unwrap_or_else(|_| Err(lost(format_args!("it did not answer within {silence:?}"))));
    session.map_err(|error| error.context(describe(place)))
}

async fn greet(place: &Place, token: &str, silence: Duration) -> Result<Session> {
    let socket = TcpStream::connect(&place.address).await.map_err(lost)?;
    socket.set_nodelay(true).map_err(lost)?;
    let (receiver, sender) = socket.into_split();
    let (mut input, output) = (Input::new(receiver, silence), Output::new(sender, Duration::MAX));
    output.send(&message(Kind::Hello, 0, &Hello::new(token).encode())).await.map_err(lost)?;
    let header = input.header().await.map_err(lost)?.ok_or_else(|| lost("it closed the connection"))?;
    let head = input.head(&header).await.map_err(lost)?;
    header.check_head(head).map_err(lost)?;
    match header.kind {
        Kind::Welcome => {
            let welcome = Welcome::decode(head).map_err(lost)?;
            if welcome.worker != place.worker {
                let text = format!("another worker answers there: {}", welcome.worker);
                return Err(Error::new(ErrorKind::Stale, text));
            }
            Ok(Session { input, output, version: welcome.version, window: welcome.window })
        }
        Kind::Failure => Err(Failure::decode(head).map_err(lost)?.error),
        other => Err(lost(format_args!("it answered a hello with {other:?}"))),
    }
}

/// Who it is, for people.
pub fn describe(place: &Place) -> String {
    format!("worker {} at {}", place.worker, place.address)
}

/// The error for a connection that is of no use.
pub fn lost(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Retry, why.to_string())
}
