//! A frame under way, and who is told what becomes of it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use overhand_common::message::{Ack, Push};

use super::flow::Flow;
use crate::{Error, WorkerId, pool::Buffer};

/// What a frame carries. It has entered its flow, and leaves it when it is dropped: acknowledged, or of no use any more.
#[derive(Debug)]
pub(crate) struct Body {
    /// Its blocks; none in a frame that only closes an attempt.
    pub(crate) buffer: Option<Buffer>,
    /// Bytes of blocks.
    pub(crate) len: usize,
    /// Blocks.
    pub(crate) blocks: u32,
    /// Bytes of memory, as its flow counts them.
    pub(crate) cost: usize,
    /// Whose it is.
    pub(crate) flow: Arc<Flow>,
    /// It was sent, to any worker.
    sent: AtomicBool,
}

impl Body {
    /// One with `blocks` blocks in the first `len` bytes of `buffer`, which entered `flow` with `cost`.
    pub(crate) fn new(buffer: Option<Buffer>, len: usize, blocks: u32, cost: usize, flow: &Arc<Flow>) -> Arc<Self> {
        Arc::new(Self { buffer, len, blocks, cost, flow: Arc::clone(flow), sent: AtomicBool::new(false) })
    }

    /// One without blocks, which enters `flow` here.
    pub(crate) fn empty(flow: &Arc<Flow>) -> Arc<Self> {
        flow.join();
        Self::new(None, 0, 0, 0, flow)
    }

    /// Notes that it is sent; says whether that brings anything new to anybody.
    pub(super) fn note_sent(&self) -> bool {
        !self.sent.swap(true, Relaxed) && self.blocks > 0
    }

    /// The blocks' bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer[..self.len])
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.buffer = None;
        self.flow.leave(self.cost);
    }
}

/// Why a frame failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    /// What was said, or happened.
    pub(crate) error: Error,
    /// Who failed, as far as that is known.
    pub(crate) suspect: Option<WorkerId>,
    /// The worker itself answered: it can be reached.
    pub(crate) answered: bool,
}

/// Who sends a frame and is told what becomes of it, on the link's task: it must
/// not wait.
pub(crate) trait Owner: Send + Sync + fmt::Debug {
    /// Whether the frame is still to be sent; one that is not is dropped, and its owner hears no more of it.
    fn wanted(&self) -> bool;

    /// The whole chain has it.
    fn acknowledged(&self, push: &Push, ack: Ack);

    /// It was refused, or did not get there; the chain, or a part of it, may have it all the same.
    fn failed(&self, push: &Push, failed: Failed);
}

/// A frame under way.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The push; its head is made when it is known which version of the protocol the worker speaks.
    pub(crate) push: Push,
    /// What it carries.
    pub(crate) body: Arc<Body>,
    /// Who is told.
    pub(crate) owner: Arc<dyn Owner>,
}

impl Frame {
    /// Whether it is still to be sent.
    pub(super) fn wanted(&self) -> bool {
        self.owner.wanted() && self.body.flow.failure().is_none()
    }

    /// Tells the owner.
    pub(super) fn fail(&self, failed: Failed) {
        self.owner.failed(&self.push, failed);
    }
}
