//! What everybody on the control plane shares: connections, and errors as gRPC statuses.

use std::time::Duration;

use overhand_common::{Error, ErrorKind};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

/// The gRPC status of an error; each kind has a code of its own, so that clients get the kind back.
pub fn status_of(error: &Error) -> Status {
    let code = match error.kind() {
        ErrorKind::Retry | ErrorKind::Broken => Code::Unavailable,
        ErrorKind::Backpressure => Code::ResourceExhausted,
        ErrorKind::Stale => Code::FailedPrecondition,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::DataLost => Code::DataLoss,
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Closed => Code::Cancelled,
        ErrorKind::Internal => Code::Internal,
    };
    Status::new(code, error.message())
}

/// The kind of error that a gRPC status stands for: [`status_of`] backwards.
pub fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted => ErrorKind::Retry,
        Code::ResourceExhausted => ErrorKind::Backpressure,
        Code::FailedPrecondition => ErrorKind::Stale,
        Code::NotFound => ErrorKind::NotFound,
        Code::DataLoss => ErrorKind::DataLost,
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented | Code::AlreadyExists => ErrorKind::Invalid,
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
        Code::Cancelled => ErrorKind::Closed,
        Code::Ok | Code::Unknown | Code::Internal => ErrorKind::Internal,
    }
}

/// A connection to `host:port`, with this much time to be made and for each call. The error is text for people.
pub async fn connect(address: &str, patience: Duration) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| format!("{address:?} is no host:port"))?
        .connect_timeout(patience)
        .timeout(patience);
    endpoint.connect().await.map_err(|error| {
        let cause = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source()).last();
        format!("{address} can't be reached: {}", cause.map_or_else(|| error.to_string(), ToString::to_string))
    })
}

/// Whole milliseconds, for messages.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
