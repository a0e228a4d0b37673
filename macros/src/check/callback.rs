//! The rules of `#[callback]`.

use proc_macro2::{Span, TokenStream};
use syn::{Expr, FnArg, ReturnType, Type};

use super::plain_function;
use crate::args::{Options, suggestion};
use crate::ir::{Callback, Event, Function, Side};
use crate::report::Report;

pub(crate) fn callback(args: TokenStream, function: &Function, report: &mut Report) -> Option<Callback> {
    let is_empty = args.is_empty();
    let mut options = Options::parse(args, report);
    if report.check().is_err() {
        return None;
    }
    let written = options.take_first_name();
    options.allow("`#[callback]`", &["on", "order", "only", "crate"], report);
    let side = options.choice("on", &Side::NAMES, report).map(|place| Side::ALL[place]);
    let event = if let Some(name) = written {
        event(&name, side, &options, report)
    } else {
        let span = if is_empty { Span::call_site() } else { options.span() };
        let events = quoted(&Event::names());
        report.at_span(
            span,
            format!("`#[callback]` begins with an event: write `#[callback(report)]` (there is: {events})"),
        );
        None
    };

    let signature = &function.signature;
    plain_function("a callback", "it is called with the types that stand in its signature", signature, report);
    let mut parameters = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                report.at(receiver, "a callback is a free function, not a method: there is no `self` to call it with");
            }
            FnArg::Typed(argument) => parameters.push((*argument.ty).clone()),
        }
    }
    report_lent_once(&parameters, report);
    let only = match options.value("only", report) {
        Some(Expr::Path(path)) => Some(path.path.clone()),
        Some(other) => {
            report.at(other, "the option `only` takes a train loop's path; write `only = train`");
            None
        }
        None => None,
    };
    Some(Callback {
        name: signature.ident.clone(),
        event: event?,
        rank_zero: side == Some(Side::RankZero),
        parameters,
        output: match &signature.output {
            ReturnType::Default => None,
            ReturnType::Type(_, output) => Some((**output).clone()),
        },
        order: options.value("order", report).cloned(),
        only,
        krate: options.crate_path(report),
    })
}

/// The event of that name on that side; without a side, where it fires first.
fn event(name: &syn::Ident, side: Option<Side>, options: &Options, report: &mut Report) -> Option<Event> {
    let written = name.to_string();
    let sides: Vec<_> = Event::ALL.iter().filter(|(name, ..)| *name == written).collect();
    let Some((_, first, _)) = sides.first() else {
        report.at(name, format!("there is no event `{written}`{}", suggestion(&written, &Event::names())));
        return None;
    };
    let side = match side {
        None => *first,
        Some(Side::RankZero) => Side::Worker,
        Some(side) => side,
    };
    let found = sides.iter().find(|(_, fires, _)| *fires == side).map(|(.., event)| *event);
    if found.is_none()
        && let Some(on) = options.value("on", report)
    {
        let (fires, other) = match side {
            Side::Driver => ("a worker", "the driver"),
            Side::Worker | Side::RankZero => ("the driver", "a worker"),
        };
        let there = quoted(&Event::names_on(side));
        report.at(
            on,
            format!("the event `{written}` fires in {fires}; remove this option (in {other} there is: {there})"),
        );
    }
    found
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Both would borrow the one report that is there, and one of them mutably.
fn report_lent_once(parameters: &[Type], report: &mut Report) {
    let is_report = |parameter: &Type| match parameter {
        Type::Reference(reference) => match &*reference.elem {
            Type::Path(path) => path.path.segments.last().is_some_and(|segment| segment.ident == "Report"),
            _ => false,
        },
        _ => false,
    };
    for second in parameters.iter().filter(|parameter| is_report(parameter)).skip(1) {
        report.at(second, "the report is lent once, and another parameter has it already; remove this one");
    }
}

#[cfg(test)]
mod tests;
