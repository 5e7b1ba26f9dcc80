//! Which frames an attempt sent in which epoch of a shard, and what becomes of them. Plain state: no link, no clock.

use std::collections::VecDeque;

use overhand_common::message::Fin;

/// A frame, wherever it is sent.
#[derive(Debug)]
pub struct Piece<B> {
    /// What it carries.
    pub body: B,
    /// What it adds to what a worker must hold, itself included.
    pub sums: Fin,
    /// It is the attempt's last one on the shard.
    pub last: bool,
}

/// What to send next, in the current leg.
#[derive(Debug)]
pub struct Next<B> {
    pub leg: usize,
    pub frame: u32,
    /// In the last frame: what the workers of the epoch must hold by then.
    pub fin: Option<Fin>,
    pub body: B,
}

/// What an attempt sent in one epoch of a shard.
#[derive(Debug)]
struct Leg<B> {
    sent: Fin,
    /// The first frames, all of them acknowledged. What comes after is under way.
    acknowledged: Fin,
    under_way: VecDeque<(Piece<B>, bool)>,
    /// Its chain failed: what is not acknowledged by now goes elsewhere, whatever comes of it here.
    broken: bool,
    /// Its last frame was sent here.
    closed: bool,
    settling: bool,
    settled: bool,
}

/// The legs of one attempt on one shard, one for each epoch that it used; the last one is the current.
///
/// The attempt's last frame is sent when nothing is under way in the earlier legs, so that nothing can come after it.
#[derive(Debug)]
pub struct Legs<B> {
    legs: Vec<Leg<B>>,
    /// What is to be sent in the current leg, in order.
    pending: VecDeque<Piece<B>>,
    /// The attempt's last frame was given.
    finishing: bool,
}

impl<B: Clone> Legs<B> {
    /// No leg and nothing to send.
    pub fn new() -> Self {
        Self { legs: vec![], pending: VecDeque::new(), finishing: false }
    }

    /// Opens the next leg; what is sent from here on goes there. Its number is how many there were.
    pub fn open(&mut self) {
        self.legs.push(Leg {
            sent: Fin::default(),
            acknowledged: Fin::default(),
            under_way: VecDeque::new(),
            broken: false,
            closed: false,
            settling: false,
            settled: false,
        });
    }

    /// Takes a frame.
    pub fn push(&mut self, piece: Piece<B>) {
        self.finishing |= piece.last;
        self.pending.push_back(piece);
    }

    /// The next frame to send now. It counts as under way.
    pub fn next(&mut self) -> Option<Next<B>> {
        let at = self.legs.len().checked_sub(1)?;
        let (current, earlier) = self.legs.split_last_mut()?;
        let last = self.pending.front()?.last;
        if current.broken || last && earlier.iter().any(|leg| !leg.under_way.is_empty()) {
            return None;
        }
        let piece = self.pending.pop_front()?;
        let frame = current.sent.frames;
        add(&mut current.sent, &piece.sums);
        current.closed = last;
        let body = piece.body.clone();
        current.under_way.push_back((piece, false));
        Some(Next { leg: at, frame, fin: last.then_some(current.sent), body })
    }

    /// A frame was acknowledged; returns what is done with: to be dropped when nothing is locked.
    pub fn acknowledged(&mut self, leg: usize, frame: u32) -> Vec<Piece<B>> {
        let leg = &mut self.legs[leg];
        let at = frame.wrapping_sub(leg.acknowledged.frames) as usize;
        let Some((_, acknowledged)) = leg.under_way.get_mut(at) else { return vec![] };
        *acknowledged = true;
        let mut done = vec![];
        while let Some((piece, _)) = leg.under_way.pop_front_if(|(_, acknowledged)| *acknowledged) {
            add(&mut leg.acknowledged, &piece.sums);
            done.push(piece);
        }
        done
    }

    /// The chain of a leg failed: what is under way there is sent again, before everything that waits. False if that is
    /// known, or nothing was under way.
    pub fn broke(&mut self, leg: usize) -> bool {
        let leg = &mut self.legs[leg];
        if leg.broken || leg.under_way.is_empty() {
            return false;
        }
        (leg.broken, leg.closed) = (true, false);
        for (piece, _) in std::mem::take(&mut leg.under_way).into_iter().rev() {
            self.pending.push_front(piece);
        }
        true
    }

    /// Nothing can be sent before another leg is opened.
    pub fn is_stuck(&self) -> bool {
        self.legs.last().is_none_or(|leg| leg.broken)
    }

    /// The attempt's last frame is under way or acknowledged: no other leg is needed unless this one breaks.
    pub fn is_closed(&self) -> bool {
        self.legs.last().is_some_and(|leg| leg.closed)
    }

    /// Once the last frame was given: the legs that are not the current and have acknowledged frames, when nothing is
    /// under way there any more; what their workers must hold. Each is told once.
    pub fn take_ready(&mut self) -> Vec<(usize, Fin)> {
        let current = self.legs.len().saturating_sub(1);
        if !self.finishing {
            return vec![];
        }
        let mut ready = vec![];
        for (at, leg) in self.legs[..current].iter_mut().enumerate() {
            if leg.under_way.is_empty() && leg.acknowledged.frames > 0 && !std::mem::replace(&mut leg.settling, true) {
                ready.push((at, leg.acknowledged));
            }
        }
        ready
    }

    /// A worker has said that it holds what was acknowledged in a leg.
    pub fn settled(&mut self, leg: usize) {
        self.legs[leg].settled = true;
    }

    /// Every frame was acknowledged, in legs that were closed or settled.
    pub fn is_done(&self) -> bool {
        let done =
            |leg: &Leg<B>| leg.under_way.is_empty() && (leg.acknowledged.frames == 0 || leg.closed || leg.settled);
        self.finishing && self.pending.is_empty() && self.legs.iter().all(done)
    }
}

fn add(sums: &mut Fin, more: &Fin) {
    sums.frames += more.frames;
    sums.blocks += more.blocks;
    sums.bytes += more.bytes;
    sums.crc_xor ^= more.crc_xor;
}

#[cfg(test)]
mod tests;
