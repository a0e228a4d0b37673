//! The rules of `#[derive(Metrics)]`.

use syn::{Data, DeriveInput};

use crate::args::Options;
use crate::ir::{MetricField, Metrics, Reduce};
use crate::report::Report;

/// What a metric's attribute looks like.
const METRIC: &str = "#[metric(reduce = mean)]";

/// The rules of `#[derive(Metrics)]`.
pub(crate) fn metrics(input: DeriveInput, report: &mut Report) -> Option<Metrics> {
    let options = Options::of_attributes(&input.attrs, "metric", METRIC, report);
    options.allow("`#[metric]` on a struct", &["crate"], report);
    if !input.generics.params.is_empty() {
        report.at(
            &input.generics.params,
            "metrics are not generic: a worker's and the driver's must be the same; write the types out",
        );
    }
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(data) => {
            report.at(&data.enum_token, "metrics are a struct with named fields, one for each value that is reported");
            return None;
        }
        Data::Union(data) => {
            report.at(&data.union_token, "metrics are a struct with named fields, one for each value that is reported");
            return None;
        }
    };
    let mut metrics = Vec::new();
    for field in fields {
        let Some(name) = &field.ident else {
            report.at(field, "a metric has a name, by which it is shown, stored and compared; give the field one");
            continue;
        };
        let options = Options::of_attributes(&field.attrs, "metric", METRIC, report);
        options.allow("`#[metric]` on a field", &["reduce", "nested", "unit"], report);
        let reduce = options.choice("reduce", &Reduce::NAMES, report).map(|place| Reduce::ALL[place]);
        let nested = options.flag("nested", report);
        let unit = options.string("unit", report);
        if nested {
            report_beside_nested(&options, report);
        }
        if let Some(unit) = unit.as_ref().filter(|unit| unit.value().trim().is_empty()) {
            report.at(unit, "a unit is shown behind the value; write one, such as `unit = \"s\"`, or none");
        }
        let reduce = if nested { Reduce::Nested } else { reduce.unwrap_or(Reduce::None) };
        metrics.push(MetricField { name: name.clone(), ty: field.ty.clone(), reduce, unit });
    }
    Some(Metrics { krate: options.crate_path(report), input, fields: metrics })
}

/// A nested struct's fields have their own.
fn report_beside_nested(options: &Options, report: &mut Report) {
    for name in ["reduce", "unit"] {
        if let Some(option) = options.name(name) {
            report.at(
                option,
                format!("the fields of a nested struct say their own `{name}`; write it there, and remove it here"),
            );
        }
    }
}

#[cfg(test)]
mod tests;
