//! What a run is to be like, beyond its seed.

/// A rule that is broken on purpose, to show that the checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Workers acknowledge what they have not forwarded.
    NoForwarding,
    /// Writers take for settled what no worker was asked to settle.
    NoSettling,
    /// A worker that took a copy says so without having it.
    NoCopying,
    /// Workers delete what a single coordinator calls expired.
    OneWordIsEnough,
    /// Workers take for deleted what they have not deleted.
    NoDeleting,
}

/// What a run is to be like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Print what happens.
    pub prints: bool,
    /// Break a rule.
    pub broken: Option<Broken>,
}
