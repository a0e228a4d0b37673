//! Every rule. What rustc says better is left to rustc.

mod callback;
mod checkpoint;
mod collate;
mod config;
mod defaults;
mod main;
mod metrics;
mod train_loop;
mod train_state;

use syn::{Safety, Signature};

use crate::report::Report;

pub(crate) use callback::callback;
pub(crate) use collate::collate;
pub(crate) use config::config;
pub(crate) use main::main;
pub(crate) use metrics::metrics;
pub(crate) use train_loop::train_loop;
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
