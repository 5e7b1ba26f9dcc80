//! The Overhand client: writes and reads shuffles from any engine.
//!
//! A driver holds an [`Application`]: it registers with the coordinators, keeps the lease, and makes a [`Placement`] for
//! each shuffle. Whoever runs tasks holds one [`Client`], whose [`Writer`]s and [`Reader`]s share connections, memory
//! and threads. Everything here blocks; the asynchronous machinery is inside.
//!
//! # Layout
//! - [`application`]: the driver's side: registration, lease, placement, epochs, repair, removal.
//! - [`placement`]: where the shards of one shuffle are; travels from the driver to the tasks.
//! - [`epochs`]: how a client hears of the shards' newest epochs.
//! - [`client`]: one per executor: settings, connections, memory, counters.
//! - [`writer`]: batches of records in, blocks out.
//! - [`reader`]: blocks in, batches of items out.
//! - `codec`: compression and encryption of a block's payload.
//! - `link`: connections to workers, made again when they break.
//! - `control`: calls to coordinators.
//! - `pool`: memory that is mapped once and used again.
//!
//! # A record, step by step
//! 1. A task takes a [`Chunk`] from its [`Writer`] and puts records into it: partition, length, bytes.
//! 2. [`Writer::push`] hands full chunks over. In the background they are sorted by partition; each partition's run
//!    is compressed and sealed as a block.
//! 3. Blocks of one shard travel in frames. The worker acknowledges each; [`Writer::finish`] returns when every shard
//!    that the attempt touched has said that it holds exactly what was sent.
//! 4. A [`Reader`] fetches a range of partitions, drops what it was not told to expect, checks, decrypts and
//!    decompresses each block, and hands out [`Batch`]es of whole items.
//! 5. After the last batch it knows, by the writers' own marks, that nothing was missing; else it says which attempts
//!    must be run again.

#![cfg_attr(
    feature = "sim",
    allow(
        missing_docs,
        clippy::len_without_is_empty,
        clippy::new_without_default,
        clippy::should_implement_trait,
        reason = "what the simulation sees is no interface"
    )
)]

pub mod application;
#[cfg(feature = "bench")]
pub mod bench;
pub mod client;
mod codec;
mod control;
pub mod epochs;
mod link;
pub mod placement;
mod pool;
pub mod reader;
pub mod writer;

/// The plain state machines of writers, readers and drivers, for the simulation, which moves messages between them.
#[cfg(feature = "sim")]
pub mod sim {
    pub use crate::{
        application::sim::{Answer, Job, Keeper, SHORTEST_PAUSE, State},
        reader::sim::{Lacking, NextRead, Read, Shards, Wanted},
        writer::sim::{Legs, NextFrame, Piece},
    };
}

pub use application::{Application, ApplicationConfig, Health};
pub use client::{Client, ClientConfig, Counters, Interrupt};
pub use epochs::{Driver, Trouble};
pub use overhand_common::{
    Error, ErrorKind, Result,
    block::Codec,
    ids::{AppId, Attempt, Layout, WorkerId},
};
pub use placement::{Epoch, Place, Placement};
pub use reader::{Batch, Expected, ReadError, ReadRequest, ReadStats, Reader};
pub use writer::{Chunk, WriteStats, Writer};
