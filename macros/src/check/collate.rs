//! The rules of `#[derive(Collate)]`.

use quote::format_ident;
use syn::{Data, DeriveInput, Expr, Ident};

use crate::args::Options;
use crate::ir::{Collate, CollateField};
use crate::report::Report;

/// What the attribute looks like.
const COLLATE: &str = "#[collate(pad = 0)]";

const SHAPE: &str = "a sample is a struct with named fields, each of which becomes a field of the batch";

/// The rules of `#[derive(Collate)]`.
pub(crate) fn collate(input: DeriveInput, report: &mut Report) -> Option<Collate> {
    let options = Options::of_attributes(&input.attrs, "collate", COLLATE, report);
    options.allow("`#[collate]` on a struct", &["name", "crate"], report);
    if !input.generics.params.is_empty() {
        report.at(
            &input.generics.params,
            "a sample is not generic: its batch is a struct that is made from the fields' types; write the types out",
        );
    }
    let data = match &input.data {
        Data::Struct(data) => data,
        Data::Enum(data) => {
            report.at(&data.enum_token, SHAPE);
            return None;
        }
        Data::Union(data) => {
            report.at(&data.union_token, SHAPE);
            return None;
        }
    };
    if data.fields.is_empty() {
        report.at(&input.ident, "a sample without fields makes a batch of nothing; give it one");
    }
    let mut fields = Vec::new();
    for field in &data.fields {
        let Some(name) = &field.ident else {
            report.at(field, format!("{SHAPE}; give this one a name"));
            continue;
        };
        let options = Options::of_attributes(&field.attrs, "collate", COLLATE, report);
        options.allow("`#[collate]` on a field", &["pad"], report);
        let pad = options.value("pad", report).cloned();
        fields.push(CollateField { name: name.clone(), visibility: field.vis.clone(), ty: field.ty.clone(), pad });
    }
    let name = batch_name(&input, &options, report);
    Some(Collate { krate: options.crate_path(report), name, input, fields })
}

/// That of the option `name`, or the sample's with `Batch` behind it.
fn batch_name(input: &DeriveInput, options: &Options, report: &mut Report) -> Ident {
    let made = format_ident!("{}Batch", input.ident);
    let Some(value) = options.value("name", report) else { return made };
    let name = match value {
        Expr::Path(path) => path.path.get_ident(),
        _ => None,
    };
    match name {
        Some(name) if *name == input.ident => {
            report.at(value, format!("the batch is a struct beside `{name}`; give it another name"));
            made
        }
        Some(name) => name.clone(),
        None => {
            report.at(value, "the option `name` takes the name of the batch's struct; write `name = Digits`");
            made
        }
    }
}

#[cfg(test)]
mod tests;
