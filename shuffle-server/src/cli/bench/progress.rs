//! What people see while it runs, on standard error.

use std::io::{self, IsTerminal, Write};

/// One line that moves on a terminal; else a line for each step.
#[derive(Debug)]
pub struct Progress {
    moves: bool,
    what: String,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new() -> Self {
        Self { moves: io::stderr().is_terminal(), what: String::new() }
    }

    /// Something else begins.
    pub fn step(&mut self, what: &str) {
        self.what = what.to_owned();
        self.show(what);
    }

    /// So much of it is done.
    pub fn part(&self, done: u64, total: u64) {
        if self.moves {
            self.show(&format!("{} {} %", self.what, percent(done, total)));
        }
    }

    /// Nothing more will be shown.
    pub fn end(&self) {
        if self.moves {
            self.show("");
        }
    }

    fn show(&self, text: &str) {
        let mut out = io::stderr().lock();
        // Who does not listen does not stop the measurement.
        let _unheard = if self.moves { write!(out, "\r\x1b[K{text}") } else { writeln!(out, "{text}") };
        let _unheard = out.flush();
    }
}

fn percent(done: u64, total: u64) -> u64 {
    done.saturating_mul(100) / total.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_nothing_is_no_part() {
        assert_eq!([percent(0, 0), percent(1, 3), percent(3, 3)], [0, 33, 100]);
    }
}
