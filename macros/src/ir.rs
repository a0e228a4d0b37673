//! What the macros understand of an item, before anything is made of it.

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Expr, Ident, LitInt, Member, Path, ReturnType, Signature, Type, Visibility};

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
    pub(crate) checkpoint: Checkpoint,
}

/// The option `checkpoint(…)`.
#[derive(Default)]
pub(crate) struct Checkpoint {
    pub(crate) keep: Option<LitInt>,
    pub(crate) score: Option<Score>,
    pub(crate) every: Option<Every>,
}

/// `max(path.to.field)` or `min(…)`.
pub(crate) struct Score {
    pub(crate) maximize: bool,
    pub(crate) field: TokenStream,
}

pub(crate) enum Every {
    Steps(LitInt),
    Millis(u64),
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

/// A callback that keeps the rules.
pub(crate) struct Callback {
    pub(crate) krate: Path,
    pub(crate) name: Ident,
    pub(crate) event: Event,
    /// The parameters' types.
    pub(crate) parameters: Vec<Type>,
    pub(crate) output: Option<Type>,
    pub(crate) order: Option<Expr>,
    /// The only loop for which it runs.
    pub(crate) only: Option<Path>,
}

#[derive(Clone, Copy)]
pub(crate) enum Event {
    WorkerReport,
    DriverReport,
    RunStart,
    RunEnd,
    Checkpoint,
    Exception,
}

impl Event {
    pub(crate) const NAMES: [&'static str; 5] = ["report", "run_start", "run_end", "checkpoint", "exception"];
    /// Of one name, the side that is meant where none is written comes first.
    pub(crate) const ALL: [(&'static str, Side, Self); 6] = [
        ("report", Side::Worker, Self::WorkerReport),
        ("report", Side::Driver, Self::DriverReport),
        ("run_start", Side::Driver, Self::RunStart),
        ("run_end", Side::Driver, Self::RunEnd),
        ("checkpoint", Side::Driver, Self::Checkpoint),
        ("exception", Side::Driver, Self::Exception),
    ];
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Worker,
    Driver,
}

impl Side {
    pub(crate) const NAMES: [&'static str; 2] = ["worker", "driver"];
    pub(crate) const ALL: [Self; 2] = [Self::Worker, Self::Driver];
}

/// A `main` that keeps the rules.
pub(crate) struct Main {
    pub(crate) krate: Path,
    /// The type of its parameter, if it has one.
    pub(crate) parameter: Option<Type>,
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

/// A struct that derives `TrainState`.
pub(crate) struct TrainState {
    pub(crate) krate: Path,
    pub(crate) input: syn::DeriveInput,
    /// Those that are saved.
    pub(crate) fields: Vec<StateField>,
}

pub(crate) struct StateField {
    pub(crate) member: Member,
    pub(crate) ty: Type,
    /// Its name in the checkpoint.
    pub(crate) name: String,
    pub(crate) kind: StateKind,
}

#[derive(Clone, Copy)]
pub(crate) enum StateKind {
    /// A `TrainState` itself.
    Part,
    /// What serde can write and read.
    Value,
}

/// A struct that derives `Config`.
pub(crate) struct Config {
    pub(crate) krate: Path,
    pub(crate) input: syn::DeriveInput,
    /// The doc comment's lines.
    pub(crate) doc: String,
    pub(crate) fields: Vec<ConfigField>,
}

/// A field of a config, as an option of the command line.
pub(crate) struct ConfigField {
    pub(crate) name: Ident,
    /// The option's name, without `--`.
    pub(crate) long: String,
    pub(crate) doc: String,
    pub(crate) kind: ConfigKind,
    /// What is read each time the option is given: the `T` of `Option<T>` and `Vec<T>`.
    pub(crate) value: Type,
    pub(crate) default: Option<DefaultValue>,
}

/// How often an option may be given.
#[derive(Clone, Copy)]
pub(crate) enum ConfigKind {
    /// Once, or not at all where there is a default.
    One,
    Optional,
    /// Without a value, too.
    Flag,
    Many,
}

/// What a field is where its option is not given.
pub(crate) enum DefaultValue {
    /// Shown as it is written; a string (`is_text`) is converted into the field's type.
    Literal { value: Expr, text: String, is_text: bool },
    /// Shown by `Display`.
    Expression(Expr),
}
