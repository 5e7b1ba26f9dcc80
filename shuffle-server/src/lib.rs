//! The Overhand server: worker, coordinator and the `overhand` command.
//!
//! # Layout
//! Outside in, each part knows only those below it:
//! - [`cli`]: the command line. [`config`]: one tree of values, handed out as arguments.
//! - [`standalone`]: puts a process together and takes it apart. [`endpoints`], [`health`], [`tasks`], [`secret`]: what
//!   every process has. [`admin`]: metrics and health over HTTP.
//! - [`coordinator`]: who is there, who is alive, which data may go: a state machine behind gRPC ([`control`]).
//! - [`worker::net`]: the data plane. [`worker::store`]: what a worker keeps: memtables, segments, commits.
//! - [`memory`], [`segment`], [`disk`], [`index`]: what the store is made of.
//!
//! # A push, step by step
//! 1. [`worker::net::Plane`] accepts a connection. Its first message is a [`Hello`] with a token, which tells whose
//!    data it may touch; the [`Welcome`] tells the client how much may be on its way at once.
//! 2. The connection reads a [`Header`]: 32 bytes whose checksum and limits are checked before anything is believed,
//!    then the head, a [`Push`]: shard, attempt, frame number.
//! 3. [`Store::reserve`] waits for memory of the one [`memory::Budget`]; the connection stands still meanwhile, and TCP
//!    holds the writer back. The body is read straight into the [`memory::PooledBuf`].
//! 4. [`Store::push`] checks every block's checksum and place, takes the frame if it is the attempt's next, and notes
//!    in the shard's memtable where its blocks are. The bytes stay where they were read to.
//! 5. With the attempt's last frame comes a [`Fin`]: if the worker holds exactly what it says, the attempt is
//!    committed, in memory or on disk as [`worker::store::Durability`] asks.
//! 6. The acknowledgement goes back on the frame's stream.
//! 7. Later, when memory is wanted or a reader comes, the memtable is sealed in sort order; flushed, it is an immutable
//!    [`segment`] file that the [`index`] knows.
//!
//! A fetch goes the other way: [`Store::fetch`] gives a [`Cursor`], the connection sends its pieces as credit comes in,
//! memory by a vectored write and files by `sendfile`.
//!
//! [`Hello`]: overhand_common::message::Hello
//! [`Welcome`]: overhand_common::message::Welcome
//! [`Header`]: overhand_common::message::Header
//! [`Push`]: overhand_common::message::Push
//! [`Fin`]: overhand_common::message::Fin
//! [`Store::reserve`]: worker::store::Store::reserve
//! [`Store::push`]: worker::store::Store::push
//! [`Store::fetch`]: worker::store::Store::fetch
//! [`Cursor`]: worker::store::Cursor

#![cfg_attr(feature = "sim", allow(missing_docs, reason = "what the simulation sees is no interface"))]

pub mod admin;
pub mod cli;
pub mod config;
pub mod control;
pub mod coordinator;
pub mod disk;
pub mod endpoints;
pub mod health;
pub mod index;
pub mod memory;
pub mod secret;
pub mod segment;
pub mod standalone;
pub mod tasks;
pub mod worker;
