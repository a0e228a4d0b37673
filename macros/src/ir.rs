//! What the macros understand of an item, before anything is made of it.

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Ident, Path, ReturnType, Signature, Type, Visibility};

/// A function: its signature parsed, its body as it was written, so that a body half typed still completes in the editor.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) body: TokenStream,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attributes: input.call(Attribute::parse_outer)?,
            visibility: input.parse()?,
            signature: input.parse()?,
            body: input.parse()?,
        })
    }
}

/// A train loop that keeps the rules.
pub(crate) struct TrainLoop {
    pub(crate) krate: Path,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    /// The type of the first parameter, its reference's lifetime `'static`, so that it can stand outside a signature.
    pub(crate) context: Type,
    pub(crate) config: Type,
    pub(crate) output: Type,
    pub(crate) strategy: Strategy,
}

#[derive(Clone, Copy)]
pub(crate) enum Strategy {
    Single,
    Ddp,
}

impl Strategy {
    pub(crate) const NAMES: [&'static str; 2] = ["single", "ddp"];
    pub(crate) const ALL: [Self; 2] = [Self::Single, Self::Ddp];
}

/// A `main` that keeps the rules.
pub(crate) struct Main {
    pub(crate) krate: Path,
    pub(crate) output: ReturnType,
}

/// A struct that derives `Metrics`.
pub(crate) struct Metrics {
    pub(crate) krate: Path,
    pub(crate) input: syn::DeriveInput,
    pub(crate) fields: Vec<MetricField>,
}

pub(crate) struct MetricField {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) reduce: Reduce,
}

#[derive(Clone, Copy)]
pub(crate) enum Reduce {
    Mean,
    Sum,
    Min,
    Max,
    /// Rank 0's value.
    First,
}

impl Reduce {
    pub(crate) const NAMES: [&'static str; 4] = ["mean", "sum", "min", "max"];
    pub(crate) const ALL: [Self; 4] = [Self::Mean, Self::Sum, Self::Min, Self::Max];
}
