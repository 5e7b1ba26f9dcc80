//! How an application's data fares, as its driver says.

use overhand_proto::v1::ApplicationHealth;

/// How many losses are kept, and how long each text may be.
const LOSSES: usize = 8;
const LOSS_LEN: usize = 400;

/// An application's word about its data. All but what is under-replicated are counts since it was registered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wellbeing {
    /// Chains that lost a member while they took data.
    pub chains_broken: u64,
    /// Epochs that were opened after a shard's first.
    pub epochs_opened: u64,
    /// Epochs of shards that fewer workers hold than should, now.
    pub under_replicated_epochs: u64,
    /// About how many bytes these have.
    pub under_replicated_bytes: u64,
    /// Epochs of shards that were copied to another worker.
    pub copies_made: u64,
    /// Map outputs that no worker holds any more.
    pub lost_map_outputs: u64,
    /// The last losses, for people.
    pub losses: Vec<String>,
}

impl Wellbeing {
    /// Reads the message; of the texts only the last few are kept, and of each the beginning.
    pub fn decode(message: ApplicationHealth) -> Self {
        let skipped = message.losses.len().saturating_sub(LOSSES);
        let shortened = |text: String| text.chars().take(LOSS_LEN).collect();
        Self {
            chains_broken: message.chains_broken,
            epochs_opened: message.epochs_opened,
            under_replicated_epochs: message.under_replicated_epochs,
            under_replicated_bytes: message.under_replicated_bytes,
            copies_made: message.copies_made,
            lost_map_outputs: message.lost_map_outputs,
            losses: message.losses.into_iter().skip(skipped).map(shortened).collect(),
        }
    }

    /// The message.
    pub fn encode(self) -> ApplicationHealth {
        ApplicationHealth {
            chains_broken: self.chains_broken,
            epochs_opened: self.epochs_opened,
            under_replicated_epochs: self.under_replicated_epochs,
            under_replicated_bytes: self.under_replicated_bytes,
            copies_made: self.copies_made,
            lost_map_outputs: self.lost_map_outputs,
            losses: self.losses,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_losses_and_their_beginnings_are_kept() {
        let losses = (0..100).map(|at| format!("{at} {}", "ä".repeat(10_000))).collect();
        let kept = Wellbeing::decode(ApplicationHealth { losses, ..ApplicationHealth::default() }).losses;
        assert_eq!(kept.len(), LOSSES);
        assert!(kept[0].starts_with("92 ") && kept.iter().all(|text| text.chars().count() == LOSS_LEN));
    }
}
