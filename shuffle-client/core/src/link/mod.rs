//! Connections to workers.
//!
//! A client has up to two per worker: one for pushes ([`push::PushLink`]), one for fetches ([`fetch::FetchLink`]), so
//! that a push that waits for the worker's memory never holds up a fetch. Each is made when it is first needed and made
//! again when it breaks and is still needed. The links' state is plain and locked for moments; one task per link
//! moves it.
//! A push goes to the very incarnation of the worker that it is meant for; a fetch takes what another one has.

pub(crate) mod dial;
pub(crate) mod fetch;
pub(crate) mod flow;
pub(crate) mod frame;
mod heard;
pub(crate) mod push;

use std::{sync::Arc, time::Duration};

use overhand_common::message::{Failure, HEADER_LEN, Header, Kind};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    AppId, Error, ErrorKind, Place, Result,
    client::{Tally, Tokens},
    pool::{Buffer, Pool},
};

/// What every link needs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) pool: Pool,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) connect_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) silence: Duration,
    pub(crate) retry_for: Duration,
}

/// Where a link goes, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) app: AppId,
    pub(crate) place: Place,
}

/// A message from a worker.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) kind: Kind,
    pub(crate) stream: u64,
    pub(crate) head: Vec<u8>,
    /// The body and its length; the buffer may be longer.
    pub(crate) body: Option<(Buffer, usize)>,
}

impl Incoming {
    /// Reads the next message; errors are of the kind `Retry`: the connection is of no use any more.
    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin), pool: &Pool) -> Result<Self> {
        let mut bytes = [0; HEADER_LEN];
        from.read_exact(&mut bytes).await.map_err(|error| broken(format!("the connection broke: {error}")))?;
        let header = Header::decode(&bytes).map_err(|error| broken(error.to_string()))?;
        let mut head = vec![0; header.head_len as usize];
        from.read_exact(&mut head).await.map_err(|error| broken(format!("the connection broke: {error}")))?;
        header.check_head(&head).map_err(|error| broken(error.to_string()))?;
        let mut body = None;
        if header.body_len > 0 {
            let len = header.body_len as usize;
            let mut buffer = pool.take(len)?;
            from.read_exact(&mut buffer[..len])
                .await
                .map_err(|error| broken(format!("the connection broke: {error}")))?;
            body = Some((buffer, len));
        }
        Ok(Self { kind: header.kind, stream: header.stream, head, body })
    }
}

/// The error that the head of a `Failure` carries.
pub(crate) fn failure(head: &[u8]) -> Error {
    match Failure::decode(head) {
        Ok(failure) => failure.error,
        Err(error) => broken(error.to_string()),
    }
}

/// An error after which a connection is made again.
pub(crate) fn broken(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Retry, what)
}
