//! The rules of a state's field.

use syn::{Expr, ExprPath, Field, Member};

use super::names::Names;
use crate::args::Options;
use crate::ir::{Absent, StateField, StateKind};
use crate::report::Report;

/// What a state field's attribute looks like.
const STATE: &str = "#[state(serde)]";

/// The options that say how a field is saved, with what they say.
const KINDS: [(&str, &str); 3] =
    [("serde", "is a value of serde's"), ("with", "is saved by a module"), ("skip", "is not saved")];

/// The options that say something of a field in a checkpoint, with why a field that is skipped has none.
const OF_SAVED: [(&str, &str); 3] = [
    ("rename", "has no name in the checkpoint"),
    ("alias", "is not looked for under an older name"),
    ("default", "stays as it was built in any case"),
];

/// The field at `index`, unless it is skipped.
pub(super) fn field(index: usize, field: &Field, names: &mut Names, report: &mut Report) -> Option<StateField> {
    let options = Options::of_attributes(&field.attrs, "state", STATE, report);
    options.allow_and_repeat(
        "`#[state]` on a field",
        &["serde", "with", "skip", "rename", "alias", "default"],
        &["alias"],
        report,
    );
    let serde = options.flag("serde", report);
    let skip = options.flag("skip", report);
    let with = with(&options, report);
    let absent = match (options.name("default"), options.value_if_any("default", report)) {
        (None, _) => Absent::Refused,
        (Some(_), None) => Absent::Kept,
        (Some(_), Some(value)) => Absent::Set(Box::new(value.clone())),
    };
    one_kind(&options, report);
    if skip {
        for (name, why) in OF_SAVED {
            if let Some(word) = options.name(name) {
                report.at(word, format!("a field that is skipped {why}; leave out `{name}` or `skip`"));
            }
        }
        return None;
    }
    let member = field.ident.clone().map_or_else(|| Member::Unnamed(index.into()), Member::Named);
    let names = names.claim_member(&member, &options, report);
    let kind = match with {
        Some(module) => StateKind::With(module),
        None if serde => StateKind::Value,
        None => StateKind::Part,
    };
    Some(StateField { member, ty: field.ty.clone(), names, kind, absent })
}

/// The module that saves the field.
fn with(options: &Options, report: &mut Report) -> Option<ExprPath> {
    match options.value("with", report)? {
        Expr::Path(path) => Some(path.clone()),
        other => {
            report.at(
                other,
                "the option `with` takes the path of a module that has `save` and `restore`, without quotes; write \
                 `with = my_module`",
            );
            None
        }
    }
}

/// A field is saved in one way.
fn one_kind(options: &Options, report: &mut Report) {
    let mut given = KINDS.iter().filter_map(|(name, says)| Some((*name, *says, options.name(name)?)));
    let Some((first, says, _)) = given.next() else { return };
    for (name, other, word) in given {
        report
            .at(word, format!("`{first}` says that the field {says}, `{name}` that it {other}; leave one of the two"));
    }
}
