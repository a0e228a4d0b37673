//! What the macros understand of an item, before anything is made of it.

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Expr, Ident, LitInt, LitStr, Member, Path, ReturnType, Signature, Type, Visibility};

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

/// A train loop, as far as it keeps the rules.
pub(crate) struct TrainLoop {
    pub(crate) krate: Path,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    /// In the order in which they are written.
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) metrics: MetricsFrom,
    /// `None` where the loop takes none.
    pub(crate) config: Option<Type>,
    /// `None` where it breaks a rule.
    pub(crate) output: Option<Type>,
    pub(crate) strategy: Strategy,
    pub(crate) defaults: Defaults,
    /// The parameters' types are all known, and can stand outside the signature.
    pub(crate) is_whole: bool,
}

/// A train loop's parameter: what it is given by its type.
pub(crate) struct Parameter {
    pub(crate) kind: ParameterKind,
    /// Of what is lent, without the `&mut`.
    pub(crate) ty: Type,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParameterKind {
    /// `&mut Context<M>`.
    Context,
    /// By value, and none of the others.
    Config,
    /// `Option<Checkpoint>`.
    Checkpoint,
    /// `Device`.
    Device,
    /// `&mut S` beside a context.
    State,
    /// `&mut X` alone, which is a state or an alias of the context: rustc knows.
    Lent,
}

/// Where the type of a train loop's metrics stands.
pub(crate) enum MetricsFrom {
    /// In the context's type.
    Context(Type),
    /// In the type of what is lent, if that is a context.
    Lent(Type),
    /// In the option `metrics`.
    Named(Type),
    /// Nothing is reported.
    Nowhere,
}

/// How a run goes where the trainer says nothing else.
pub(crate) struct Defaults {
    pub(crate) workers: Option<Workers>,
    pub(crate) use_gpu: Option<bool>,
    /// One of [`BACKENDS`].
    pub(crate) backend: Option<Ident>,
    pub(crate) max_failures: Option<MaxFailures>,
    pub(crate) resume: Option<Resume>,
    pub(crate) name: Option<LitStr>,
    pub(crate) checkpoint: Checkpoint,
}

/// `4`, or `2..=8`.
pub(crate) struct Workers {
    pub(crate) least: LitInt,
    pub(crate) most: LitInt,
    pub(crate) is_range: bool,
}

/// `max_failures = …`.
pub(crate) enum MaxFailures {
    Count(LitInt),
    Unlimited,
}

/// Each is a constant of the runtime, in capitals: some are there with a feature alone, of which the macro knows nothing.
pub(crate) const BACKENDS: [&str; 2] = ["gloo", "nccl"];

#[derive(Clone, Copy)]
pub(crate) enum Resume {
    IfExists,
    Never,
    Require,
}

impl Resume {
    pub(crate) const NAMES: [&'static str; 3] = ["if_exists", "never", "require"];
    pub(crate) const ALL: [Self; 3] = [Self::IfExists, Self::Never, Self::Require];
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
    /// In a worker: on rank 0 alone.
    pub(crate) rank_zero: bool,
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
    Log,
    RunStart,
    RunEnd,
    Checkpoint,
    Exception,
    Restart,
    Resize,
    State,
    TrainStart,
    TrainEnd,
    EpochStart,
    EpochEnd,
    StepStart,
    StepEnd,
    BeforeBackward,
    AfterBackward,
    BeforeOptimizerStep,
    ValidationStart,
    ValidationEnd,
    Stop,
}

impl Event {
    /// Of one name, the side that is meant where none is written comes first.
    pub(crate) const ALL: [(&'static str, Side, Self); 22] = [
        ("report", Side::Worker, Self::WorkerReport),
        ("report", Side::Driver, Self::DriverReport),
        ("log", Side::Worker, Self::Log),
        ("run_start", Side::Driver, Self::RunStart),
        ("run_end", Side::Driver, Self::RunEnd),
        ("checkpoint", Side::Driver, Self::Checkpoint),
        ("exception", Side::Driver, Self::Exception),
        ("restart", Side::Driver, Self::Restart),
        ("resize", Side::Driver, Self::Resize),
        ("state", Side::Driver, Self::State),
        ("train_start", Side::Worker, Self::TrainStart),
        ("train_end", Side::Worker, Self::TrainEnd),
        ("epoch_start", Side::Worker, Self::EpochStart),
        ("epoch_end", Side::Worker, Self::EpochEnd),
        ("step_start", Side::Worker, Self::StepStart),
        ("step_end", Side::Worker, Self::StepEnd),
        ("before_backward", Side::Worker, Self::BeforeBackward),
        ("after_backward", Side::Worker, Self::AfterBackward),
        ("before_optimizer_step", Side::Worker, Self::BeforeOptimizerStep),
        ("validation_start", Side::Worker, Self::ValidationStart),
        ("validation_end", Side::Worker, Self::ValidationEnd),
        ("stop", Side::Worker, Self::Stop),
    ];

    /// Each name once.
    pub(crate) fn names() -> Vec<&'static str> {
        let mut names: Vec<_> = Self::ALL.iter().map(|(name, ..)| *name).collect();
        names.dedup();
        names
    }

    /// The names of those that fire there.
    pub(crate) fn names_on(side: Side) -> Vec<&'static str> {
        Self::ALL.iter().filter(|(_, fires, _)| *fires == side).map(|(name, ..)| *name).collect()
    }
}

/// Where a callback runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Worker,
    Driver,
    /// In the worker of rank 0.
    RankZero,
}

impl Side {
    pub(crate) const NAMES: [&'static str; 3] = ["worker", "driver", "rank_zero"];
    pub(crate) const ALL: [Self; 3] = [Self::Worker, Self::Driver, Self::RankZero];
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
    pub(crate) unit: Option<LitStr>,
}

#[derive(Clone, Copy)]
pub(crate) enum Reduce {
    Mean,
    Sum,
    Min,
    Max,
    /// The last rank's value.
    Last,
    /// Rank 0's value.
    None,
    /// As the field's own type says.
    Nested,
}

impl Reduce {
    /// Those that `reduce = …` names.
    pub(crate) const NAMES: [&'static str; 6] = ["mean", "sum", "min", "max", "last", "none"];
    pub(crate) const ALL: [Self; 6] = [Self::Mean, Self::Sum, Self::Min, Self::Max, Self::Last, Self::None];
}

/// A struct or enum that derives `TrainState`.
pub(crate) struct TrainState {
    pub(crate) krate: Path,
    pub(crate) input: syn::DeriveInput,
    /// The layout's version, from 1.
    pub(crate) version: u32,
    pub(crate) body: StateBody,
}

pub(crate) enum StateBody {
    Struct(Vec<StateField>),
    Enum(Vec<StateVariant>),
}

impl TrainState {
    /// All fields that are saved.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &StateField> {
        let (fields, variants) = match &self.body {
            StateBody::Struct(fields) => (fields.as_slice(), [].as_slice()),
            StateBody::Enum(variants) => ([].as_slice(), variants.as_slice()),
        };
        fields.iter().chain(variants.iter().flat_map(|variant| &variant.fields))
    }
}

pub(crate) struct StateVariant {
    pub(crate) ident: Ident,
    pub(crate) names: SavedNames,
    /// Those that are saved.
    pub(crate) fields: Vec<StateField>,
    /// Every field is a value: the variant can be made from what was saved.
    pub(crate) is_values: bool,
}

pub(crate) struct StateField {
    pub(crate) member: Member,
    pub(crate) ty: Type,
    pub(crate) names: SavedNames,
    pub(crate) kind: StateKind,
    pub(crate) absent: Absent,
}

/// What something is called in a checkpoint.
#[derive(Clone)]
pub(crate) struct SavedNames {
    pub(crate) name: String,
    /// The older names, which are read where the name is absent.
    pub(crate) aliases: Vec<String>,
}

#[derive(Clone)]
pub(crate) enum StateKind {
    /// A `TrainState` itself.
    Part,
    /// What serde can write and read.
    Value,
    /// What this module's `save` and `restore` write and read.
    With(syn::ExprPath),
}

/// What becomes of a field that a checkpoint lacks.
pub(crate) enum Absent {
    Refused,
    /// It stays as it was built.
    Kept,
    Set(Box<Expr>),
}

/// A struct that derives `Collate`.
pub(crate) struct Collate {
    pub(crate) krate: Path,
    pub(crate) input: syn::DeriveInput,
    /// The batch's.
    pub(crate) name: Ident,
    pub(crate) fields: Vec<CollateField>,
}

pub(crate) struct CollateField {
    pub(crate) name: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) ty: Type,
    /// What fills the places behind a sequence's end.
    pub(crate) pad: Option<Expr>,
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
