//! The rules of `#[derive(TrainState)]`.

use syn::ext::IdentExt;
use syn::{Data, DeriveInput, LitStr, Member};

use crate::args::Options;
use crate::ir::{StateField, StateKind, TrainState};
use crate::report::Report;

/// What a state field's attribute looks like.
const STATE: &str = "#[state(serde)]";

pub(crate) fn train_state(input: DeriveInput, report: &mut Report) -> Option<TrainState> {
    let options = Options::of_attributes(&input.attrs, "state", "#[state(crate = path)]", report);
    options.allow("`#[state]` on a struct", &["crate"], report);
    let data = match &input.data {
        Data::Struct(data) => data,
        Data::Enum(_) | Data::Union(_) => {
            report.at(
                &input.ident,
                "a state is a struct, whose fields are the parts; for a plain enum write `#[state(serde)]` above the \
                 field that holds it",
            );
            return None;
        }
    };
    let mut fields: Vec<StateField> = Vec::new();
    for (index, field) in data.fields.iter().enumerate() {
        let options = Options::of_attributes(&field.attrs, "state", STATE, report);
        options.allow("`#[state]` on a field", &["serde", "skip", "rename"], report);
        let member = field.ident.clone().map_or_else(|| Member::Unnamed(index.into()), Member::Named);
        let serde = options.flag("serde", report);
        let skip = options.flag("skip", report);
        if serde && skip {
            report.at(field, "a field that is skipped is not saved, with serde or without; leave one of the two");
        }
        let rename = options.string("rename", report);
        if let Some(literal) = &rename {
            check_rename(literal, skip, report);
        }
        let name = rename.map_or_else(|| member_name(&member), |literal| literal.value());
        if !skip && fields.iter().any(|other| other.name == name) {
            report.at(field, format!("two fields are saved under the name `{name}`; rename one"));
        }
        let kind = match (skip, serde) {
            (true, _) => continue,
            (false, true) => StateKind::Value,
            (false, false) => StateKind::Part,
        };
        fields.push(StateField { member, ty: field.ty.clone(), name, kind });
    }
    Some(TrainState { krate: options.crate_path(report), input, fields })
}

fn check_rename(literal: &LitStr, skip: bool, report: &mut Report) {
    let name = literal.value();
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    if name.is_empty() || !name.chars().all(fits) {
        report.at(literal, "a part's name becomes the name of a file; use letters, digits, `_` and `-`");
    }
    if skip {
        report.at(literal, "a field that is skipped has no name in the checkpoint; remove `rename`");
    }
}

/// A field's name as written, without the `r#` of a keyword.
fn member_name(member: &Member) -> String {
    match member {
        Member::Named(name) => name.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}
