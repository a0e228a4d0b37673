//! The rules of `#[derive(TrainState)]`.

mod field;
mod names;
#[cfg(test)]
mod tests;

use syn::{Data, DeriveInput, Expr, ExprLit, Fields, Lit, Variant};

use crate::args::Options;
use crate::ir::{StateBody, StateField, StateKind, StateVariant, TrainState};
use crate::report::Report;
use names::Names;

pub(crate) fn train_state(input: DeriveInput, report: &mut Report) -> Option<TrainState> {
    let options = Options::of_attributes(&input.attrs, "state", "#[state(version = 2)]", report);
    let (what, body) = match &input.data {
        Data::Struct(data) => ("a struct", Some(StateBody::Struct(fields(&data.fields, report)))),
        Data::Enum(data) => {
            if data.variants.is_empty() {
                report.at(
                    &input.ident,
                    "an enum without variants has no value that could be saved; give it a variant, or leave the derive out",
                );
            }
            ("an enum", Some(StateBody::Enum(variants(data.variants.iter(), report))))
        }
        Data::Union(data) => {
            report.at(
                &data.union_token,
                "a union is no state: nothing says which of its fields holds a value; make it an enum, or write \
                 `#[state(skip)]` or `#[state(with = module)]` above the field that has it",
            );
            ("a union", None)
        }
    };
    options.allow(&format!("`#[state]` on {what}"), &["version", "crate"], report);
    let version = version(&options, report);
    let krate = options.crate_path(report);
    Some(TrainState { krate, version, body: body?, input })
}

/// The layout's version, from 1.
fn version(options: &Options, report: &mut Report) -> u32 {
    let Some(value) = options.value("version", report) else { return 1 };
    let version = match value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().ok().filter(|version| *version > 0),
        _ => None,
    };
    version.unwrap_or_else(|| {
        report.at(
            value,
            "a layout's version is a whole number from 1, written out, one higher with each change that older programs \
             cannot read; write `version = 2`",
        );
        1
    })
}

fn fields(fields: &Fields, report: &mut Report) -> Vec<StateField> {
    let mut names = Names::of("field");
    let saved =
        fields.iter().enumerate().filter_map(|(index, field)| field::field(index, field, &mut names, report)).collect();
    names.check(report);
    saved
}

/// What a variant's attribute looks like.
const VARIANT: &str = "#[state(alias = \"Old\")]";

fn variants<'a>(variants: impl Iterator<Item = &'a Variant>, report: &mut Report) -> Vec<StateVariant> {
    let mut names = Names::of("variant");
    let variants = variants
        .map(|variant| {
            let options = Options::of_attributes(&variant.attrs, "state", VARIANT, report);
            options.allow_and_repeat("`#[state]` on a variant", &["rename", "alias"], &["alias"], report);
            let names = names.claim(&variant.ident, &options, report);
            let fields = fields(&variant.fields, report);
            let is_values = fields.len() == variant.fields.len()
                && fields.iter().all(|field| matches!(field.kind, StateKind::Value));
            StateVariant { ident: variant.ident.clone(), names, fields, is_values }
        })
        .collect();
    names.check(report);
    variants
}
