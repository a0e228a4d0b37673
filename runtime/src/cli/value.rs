//! How one value is read, and how a default is shown.

use std::fmt::Display;
use std::str::FromStr;

/// A value of the command line: every type with `FromStr` whose error can be shown.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from the command line: it does not implement `FromStr`",
    label = "no `FromStr`, by which an option's value is read",
    note = "implement `std::str::FromStr` for `{Self}`, with an error that implements `Display`",
    note = "`bool`, `Option<T>` and `Vec<T>` are known as they are written: not by an alias, nor one inside another"
)]
pub trait FromText: Sized {
    /// The value, or the reason why there is none.
    ///
    /// # Errors
    /// The words of `FromStr`'s error.
    fn parse_text(text: &str) -> Result<Self, String>;
}

#[diagnostic::do_not_recommend]
impl<T: FromStr<Err: Display>> FromText for T {
    fn parse_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: T::Err| error.to_string())
    }
}

/// A type that a string literal converts into.
#[diagnostic::on_unimplemented(
    message = "a string is no default of a `{Self}`",
    label = "`{Self}` has no `From<&str>`",
    note = "write a value of the type: `default = Mode::Fast`; it is shown by `Display`"
)]
pub trait FromLiteral: From<&'static str> {}

#[diagnostic::do_not_recommend]
impl<T: From<&'static str>> FromLiteral for T {}

/// A default that the help can show.
#[diagnostic::on_unimplemented(
    message = "the default of this option cannot be shown in the help: `{Self}` does not implement `Display`",
    label = "no `Display`",
    note = "implement `std::fmt::Display` for `{Self}`; a literal needs none (`default = \"data\"` for a `PathBuf`)"
)]
pub trait Shown: Display {}

#[diagnostic::do_not_recommend]
impl<T: Display> Shown for T {}

/// `default = "data"` as the field's type has it.
#[must_use]
pub fn from_text<T: FromLiteral>(text: &'static str) -> T {
    T::from(text)
}

/// A default as the help shows it.
#[must_use]
pub fn shown<T: Shown>(value: &T) -> String {
    value.to_string()
}

/// A default of several values as the help shows them.
#[must_use]
pub fn shown_list<T: Shown>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
