//! What the controller's poll can wake up for.

use mio::Token;

/// A source of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Listener,
    /// A signal to this process, by its number.
    Signal(usize),
    /// A connection that has not yet said who it is.
    Stranger(usize),
    Channel(usize),
    Stdout(usize),
    Stderr(usize),
    Process(usize),
    /// The file that says how many workers there is room for.
    Slots,
    /// Processes that wait for the next generation.
    Spares,
}

impl Source {
    /// The kind in the low bits, the number above.
    pub(super) fn token(self) -> Token {
        let (kind, number) = match self {
            Self::Listener => (0, 0),
            Self::Signal(number) => (1, number),
            Self::Stranger(number) => (2, number),
            Self::Channel(rank) => (3, rank),
            Self::Stdout(rank) => (4, rank),
            Self::Stderr(rank) => (5, rank),
            Self::Process(rank) => (6, rank),
            Self::Slots => (7, 0),
            Self::Spares => (7, 1),
        };
        Token(number * 8 + kind)
    }

    pub(super) fn of(token: Token) -> Option<Self> {
        let number = token.0 / 8;
        Some(match token.0 % 8 {
            0 => Self::Listener,
            1 => Self::Signal(number),
            2 => Self::Stranger(number),
            3 => Self::Channel(number),
            4 => Self::Stdout(number),
            5 => Self::Stderr(number),
            6 => Self::Process(number),
            7 if number == 0 => Self::Slots,
            7 if number == 1 => Self::Spares,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_source() {
        for source in [
            Source::Listener,
            Source::Signal(15),
            Source::Stranger(9),
            Source::Channel(3),
            Source::Process(10_000),
            Source::Slots,
            Source::Spares,
        ] {
            assert_eq!(Source::of(source.token()), Some(source));
        }
    }
}
