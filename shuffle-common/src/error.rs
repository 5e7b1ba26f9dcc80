//! Errors in a few kinds that say what the caller should do.

use std::fmt;

/// What kind of failure this is: it decides what a caller does, the wire code and the Java exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It may work if tried again, here or at another worker.
    Retry,
    /// The other side has no room now; it will say when it has.
    Backpressure,
    /// The caller's view (epoch, incarnation, version) is out of date.
    Stale,
    /// No such application, shuffle or shard here.
    NotFound,
    /// Bytes that were acknowledged are gone or damaged.
    DataLost,
    /// The request itself is wrong; trying again will not help.
    Invalid,
    /// The token does not allow this.
    Denied,
    /// The other side is shutting down, or the object was closed.
    Closed,
    /// A fault of ours.
    Internal,
    /// A worker of the chain failed or takes no new data: the shard needs a new epoch.
    Broken,
}

impl Kind {
    /// Every kind, in the order of the wire codes.
    pub const ALL: [Kind; 10] = [
        Kind::Retry,
        Kind::Backpressure,
        Kind::Stale,
        Kind::NotFound,
        Kind::DataLost,
        Kind::Invalid,
        Kind::Denied,
        Kind::Closed,
        Kind::Internal,
        Kind::Broken,
    ];

    /// The code on the wire.
    pub fn code(self) -> u8 {
        match self {
            Kind::Retry => 1,
            Kind::Backpressure => 2,
            Kind::Stale => 3,
            Kind::NotFound => 4,
            Kind::DataLost => 5,
            Kind::Invalid => 6,
            Kind::Denied => 7,
            Kind::Closed => 8,
            Kind::Internal => 9,
            Kind::Broken => 10,
        }
    }

    /// The kind of a wire code; an unknown one (of a newer peer) is `Internal`.
    pub fn from_code(code: u8) -> Kind {
        Kind::ALL.into_iter().find(|kind| kind.code() == code).unwrap_or(Kind::Internal)
    }

    /// The name in logs, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Retry => "retry",
            Kind::Backpressure => "backpressure",
            Kind::Stale => "stale",
            Kind::NotFound => "not found",
            Kind::DataLost => "data lost",
            Kind::Invalid => "invalid",
            Kind::Denied => "denied",
            Kind::Closed => "closed",
            Kind::Internal => "internal",
            Kind::Broken => "chain broken",
        }
    }
}

/// A failure as callers see it: a kind to act on and a text that says what, where and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
}

impl Error {
    /// An error of `kind`; `message` says what was wrong, where, and what to do.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What to do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What went wrong, without the kind.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same error with what was being done put before its message.
    pub fn context(self, doing: impl fmt::Display) -> Self {
        Self { kind: self.kind, message: format!("{doing}: {}", self.message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.kind.name())
    }
}

impl std::error::Error for Error {}

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_back_from_its_code() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), kind);
        }
        assert_eq!(Kind::from_code(200), Kind::Internal);
    }
}
