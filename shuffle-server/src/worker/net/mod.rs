//! The data plane: framed TCP between clients and this worker. The messages are in [`overhand_common::message`].
//!
//! - [`Plane`]: accepts connections, within limits, until it is told to stop.
//! - `connection`: one connection: the hello, then message by message in the order in which they come.
//! - `input`: reads headers and heads through a small buffer, bodies straight into the memory that was reserved for
//!   them.
//! - `push`: header → head → memory → body → store and next worker of the chain → acknowledgement.
//! - `forward`: connections to the next workers of chains; `order`: answers go back in the order of the frames.
//! - `fetch`: one stream of a fetch: waits for credit and for its turn, then sends the next piece.
//! - `changes`: removals, copies: requests that run beside the reader. `copy` takes copies from other workers, within a
//!   `bandwidth`.
//! - `dial`: opens a connection to another worker, with the application's own token, which `tokens` has kept.
//! - `busy`: says once a second that the worker is alive while it owes an answer.
//! - `output`: one message at a time on a socket: memory by a vectored write, files by `sendfile`.
//! - `pages`: keeps disk reads off the threads that serve sockets.
//!
//! # Invariants
//! - Nothing that a peer says sizes an allocation before the header's checksum and limits were checked; a body is read
//!   only into memory that the store's budget has granted. While there is none the connection is not read: TCP holds
//!   the writer back, and other connections go on.
//! - Frames of one connection reach the store, and the next worker of their chain, in their order. Frames that were
//!   forwarded and last frames of attempts may be left waiting (for the next worker, for the disk) while the next frames
//!   are taken. The answers to one attempt's frames go back in the order of the frames, and none after a refused frame
//!   is an acknowledgement.
//! - A frame is acknowledged when our own store has it and all workers that come after us have; a repeat goes all the way
//!   again.
//! - What waits for other workers holds a bounded part of the memory, in levels that depend on lower ones only: no cycle
//!   of workers waits for each other, see `forward`.
//! - A worker acts on others with the application's token only.
//! - A connection that owes an answer is never quiet for much longer than a second (protocol version 2).
//! - A request that fails is answered on its stream, and the connection goes on. It is closed when the bytes can't be
//!   trusted any more: a header that is damaged or over its limits, a message that stops half-way, a stalled peer.
//! - A connection holds one piece of memory for fetches at most, however many streams it carries: a stream asks for
//!   its next piece when it is its turn to send.

mod bandwidth;
mod busy;
mod changes;
mod connection;
mod copy;
mod dial;
mod fetch;
mod forward;
mod input;
mod metrics;
mod order;
mod output;
mod pages;
mod plane;
mod push;
mod tokens;

/// What a simulation uses of the data plane.
#[cfg(feature = "sim")]
pub mod sim {
    pub use super::{
        forward::passed_on,
        order::{Order, Queued, Verdict},
    };
}

pub use metrics::Metrics;
pub use plane::{Limits, Plane};

use std::io;

use overhand_common::{Error, Malformed};

/// Why a connection can't go on.
#[derive(Debug, thiserror::Error)]
enum Broken {
    /// The socket failed, or the other side is gone.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// The other side closed it in the middle of a message.
    #[error("it was closed in the middle of a message")]
    Truncated,
    /// The other side neither took nor gave anything for too long.
    #[error("nothing moved for too long in the middle of a message")]
    Stalled,
    /// What came makes no sense, and so nothing after it would: the error is said on this stream before closing.
    #[error("{1}")]
    Untrusted(u64, Error),
    /// A part of ours failed.
    #[error("{0}")]
    Internal(String),
}

impl From<Malformed> for Broken {
    fn from(malformed: Malformed) -> Self {
        Broken::Untrusted(0, malformed.into())
    }
}

#[cfg(test)]
mod tests;
