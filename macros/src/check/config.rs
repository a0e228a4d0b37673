//! The rules of `#[derive(Config)]`.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use syn::ext::IdentExt;
use syn::{
    Attribute, Data, DeriveInput, Expr, ExprLit, ExprUnary, Field, Fields, GenericArgument, Lit, Meta, PathArguments,
    Type, UnOp,
};

use crate::args::Options;
use crate::ir::{Config, ConfigField, ConfigKind, DefaultValue};
use crate::report::Report;

/// The options that every command line has; `trainloop::cli` makes them.
const STANDARD: [(&str, &str); 11] = [
    ("config", "a file with the config"),
    ("set", "a field by its name"),
    ("workers", "how many workers run"),
    ("gpu", "a GPU for each worker"),
    ("storage", "where runs are kept"),
    ("name", "the run's name"),
    ("resume", "whether there must be a run to go on with"),
    ("max-failures", "how often a run may start again"),
    ("quiet", "errors and the result alone are shown"),
    ("verbose", "what trainloop does is shown"),
    ("help", "this list"),
];

const SHAPE: &str = "a config is a struct with named fields, one for each option of the command line";

/// What a config field's attribute looks like.
const CONFIG: &str = "#[config(default = 3e-3)]";

pub(crate) fn config(input: DeriveInput, report: &mut Report) -> Option<Config> {
    let options = Options::of_attributes(&input.attrs, "config", "#[config(crate = path)]", report);
    options.allow("`#[config]` on a struct", &["crate"], report);
    if !input.generics.params.is_empty() {
        report.at(
            &input.generics.params,
            "a config is not generic: it is written for workers that read it back; write the types out",
        );
    }
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(data) => {
            report
                .at(&data.enum_token, format!("{SHAPE}; make it a struct, and give a field this type, with `FromStr`"));
            return None;
        }
        Data::Union(data) => {
            report.at(&data.union_token, format!("{SHAPE}; make it a struct"));
            return None;
        }
    };
    if let Fields::Unnamed(fields) = fields {
        report.at(fields, format!("{SHAPE}; name the fields: `{{ epochs: u64 }}`"));
        return None;
    }
    let mut taken = HashMap::new();
    let fields = fields.iter().filter_map(|field| config_field(field, &mut taken, report)).collect();
    Some(Config { krate: options.crate_path(report), doc: doc(&input.attrs), input, fields })
}

/// `taken` maps an option's name to the field that has it.
fn config_field(field: &Field, taken: &mut HashMap<String, String>, report: &mut Report) -> Option<ConfigField> {
    let name = field.ident.clone()?;
    let options = Options::of_attributes(&field.attrs, "config", CONFIG, report);
    options.allow("`#[config]` on a field", &["default", "long"], report);

    let plain = name.unraw().to_string();
    let renamed = options.string("long", report);
    let long = match &renamed {
        Some(literal) => literal.value(),
        None => plain.trim_matches('_').replace('_', "-"),
    };
    if !is_long(&long) {
        const RULE: &str = "it has letters, digits and `-` alone, a letter first, and is written without its `--`";
        match &renamed {
            Some(literal) => report.at(literal, format!("`{long}` is no option's name: {RULE}")),
            None => report.at(
                &name,
                format!("the field `{plain}` makes no option's name; give it one: `#[config(long = \"…\")]`"),
            ),
        }
        return None;
    }
    let collision = STANDARD.iter().find(|(standard, _)| *standard == long).map(|(_, what)| {
        format!("the field `{plain}` would be the option `--{long}`, which every command line has already ({what})")
    });
    let collision = collision.or_else(|| {
        let other = taken.get(&long)?;
        Some(format!("the fields `{other}` and `{plain}` would both be the option `--{long}`"))
    });
    if let Some(collision) = collision {
        let mend = "rename the field, or its option: `#[config(long = \"…\")]`";
        match &renamed {
            Some(literal) => report.at(literal, format!("{collision}; {mend}")),
            None => report.at(&name, format!("{collision}; {mend}")),
        }
    }
    taken.entry(long.clone()).or_insert_with(|| plain.clone());

    let (kind, value) = kind(&field.ty);
    let default = options.value("default", report);
    if let (Some(default), ConfigKind::Optional) = (default, kind) {
        report.at(
            default,
            format!(
                "the field `{plain}` is an `Option`, which is `None` unless it is given; leave the default out, or the \
                 `Option`"
            ),
        );
    }
    let default = default.cloned().map(default_value);
    Some(ConfigField { name, long, doc: doc(&field.attrs), kind, value: value.clone(), default })
}

/// An option's name can be typed behind `--`.
fn is_long(long: &str) -> bool {
    long.starts_with(char::is_alphabetic)
        && long.chars().all(|letter| letter.is_alphanumeric() || letter == '-')
        && !long.ends_with('-')
}

/// How often a field of this type is given, and the type that is read each time. As in clap's own derive, `bool`, `Option`
/// and `Vec` are known by these names.
fn kind(ty: &Type) -> (ConfigKind, &Type) {
    let Type::Path(path) = ty else { return (ConfigKind::One, ty) };
    let Some(last) = path.path.segments.last() else { return (ConfigKind::One, ty) };
    if path.path.is_ident("bool") {
        return (ConfigKind::Flag, ty);
    }
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return (ConfigKind::One, ty) };
    match (last.ident.to_string().as_str(), arguments.args.first()) {
        ("Option", Some(GenericArgument::Type(value))) => (ConfigKind::Optional, value),
        ("Vec", Some(GenericArgument::Type(value))) => (ConfigKind::Many, value),
        _ => (ConfigKind::One, ty),
    }
}

fn default_value(value: Expr) -> DefaultValue {
    match shown(&value) {
        Some(text) => DefaultValue::Literal {
            is_text: matches!(&value, Expr::Lit(ExprLit { lit: Lit::Str(_), .. })),
            value,
            text,
        },
        None => DefaultValue::Expression(value),
    }
}

/// A literal as it would be typed on the command line.
fn shown(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Str(text) => Some(text.value()),
            Lit::Char(letter) => Some(letter.value().to_string()),
            Lit::Int(number) => Some(number.base10_digits().to_owned()),
            Lit::Float(number) => Some(number.base10_digits().to_owned()),
            Lit::Bool(truth) => Some(truth.value.to_string()),
            _ => None,
        },
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => match &**expr {
            Expr::Lit(ExprLit { lit: Lit::Int(_) | Lit::Float(_), .. }) => shown(expr).map(|text| format!("-{text}")),
            _ => None,
        },
        _ => None,
    }
}

/// The lines of an item's doc comment.
fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}
