//! AES-GCM over a block's payload: a 12-byte nonce, the ciphertext, a 16-byte tag.

use aes_gcm::{AeadInOut, Aes128Gcm, Aes256Gcm, AesGcm, KeyInit, aead::consts::U12, aes::Aes192};
use overhand_common::block::{Flags, Header};
use rand::RngCore;

use crate::{Error, ErrorKind, Result};

pub(super) const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
/// What encryption adds to a payload.
pub(crate) const OVERHEAD: usize = NONCE_LEN + TAG_LEN;

/// Encrypts and decrypts payloads. The header's fields are authenticated with them, so that a block can't be passed
/// off as another one.
pub(crate) enum Cipher {
    Aes128(Box<Aes128Gcm>),
    Aes192(Box<AesGcm<Aes192, U12>>),
    Aes256(Box<Aes256Gcm>),
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher(..)")
    }
}

impl Cipher {
    /// A cipher with a key of 16, 24 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Result<Self> {
        let wrong = |_| {
            Error::new(ErrorKind::Invalid, format!("an encryption key of {} bytes: 16, 24 or 32 are needed", key.len()))
        };
        Ok(match key.len() {
            16 => Cipher::Aes128(Box::new(Aes128Gcm::new_from_slice(key).map_err(wrong)?)),
            24 => Cipher::Aes192(Box::new(AesGcm::new_from_slice(key).map_err(wrong)?)),
            _ => Cipher::Aes256(Box::new(Aes256Gcm::new_from_slice(key).map_err(wrong)?)),
        })
    }

    /// Encrypts what is in the middle of `payload`, with [`OVERHEAD`] bytes around it.
    pub(super) fn seal(&self, header: &Header, payload: &mut [u8]) -> Result<()> {
        let (nonce, rest) = payload.split_at_mut(NONCE_LEN);
        let (text, tag) = rest.split_at_mut(rest.len() - TAG_LEN);
        let mut fresh = [0; NONCE_LEN];
        rand::rng().fill_bytes(&mut fresh);
        nonce.copy_from_slice(&fresh);
        let (nonce, about) = (fresh.into(), associated(header));
        let made = match self {
            Cipher::Aes128(cipher) => cipher.encrypt_inout_detached(&nonce, &about, text.into()),
            Cipher::Aes192(cipher) => cipher.encrypt_inout_detached(&nonce, &about, text.into()),
            Cipher::Aes256(cipher) => cipher.encrypt_inout_detached(&nonce, &about, text.into()),
        };
        tag.copy_from_slice(&made.map_err(|_| Error::new(ErrorKind::Internal, "a block could not be encrypted"))?);
        Ok(())
    }

    /// Decrypts in place; returns the text.
    pub(super) fn open<'a>(&self, header: &Header, payload: &'a mut [u8]) -> Result<&'a [u8]> {
        let wrong = || Error::new(ErrorKind::DataLost, "it could not be decrypted: damaged, or another key was used");
        if payload.len() < OVERHEAD {
            return Err(wrong());
        }
        let (nonce, rest) = payload.split_at_mut(NONCE_LEN);
        let (text, tag) = rest.split_at_mut(rest.len() - TAG_LEN);
        let (Ok(nonce), Ok(tag)) = (<[u8; NONCE_LEN]>::try_from(&*nonce), <[u8; TAG_LEN]>::try_from(&*tag)) else {
            return Err(wrong());
        };
        let (nonce, tag, about) = (nonce.into(), tag.into(), associated(header));
        let opened = match self {
            Cipher::Aes128(cipher) => cipher.decrypt_inout_detached(&nonce, &about, (&mut *text).into(), &tag),
            Cipher::Aes192(cipher) => cipher.decrypt_inout_detached(&nonce, &about, (&mut *text).into(), &tag),
            Cipher::Aes256(cipher) => cipher.decrypt_inout_detached(&nonce, &about, (&mut *text).into(), &tag),
        };
        opened.map_err(|_| wrong())?;
        Ok(text)
    }
}

fn associated(header: &Header) -> [u8; 30] {
    let mut out = [0; 30];
    out[..4].copy_from_slice(&header.partition.to_le_bytes());
    out[4..8].copy_from_slice(&header.attempt.map_index.to_le_bytes());
    out[8..16].copy_from_slice(&header.attempt.attempt.to_le_bytes());
    out[16..20].copy_from_slice(&header.seq.to_le_bytes());
    out[20..24].copy_from_slice(&header.items.to_le_bytes());
    out[24..28].copy_from_slice(&header.raw_len.to_le_bytes());
    out[28] = header.codec.code();
    out[29] = header.flags.with(Flags::ENCRYPTED).bits();
    out
}
