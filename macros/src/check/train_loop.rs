//! The rules of `#[train_loop]`: what its function may be, and what it may take.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::visit::Visit;
use syn::{Expr, FnArg, GenericArgument, PathArguments, PathSegment, ReturnType, Signature, Type, TypeReference};

use super::{BY_NAME, defaults, plain_function};
use crate::args::Options;
use crate::ir::{Function, MetricsFrom, Parameter, ParameterKind, Strategy, TrainLoop};
use crate::report::Report;

/// What `#[train_loop]` knows.
const OPTIONS: [&str; 10] =
    ["strategy", "workers", "use_gpu", "backend", "checkpoint", "failure", "resume", "name", "metrics", "crate"];

/// `None` where nothing can stand beside the item, because it may stand in an `impl`.
pub(crate) fn train_loop(args: TokenStream, function: &Function, report: &mut Report) -> Option<TrainLoop> {
    let options = Options::parse(args, report);
    options.allow("`#[train_loop]`", &OPTIONS, report);
    let strategy = options.choice("strategy", &Strategy::NAMES, report).map(|place| Strategy::ALL[place]);
    let defaults = defaults::defaults(&options, strategy, report);

    let signature = &function.signature;
    plain_function("a train loop", BY_NAME, signature, report);
    if let Some(receiver) = signature.receiver() {
        report.at(receiver, "a train loop is a free function, not a method: a worker process has no `self`");
        return None;
    }
    let named = options.value("metrics", report).cloned().and_then(|value| named_metrics(&value, report));
    let parameters = parameters(signature, named.as_ref(), report);
    let of_kind = |kind| parameters.iter().find(|parameter: &&Parameter| parameter.kind == kind);
    let metrics = match (of_kind(ParameterKind::Context), of_kind(ParameterKind::Lent), named) {
        (Some(context), _, _) => MetricsFrom::Context(context.ty.clone()),
        (None, Some(lent), _) => MetricsFrom::Lent(lent.ty.clone()),
        (None, None, Some(metrics)) => MetricsFrom::Named(metrics),
        (None, None, None) => MetricsFrom::Nowhere,
    };
    Some(TrainLoop {
        krate: options.crate_path(report),
        visibility: function.visibility.clone(),
        name: signature.ident.clone(),
        config: of_kind(ParameterKind::Config).map(|config| config.ty.clone()),
        metrics,
        output: output(signature, report),
        strategy: strategy.unwrap_or(Strategy::Ddp),
        defaults,
        is_whole: parameters.len() == signature.inputs.len() && signature.generics.params.is_empty(),
        parameters,
    })
}

/// What the loop returns; `None` where that is a mistake.
fn output(signature: &Signature, report: &mut Report) -> Option<Type> {
    let ReturnType::Type(_, output) = &signature.output else {
        report.at(
            &signature.ident,
            "a train loop returns a `Result`: collectives and reports can fail; write `-> Result<()>`",
        );
        return None;
    };
    if has_impl_trait(output) {
        report.at(output, "the driver reads back what a train loop returns, so its type has a name; write it out");
        return None;
    }
    Some((**output).clone())
}

/// The option `metrics`.
fn named_metrics(value: &Expr, report: &mut Report) -> Option<Type> {
    let metrics = match value {
        Expr::Path(path) => Some(syn::parse_quote!(#path)),
        Expr::Tuple(tuple) if tuple.elems.is_empty() => Some(syn::parse_quote!(())),
        _ => None,
    };
    if metrics.is_none() {
        report.at(value, "the option `metrics` takes a type; write `metrics = EpochMetrics`");
    }
    metrics
}

/// The parameters in the order in which they are written; those that break a rule are left out.
fn parameters(signature: &Signature, metrics: Option<&Type>, report: &mut Report) -> Vec<Parameter> {
    let types = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(&*argument.ty),
        FnArg::Receiver(_) => None,
    });
    let mut parameters: Vec<Parameter> = Vec::new();
    for ty in types {
        let Some(parameter) = parameter(ty, report) else { continue };
        if let Some(again) = parameters.iter().find(|other| other.kind == parameter.kind) {
            report.at(ty, given_twice(again.kind));
            continue;
        }
        parameters.push(parameter);
    }
    if let (Some(metrics), true) =
        (metrics, parameters.iter().any(|parameter| parameter.kind == ParameterKind::Context))
    {
        report.at(metrics, "the context says already what this train loop reports; remove `metrics`");
    }
    // Beside a context by its name, or with the metrics named, what is lent is the state.
    if metrics.is_some() || parameters.iter().any(|parameter| parameter.kind == ParameterKind::Context) {
        for parameter in &mut parameters {
            if parameter.kind == ParameterKind::Lent {
                parameter.kind = ParameterKind::State;
            }
        }
    }
    parameters
}

fn given_twice(kind: ParameterKind) -> &'static str {
    match kind {
        ParameterKind::Context => "a train loop has one context, and another parameter has it already; remove this one",
        ParameterKind::Config => {
            "a train loop has one config, and another parameter is it already; put both into one struct"
        }
        ParameterKind::Checkpoint => {
            "a train loop begins from one checkpoint, and another parameter has it already; remove this one"
        }
        ParameterKind::Device => "a worker has one device, and another parameter has it already; remove this one",
        ParameterKind::State | ParameterKind::Lent => {
            "a train loop has one state, and another parameter is lent already; put both into one struct, or, where one \
             of them is an alias of the context, write it `&mut Context<M>`"
        }
    }
}

/// What a parameter of this type is given.
fn parameter(ty: &Type, report: &mut Report) -> Option<Parameter> {
    let found = |kind, ty: &Type| Some(Parameter { kind, ty: ty.clone() });
    if has_impl_trait(ty) {
        report.at(ty, format!("a train loop is not generic: {BY_NAME}; write the type out"));
        return None;
    }
    if let Type::Reference(reference) = ty {
        return lent(reference, report);
    }
    let Some(last) = last_segment(ty) else { return found(ParameterKind::Config, ty) };
    match last.ident.to_string().as_str() {
        "Context" => report.at(ty, "the context is lent to a train loop; write `&mut Context<M>`"),
        "Checkpoint" => report.at(ty, "a new run has no checkpoint to begin from; write `Option<Checkpoint>`"),
        "Device" => return found(ParameterKind::Device, ty),
        "Option" if argument(last).and_then(last_segment).is_some_and(|of| of.ident == "Checkpoint") => {
            return found(ParameterKind::Checkpoint, ty);
        }
        _ => return found(ParameterKind::Config, ty),
    }
    None
}

/// What a parameter behind a reference is given.
fn lent(reference: &TypeReference, report: &mut Report) -> Option<Parameter> {
    let TypeReference { lifetime, mutability, elem, .. } = reference;
    let is_context = last_segment(elem).is_some_and(|last| last.ident == "Context");
    if mutability.is_none() {
        if is_context {
            report.at(reference, "the context is lent mutably: a report is counted; write `&mut Context<M>`");
        } else {
            let written = elem.to_token_stream();
            report.at(
                reference,
                format!(
                    "a train loop owns its config, and a state is lent mutably; write `{written}` or `&mut {written}`"
                ),
            );
        }
        return None;
    }
    if let Some(lifetime) = lifetime {
        report.at(lifetime, "what a train loop borrows is lent for the length of the call; remove the lifetime");
    }
    let kind = if is_context { ParameterKind::Context } else { ParameterKind::Lent };
    Some(Parameter { kind, ty: (**elem).clone() })
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        Type::Reference(reference) => last_segment(&reference.elem),
        _ => None,
    }
}

/// The first type in a path's angle brackets.
fn argument(segment: &PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

fn has_impl_trait(ty: &Type) -> bool {
    struct Found(bool);

    impl<'ast> Visit<'ast> for Found {
        fn visit_type_impl_trait(&mut self, _: &'ast syn::TypeImplTrait) {
            self.0 = true;
        }
    }

    let mut found = Found(false);
    found.visit_type(ty);
    found.0
}

#[cfg(test)]
mod tests;
