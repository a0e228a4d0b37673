//! The secret of one run: whoever connects must know it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// 256 random bits in hexadecimal.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Token(String);

impl Token {
    /// A new one from the system's generator.
    pub(crate) fn random() -> Result<Self> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::channel(format!("the system gives no random numbers: {error}")))?;
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        Ok(Self(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()))
    }

    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Compares in a time that says nothing about where the two differ.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        let (left, right) = (self.0.as_bytes(), other.0.as_bytes());
        left.len() == right.len() && left.iter().zip(right).fold(0, |difference, (l, r)| difference | (l ^ r)) == 0
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
        assert!(first.matches(&first.clone()) && !first.matches(&second));
        assert!(!first.matches(&Token::from_text(&first.text()[1..])));
        assert_eq!(first.text().len(), 64);
        assert!(!format!("{first:?}").contains(first.text()));
    }
}
