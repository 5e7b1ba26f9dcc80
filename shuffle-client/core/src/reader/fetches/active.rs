//! A fetch that runs, and its credit.

use std::{sync::Arc, time::Instant};

use super::{Ask, Read};
use crate::link::fetch::{FetchLink, Stream};

/// A fetch that runs.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) read: Read,
    /// Who is asked, by its place among the members.
    pub(super) member: usize,
    pub(super) link: Arc<FetchLink>,
    pub(super) stream: Stream,
    /// Bytes that may be on their way or waiting to be decoded.
    pub(super) window: u64,
    /// Bytes that came since it was asked.
    pub(super) received: u64,
    /// Bytes that it was allowed to send since it was asked.
    granted: u64,
    /// Bytes that were used and not granted again yet.
    used: u64,
    pub(super) asked: Instant,
    /// It waits for a worker that is out of reach.
    pub(super) patient: bool,
    /// Since when it owes something with nothing coming.
    pub(super) since: Instant,
    /// It is known to be slow, and all was done that can be.
    pub(super) late: bool,
    pub(super) damage: Option<String>,
}

impl Active {
    /// A fetch that was just asked for.
    pub(super) fn new(read: Read, ask: Ask, link: Arc<FetchLink>, stream: Stream, window: u64) -> Self {
        let now = Instant::now();
        Self {
            read,
            member: ask.member,
            link,
            stream,
            window,
            received: 0,
            granted: window,
            used: 0,
            asked: now,
            patient: ask.again,
            since: now,
            late: false,
            damage: None,
        }
    }

    /// A body of `len` bytes was used; the worker may send as much again.
    pub(super) fn used(&mut self, len: usize, damage: Option<String>) {
        self.used += len as u64;
        if self.used >= self.window / 2 {
            let used = std::mem::take(&mut self.used);
            self.grant(used);
        }
        self.damage = self.damage.take().or(damage);
    }

    /// Has all of a window from now on.
    pub(super) fn widen(&mut self, window: u64) {
        if self.window < window {
            self.grant(window - self.window);
            self.window = window;
        }
    }

    /// Whether the worker may send something and has not.
    pub(super) fn owes(&self) -> bool {
        self.received < self.granted
    }

    /// Lets the worker send `bytes` more.
    fn grant(&mut self, bytes: u64) {
        if !self.owes() {
            self.since = Instant::now();
        }
        self.granted += bytes;
        self.link.grant(self.stream, bytes);
    }
}
