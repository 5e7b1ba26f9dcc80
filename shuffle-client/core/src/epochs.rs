//! Where a client hears of a shuffle's newest epochs: from the driver, which owns placement.
//!
//! # Format of a trouble
//! Little-endian; a text is a 16-bit length and UTF-8.
//!
//! | field | size |
//! |---|---|
//! | kind: 1 unreadable, 2 broken, 3 split | 1 |
//! | shard, epoch (not of 1) | 2 × 4 |
//! | suspect (of 2): whether there is one, its UUID and incarnation | 1, (16, 8) |
//! | why (of 2) | text |

use std::fmt;

use bytes::{Buf, TryGetError};

use crate::{AppId, Error, ErrorKind, Placement, Result, WorkerId};

/// What a client found wrong with the placement that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Blocks are missing, or a worker can't be read: is there anything newer? It opens nothing.
    Unreadable,
    /// A chain can't be written to.
    Broken {
        /// The shard.
        shard: u32,
        /// The newest epoch of it that the client knows.
        epoch: u32,
        /// The member that failed, if that is known.
        suspect: Option<WorkerId>,
        /// What it said, for people.
        why: String,
    },
    /// The newest epoch of a shard has grown too large.
    Split {
        /// The shard.
        shard: u32,
        /// The newest epoch of it that the client knows.
        epoch: u32,
    },
}

/// The driver, as its tasks reach it. An [`Application`](crate::Application) is one itself; engines with executors put
/// their own messages in between.
pub trait Driver: Send + Sync + fmt::Debug {
    /// The placement of `shuffle` as it is now, after the driver has done what `trouble` calls for. It blocks, and is
    /// called on a thread of the client's own, for one trouble at a time per shuffle.
    ///
    /// # Errors
    /// `NotFound` if there is no such shuffle (any more); others as reaching the driver goes.
    fn ask(&self, app: &AppId, shuffle: u32, trouble: &Trouble) -> Result<Placement>;
}

impl Trouble {
    const MAX_WHY: usize = 1 << 10;

    /// The bytes, for the engine's own messages; a long text is cut.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![];
        match self {
            Trouble::Unreadable => out.push(1),
            Trouble::Broken { shard, epoch, suspect, why } => {
                out.push(2);
                out.extend_from_slice(&shard.to_le_bytes());
                out.extend_from_slice(&epoch.to_le_bytes());
                out.push(u8::from(suspect.is_some()));
                if let Some(worker) = suspect {
                    out.extend_from_slice(&worker.id.as_u128().to_le_bytes());
                    out.extend_from_slice(&worker.incarnation.to_le_bytes());
                }
                let mut len = why.len().min(Self::MAX_WHY);
                while !why.is_char_boundary(len) {
                    len -= 1;
                }
                out.extend_from_slice(&(len as u16).to_le_bytes());
                out.extend_from_slice(&why.as_bytes()[..len]);
            }
            Trouble::Split { shard, epoch } => {
                out.push(3);
                out.extend_from_slice(&shard.to_le_bytes());
                out.extend_from_slice(&epoch.to_le_bytes());
            }
        }
        out
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// `Invalid` if they are no trouble that this code knows.
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let trouble = match bytes.try_get_u8().map_err(short)? {
            1 => Trouble::Unreadable,
            2 => {
                let shard = bytes.try_get_u32_le().map_err(short)?;
                let epoch = bytes.try_get_u32_le().map_err(short)?;
                let suspect = match bytes.try_get_u8().map_err(short)? {
                    0 => None,
                    _ => {
                        let id = uuid::Uuid::from_u128(bytes.try_get_u128_le().map_err(short)?);
                        Some(WorkerId { id, incarnation: bytes.try_get_u64_le().map_err(short)? })
                    }
                };
                let len = usize::from(bytes.try_get_u16_le().map_err(short)?);
                let (why, rest) = bytes.split_at_checked(len).ok_or_else(|| malformed("the text is cut off"))?;
                bytes = rest;
                let why = String::from_utf8(why.to_vec()).map_err(|_| malformed("the text is not UTF-8"))?;
                Trouble::Broken { shard, epoch, suspect, why }
            }
            3 => {
                let shard = bytes.try_get_u32_le().map_err(short)?;
                Trouble::Split { shard, epoch: bytes.try_get_u32_le().map_err(short)? }
            }
            other => return Err(malformed(format!("kind {other} is unknown: use the same client everywhere"))),
        };
        match bytes.len() {
            0 => Ok(trouble),
            left => Err(malformed(format!("{left} bytes too many"))),
        }
    }
}

fn short(error: TryGetError) -> Error {
    malformed(format!("it is cut off: {} bytes are needed, {} are left", error.requested, error.available))
}

fn malformed(what: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Invalid, format!("malformed report of trouble: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_trouble_comes_back_from_its_bytes() {
        let worker = WorkerId { id: uuid::Uuid::from_u128(77), incarnation: 3 };
        for trouble in [
            Trouble::Unreadable,
            Trouble::Broken { shard: 3, epoch: 1, suspect: Some(worker), why: "gone".into() },
            Trouble::Broken { shard: 0, epoch: 0, suspect: None, why: String::new() },
            Trouble::Split { shard: 9, epoch: 4 },
        ] {
            let bytes = trouble.encode();
            assert_eq!(Trouble::decode(&bytes), Ok(trouble));
            assert!((0..bytes.len()).all(|len| Trouble::decode(&bytes[..len]).is_err()));
        }
        let long = Trouble::Broken { shard: 0, epoch: 0, suspect: None, why: "ü".repeat(5000) };
        assert!(Trouble::decode(&long.encode()).is_ok(), "cut at a character");
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Trouble::decode(&bytes);
        }
    }
}
