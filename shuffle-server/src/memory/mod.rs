//! The memory that a worker keeps blocks in: one budget, one pool.
//!
//! - [`Budget`]: how many bytes may be held at once; who finds none left waits, fairly between applications.
//! - [`Pool`]: recycled memory in size classes. Touching fresh memory is the dearest thing on the way of a byte, so
//!   memory that was used once is kept for the next frame.
//! - [`PooledBuf`]: a frame's memory together with its permit. Dropping it gives back both.
//!
//! # Invariants
//! - Permits held never exceed the budget, and all come back: a permit lives in the buffer that it pays for.
//! - Memory held and memory kept for reuse together never exceed the budget: when sizes shift, kept memory of other
//!   classes is returned to the system first. What comes on top is page rounding: at most one huge page (2 MiB) per
//!   size class in use.

mod budget;
mod buf;
mod classes;
mod pool;

pub use budget::{Budget, Permit};
pub use buf::PooledBuf;
pub use pool::Pool;

#[cfg(test)]
mod tests;
