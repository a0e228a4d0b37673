//! Why there is no config.

use std::fmt;

use crate::error::Error;

/// Why a command line gave no config: a mistake in it, or a wish for help. Its text is the whole of what is shown, with the
/// usage.
pub struct CliError(pub(super) clap::Error);

impl CliError {
    /// Help was asked for; then the text is the help.
    #[must_use]
    pub fn is_help(&self) -> bool {
        !self.0.use_stderr()
    }

    /// Prints the text and ends the process: help goes to standard output and ends with 0, a mistake to standard error and
    /// ends with 1.
    pub fn exit(&self) -> ! {
        // There is nobody left to tell where the terminal is gone.
        let _ = self.0.print();
        std::process::exit(i32::from(!self.is_help()));
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.render().to_string();
        f.write_str(text.strip_prefix("error: ").unwrap_or(&text).trim_end())
    }
}

impl fmt::Debug for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for CliError {}

impl From<CliError> for Error {
    fn from(error: CliError) -> Self {
        Self::config(error.to_string())
    }
}

/// A value that cannot be read; generated code passes it on.
#[derive(Debug)]
pub struct Mistake {
    /// Where the value comes from, in quotes.
    pub(super) origin: String,
    pub(super) value: String,
    pub(super) reason: String,
}
