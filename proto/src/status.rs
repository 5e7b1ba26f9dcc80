//! Errors as gRPC statuses.

use overhand_common::{Error, ErrorKind};
use tonic::{Code, Status};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_error_comes_back_from_its_status() {
        use ErrorKind::*;
        for kind in [Retry, Backpressure, Stale, NotFound, DataLost, Invalid, Denied, Closed, Internal] {
            let status = status_of(&Error::new(kind, "why"));
            assert_eq!((kind_of(status.code()), status.message()), (kind, "why"));
        }
    }
}
