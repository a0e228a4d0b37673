//! Every rule. What rustc says better is left to rustc.

mod callback;
mod checkpoint;
mod config;
mod main;
mod train_state;

use proc_macro2::TokenStream;
use syn::{Data, DeriveInput, FnArg, ReturnType, Safety, Signature, Type};

use crate::args::Options;
use crate::ir::{Function, MetricField, Metrics, Reduce, Strategy, TrainLoop};
use crate::report::Report;

pub(crate) use callback::callback;
pub(crate) use config::config;
pub(crate) use main::main;
pub(crate) use train_state::train_state;

/// `fn` with its words before it: what a train loop, a callback and a `main` may not be; `concrete` says why not generic.
fn plain_function(what: &str, concrete: &str, signature: &Signature, report: &mut Report) {
    let mend = "remove this word";
    if let Some(asyncness) = &signature.asyncness {
        report.at(
            asyncness,
            format!("{what} is not async: libtorch blocks, and a worker is a process of its own; {mend}"),
        );
    }
    if let Some(constness) = &signature.constness {
        report.at(constness, format!("{what} is not const; {mend}"));
    }
    if let Safety::Unsafe(unsafety) = &signature.safety {
        report.at(unsafety, format!("{what} is not unsafe: its caller is generated and can keep no promise; {mend}"));
    }
    if let Some(abi) = &signature.abi {
        report.at(abi, format!("{what} is a Rust function; {mend}"));
    }
    if !signature.generics.params.is_empty() {
        report.at(&signature.generics.params, format!("{what} is not generic: {concrete}; write the types out"));
    }
    if let Some(clause) = &signature.generics.where_clause {
        report.at(clause, format!("{what} is not generic; remove the clause"));
    }
    if let Some(variadic) = &signature.variadic {
        report.at(variadic, format!("{what} takes no variable arguments"));
    }
}

/// Why a train loop is not generic.
const BY_NAME: &str = "a worker process finds it by its name alone";

/// The rules of `#[train_loop]`.
pub(crate) fn train_loop(args: TokenStream, function: &Function, report: &mut Report) -> Option<TrainLoop> {
    let options = Options::parse(args, report);
    options.allow("`#[train_loop]`", &["strategy", "checkpoint", "crate"], report);
    let checkpoint = checkpoint::checkpoint(&options, report);
    let strategy =
        options.choice("strategy", &Strategy::NAMES, report).map_or(Strategy::Ddp, |place| Strategy::ALL[place]);

    let signature = &function.signature;
    plain_function("a train loop", BY_NAME, signature, report);

    let mut types = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                report.at(receiver, "a train loop is a free function, not a method: a worker process has no `self`");
                return None;
            }
            FnArg::Typed(argument) => types.push(&*argument.ty),
        }
    }
    let (context, config) = match types.as_slice() {
        [context, config] => (*context, *config),
        [] | [_] => {
            report.at_span(
                signature.paren_token.span.close(),
                "a train loop takes `ctx: &mut Context<M>` and its config: `fn train(ctx: &mut Context<EpochMetrics>, config: Config) -> Result<()>`",
            );
            return None;
        }
        [_, _, rest @ ..] => {
            for extra in rest {
                report.at(
                    extra,
                    "a train loop takes two parameters, `&mut Context<M>` and its config; put this into the config",
                );
            }
            return None;
        }
    };
    let context = match context.clone() {
        Type::Reference(mut reference) => {
            if reference.lifetime.is_some() {
                report.at(&reference.lifetime, "the context is lent for the length of the call; remove the lifetime");
            }
            reference.lifetime = Some(syn::Lifetime::new("'static", reference.and_token.span));
            Type::Reference(reference)
        }
        // An alias of the reference itself, or a mistake that rustc explains at this very type.
        other => other,
    };
    let ReturnType::Type(_, output) = &signature.output else {
        report.at(
            &signature.ident,
            "a train loop returns a `Result`: collectives and reports can fail; write `-> Result<()>`",
        );
        return None;
    };
    Some(TrainLoop {
        krate: options.crate_path(report),
        visibility: function.visibility.clone(),
        name: signature.ident.clone(),
        context,
        config: config.clone(),
        output: (**output).clone(),
        strategy,
        checkpoint,
    })
}

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
        options.allow("`#[metric]` on a field", &["reduce"], report);
        let reduce = options.choice("reduce", &Reduce::NAMES, report).map_or(Reduce::First, |place| Reduce::ALL[place]);
        metrics.push(MetricField { name: name.clone(), ty: field.ty.clone(), reduce });
    }
    Some(Metrics { krate: options.crate_path(report), input, fields: metrics })
}
