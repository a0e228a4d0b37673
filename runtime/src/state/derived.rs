//! What code made by `#[derive(TrainState)]` calls, beside the methods of the traits.

use super::{StateReader, StateWriter};
use crate::error::Result;

/// A name in a checkpoint, and the older names that are read where it is absent.
pub(crate) type Names<'a> = (&'a str, &'a [&'a str]);

/// The first of a part's names that the checkpoint has.
fn saved_name<'n>(from: &StateReader<'_>, (name, aliases): Names<'n>) -> Option<&'n str> {
    std::iter::once(name).chain(aliases.iter().copied()).find(|name| from.has(name))
}

/// Reads a field that must be there.
///
/// # Errors
/// Those of `read`; a part that is missing is missed under its own name.
pub fn read_field<T>(
    from: &StateReader<'_>,
    names: Names<'_>,
    read: impl FnOnce(&StateReader<'_>) -> Result<T>,
) -> Result<T> {
    from.field(saved_name(from, names).unwrap_or(names.0), read)
}

/// Reads a field, or makes what it is where the checkpoint lacks it.
///
/// # Errors
/// Those of `read`.
pub fn read_or<T>(
    from: &StateReader<'_>,
    names: Names<'_>,
    read: impl FnOnce(&StateReader<'_>) -> Result<T>,
    otherwise: impl FnOnce() -> T,
) -> Result<T> {
    saved_name(from, names).map_or_else(|| Ok(otherwise()), |name| from.field(name, read))
}

/// Restores a field where the checkpoint has it, and says whether it has.
///
/// # Errors
/// Those of `restore`.
pub fn restore_saved(
    from: &StateReader<'_>,
    names: Names<'_>,
    restore: impl FnOnce(&StateReader<'_>) -> Result<()>,
) -> Result<bool> {
    saved_name(from, names).map_or(Ok(false), |name| from.field(name, restore).map(|()| true))
}

/// Does the checkpoint have all these fields?
#[must_use]
pub fn all_saved(from: &StateReader<'_>, fields: &[Names<'_>]) -> bool {
    fields.iter().all(|names| saved_name(from, *names).is_some())
}

/// Hands over the name of an enum's variant, and what `save` gives under that name.
///
/// # Errors
/// Those of `save`.
pub fn save_variant(
    out: &mut StateWriter,
    name: &str,
    save: impl FnOnce(&mut StateWriter) -> Result<()>,
) -> Result<()> {
    out.variant(name)?;
    out.field(name, save)
}

/// Restores an enum that is now the variant at `current`. `restore` is given the place of the variant that was saved, and
/// says whether it could make the enum that one.
///
/// # Errors
/// Where the variant is none of these, or `restore` could not make it, and those of `restore`.
pub fn restore_variant(
    from: &StateReader<'_>,
    variants: &[Names<'_>],
    current: usize,
    restore: impl FnOnce(usize, &StateReader<'_>) -> Result<bool>,
) -> Result<()> {
    let saved = from.variant()?;
    let place = variants.iter().position(|(name, aliases)| *name == saved || aliases.contains(&saved.as_str()));
    let Some(place) = place else {
        let names: Vec<_> = variants.iter().map(|(name, _)| *name).collect();
        return Err(from.error(format!(
            "it was saved as the variant `{saved}`, which the enum does not have (there is: `{}`); was it renamed? \
             (`#[state(alias = \"{saved}\")]` above a variant reads the old name)",
            names.join("`, `")
        )));
    };
    if from.field(&saved, |from| restore(place, from))? {
        return Ok(());
    }
    let name = |place: usize| variants.get(place).map_or("", |(name, _)| *name);
    Err(from.error(format!(
        "it was saved as the variant `{}` and is `{}` now, and the saved one cannot be made from the checkpoint alone; build \
         the state with `{}` before restoring",
        name(place),
        name(current),
        name(place)
    )))
}
