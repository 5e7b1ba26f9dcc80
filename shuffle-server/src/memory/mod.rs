//! The memory that a worker keeps blocks in: one budget, one pool.

use std::ops::{Deref, DerefMut};

/// Memory for one frame, of exactly the length that was asked for, which holds its permit of the budget until it is
/// dropped. It is recycled: what is in it before it is written is stale, so never show more than was read into it.
#[derive(Debug)]
pub struct PooledBuf {
    bytes: Box<[u8]>,
}

impl Deref for PooledBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for PooledBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}
