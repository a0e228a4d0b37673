//! The secret of one run: whoever connects must know it.

use crate::error::{Error, Result};

/// 256 random bits in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// A new one from the system's generator.
    pub(crate) fn random() -> Result<Self> {
        let bytes = Self::nonce()?;
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        Ok(Self(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()))
    }

    /// A number that nobody has used before.
    pub(crate) fn nonce() -> Result<[u8; 32]> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::channel(format!("the system gives no random numbers: {error}")))?;
        Ok(bytes)
    }

    /// The key of this token, whatever its text: a user may have written it.
    pub(crate) fn key(&self) -> [u8; 32] {
        blake3::derive_key("trainloop 2026-11 the channel between a driver and its workers", self.0.as_bytes())
    }

    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_stay_out_of_debug_output() {
        let (first, second) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(first.key(), Token::from_text(first.text()).key());
        assert_ne!(first.key(), second.key());
        assert_eq!(first.text().len(), 64);
        assert!(!format!("{first:?}").contains(first.text()));
    }
}
