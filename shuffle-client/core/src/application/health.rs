//! How an application's data fares.

use std::collections::VecDeque;

use overhand_proto::v1::ApplicationHealth;

/// So many losses are kept.
const LOSSES: usize = 10;
/// The longest text of a loss, in bytes.
const LONGEST_LOSS: usize = 300;

/// How an application's data fares. Counts are since it was registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Chains that lost a member while they took data.
    pub chains_broken: u64,
    /// Epochs that were opened after a shard's first: because of a broken chain, a lost worker, a drain, or a split.
    pub epochs_opened: u64,
    /// Epochs of shards that fewer workers hold than should, now.
    pub under_replicated_epochs: u64,
    /// What these epochs have, in bytes, as far as the workers' reports tell: as if each worker's epochs were equally large.
    pub under_replicated_bytes: u64,
    /// Epochs of shards that were copied to another worker.
    pub copies_made: u64,
    /// Copies that failed; each is tried again, with other workers where there are some.
    pub copies_failed: u64,
    /// Map outputs that no worker holds any more, as the engine said.
    pub lost_map_outputs: u64,
    /// The last few losses, for people.
    pub losses: VecDeque<String>,
}

impl Health {
    /// `outputs` map outputs of `shuffle` are gone.
    pub(super) fn lose(&mut self, shuffle: u32, outputs: u64, text: &str) {
        self.lost_map_outputs += outputs;
        let mut len = text.len().min(LONGEST_LOSS);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        self.losses.push_back(format!("shuffle {shuffle}: {outputs} map outputs: {}", &text[..len]));
        if self.losses.len() > LOSSES {
            self.losses.pop_front();
        }
    }

    /// As coordinators are told.
    pub(super) fn encode(&self) -> ApplicationHealth {
        ApplicationHealth {
            chains_broken: self.chains_broken,
            epochs_opened: self.epochs_opened,
            under_replicated_epochs: self.under_replicated_epochs,
            under_replicated_bytes: self.under_replicated_bytes,
            copies_made: self.copies_made,
            lost_map_outputs: self.lost_map_outputs,
            losses: self.losses.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_losses_are_kept_and_long_texts_are_cut() {
        let mut health = Health::default();
        for shuffle in 0..15 {
            health.lose(shuffle, 2, &"ü".repeat(400));
        }
        let told = health.encode();
        assert_eq!((told.lost_map_outputs, told.losses.len()), (30, LOSSES));
        assert!(told.losses[0].starts_with("shuffle 5: 2 map outputs: ü") && told.losses[0].len() < 400);
    }
}
