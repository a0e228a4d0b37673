//! The attributes and derives of `trainloop`. Use them through that crate: `use trainloop::prelude::*;`.
//!
//! Each goes one way: its arguments are parsed (`args`), the item is taken apart (`ir`), every rule is checked and all
//! mistakes are gathered (`check`), and only then is anything made (`expand`). On a mistake the item is emitted as it was
//! written, or, where rustc would refuse that as well, inside one that it takes, beside the message: one mistake, one message,
//! and the editor goes on completing inside the body.

mod args;
mod check;
mod expand;
mod ir;
mod report;
mod show;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as TokenStream2;

/// Makes a function a train loop, which [`TorchTrainer`](../trainloop/trainer/struct.TorchTrainer.html) can run on any
/// number of workers.
///
/// ```ignore
/// #[train_loop(strategy = ddp)]
/// fn train(ctx: &mut Context<EpochMetrics>, config: Config) -> Result<()> {
///     // the loop is yours
///     Ok(())
/// }
/// ```
///
/// The function stays as it is written and can be called in a test. Beside it the attribute makes a type of the same name,
/// for `TorchTrainer::<train>::new(config)`, and enters it in the list where worker processes look it up.
///
/// # Parameters
///
/// The function says by its parameters' types what it wants, in any order, any part of it:
///
/// | parameter | what it is given |
/// |---|---|
/// | `ctx: &mut Context<M>` | the worker's place in the run; `M: Metrics` is what the loop reports |
/// | `config: C`, any type that serde can write and read | what `TorchTrainer::<train>::new(config)` was given; `()` without one |
/// | `state: &mut S`, where `S: InitState<M, C>` | the state, built by its `init` and restored from the run's latest checkpoint |
/// | `checkpoint: Option<Checkpoint>` | the checkpoint that the run begins from |
/// | `device: Device` | where this worker's tensors belong |
///
/// It returns a `Result` with any error and any value that serde can write and read: `Outcome::output` on rank 0.
///
/// # Options
///
/// They are defaults: `TorchTrainer`'s methods override them, and after these the command line, where `main` takes one.
///
/// | option | values | without it |
/// |---|---|---|
/// | `strategy` | `single`, `ddp` | `ddp` |
/// | `workers` | `4`, or `2..=8`: as many as there are cores, or GPUs | 0: the loop runs in the calling process |
/// | `use_gpu` | alone, or `true` and `false`: one GPU for each worker | `false` |
/// | `backend` | `gloo`, `nccl` (between GPUs, with the feature `nccl`) | `nccl` where both are, else `gloo` |
/// | `failure(max_failures = 3)` | how often the group starts again after a failure; `unlimited` | 0 |
/// | `resume` | `if_exists`, `never`, `require`: what happens where there is a run of that name | `if_exists` |
/// | `name = "digits"` | the run's name | made from the loop's name and the time |
/// | `metrics = M` | what a loop without a context reports | `()` |
/// | `checkpoint(keep = 3)` | how many checkpoints are kept, besides the newest | all |
/// | `checkpoint(score = max(field))` | `max` or `min` of a field of the metrics, by which they are ranked | newer is better |
/// | `checkpoint(every = "10m")` | a time, or a number of steps, after which `ctx.step` makes one | none |
/// | `crate` | the path of `trainloop`, where it has another name | `::trainloop` |
#[proc_macro_attribute]
pub fn train_loop(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    show::show("#[train_loop]", &item, expand::train_loop(args.into(), &item)).into()
}

/// Runs a function at an event of a run, beside the train loop and without a word in it.
///
/// ```ignore
/// #[callback(report)] // in every worker as it reports; may change the report
/// fn note(report: &mut Report<EpochMetrics>, worker: &WorkerInfo) { /* … */ }
///
/// #[callback(report, on = driver, order = 2)] // once, when all ranks have made the report
/// fn announce(ranks: &Ranks<EpochMetrics>, run: &RunInfo) -> Result<()> { /* … */ Ok(()) }
/// ```
///
/// The function's parameters say by their types what it wants of the event, in any order; it returns nothing, or a
/// `Result<(), E>` with any error, which ends the run. It stays as it is written and can be called in a test.
///
/// The module [`callback`](../trainloop/callback/index.html) has the table of the events: what each one has, and when it
/// fires.
///
/// | option | values | without it |
/// |---|---|---|
/// | `on` | `worker`, `driver`, `rank_zero` (the worker of rank 0) | `worker` for `report`; the others fire on one side alone |
/// | `order` | an `i64`; a lower one runs first, and of the same, by file and line | `0` |
/// | `only` | the one train loop for which it runs | every loop with its metrics |
/// | `crate` | the path of `trainloop`, where it has another name | `::trainloop` |
#[proc_macro_attribute]
pub fn callback(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    show::show("#[callback]", &item, expand::callback(args.into(), &item)).into()
}

/// Lets worker processes in: above `fn main` of a binary that calls `fit`.
///
/// Workers are the same binary, executed again. In a worker the loop runs and `main`'s body does not. In the driver the
/// body runs; an error that it returns is printed with its causes, and the exit code is 1, or 130 or 143 where SIGINT or
/// SIGTERM ended the run.
///
/// ```ignore
/// #[trainloop::main]
/// fn main() -> trainloop::Result<()> {
///     // …
///     Ok(())
/// }
/// ```
///
/// It takes nothing, or the command line, read before the body runs, and in the driver alone. `--help` and a mistake in it
/// end the process there, as [`Cli::parse`](../trainloop/cli/struct.Cli.html#method.parse) does:
///
/// ```ignore
/// #[trainloop::main]
/// fn main(cli: Cli<Config>) -> Result<()> { // `Config` derives `Config`
///     TorchTrainer::<train>::new(cli.config.clone()).command_line(&cli).fit()?;
///     Ok(())
/// }
/// ```
///
/// It returns nothing, an `ExitCode`, or a `Result` of these with any error. The option `crate = path` names `trainloop` where
/// it has another name.
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    show::show("#[trainloop::main]", &item, expand::main(args.into(), &item)).into()
}

/// Derives `Metrics`: what a train loop reports, and how the ranks' values become the run's.
///
/// ```ignore
/// #[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
/// struct EpochMetrics {
///     epoch: u64, // rank 0's
///     #[metric(reduce = mean)]
///     train_loss: f64,
/// }
/// ```
///
/// | above a field | what it says |
/// |---|---|
/// | `#[metric(reduce = mean)]` | the ranks' mean, of an `f32` or `f64` |
/// | `reduce = sum`, `min`, `max` | of a number |
/// | `reduce = last` | the last rank's, such as the last stage of a pipeline, which alone has the loss |
/// | `reduce = none`, or nothing | rank 0's |
/// | `#[metric(nested)]` | the field is a struct that derives `Metrics`: its own fields say how |
/// | `#[metric(unit = "s")]` | what the value is measured in, for plots and for the terminal |
///
/// `#[metric(crate = path)]` on the struct names `trainloop` where it has another name.
#[proc_macro_derive(Metrics, attributes(metric))]
pub fn derive_metrics(item: TokenStream) -> TokenStream {
    let item = TokenStream2::from(item);
    show::show("#[derive(Metrics)]", &item.clone(), expand::metrics(item)).into()
}

/// Derives `TrainState`: what a checkpoint holds of a struct or an enum.
///
/// ```ignore
/// #[derive(TrainState)]
/// struct State {
///     model: Model<Net>,
///     optimizer: AdamW,
///     #[state(serde)]
///     epoch: u64,
///     #[state(skip)]
///     scratch: Vec<f32>,
/// }
/// ```
///
/// Each field is a part that is a `TrainState` itself, unless an option says otherwise. Structs and enums nest, and may be
/// generic.
///
/// | option of a field | |
/// |---|---|
/// | `serde` | it is a value that serde can write and read |
/// | `with = path` | the module's `save(&T, &mut StateWriter) -> Result<()>` and `restore(&mut T, &StateReader<'_>) -> Result<()>` do it, for a type of another crate |
/// | `skip` | it is not saved, and stays as it was built |
/// | `rename = "name"` | it is saved under another name, as an older checkpoint has it |
/// | `alias = "name"` | it is read from an older name where its own is absent; may be given several times |
/// | `default` | it stays as it was built where the checkpoint lacks it |
/// | `default = expr` | it becomes `expr`, of the field's type, where the checkpoint lacks it |
///
/// Without a `default` a field that the checkpoint lacks is an error. A part that gave nothing when it was saved, as an
/// empty `Vec` of parts, is lacking.
///
/// | option of the struct or enum | | without it |
/// |---|---|---|
/// | `version = 2` | the layout's version, which is saved beside the fields; a checkpoint with a newer one is refused, and with an older one read: `StateReader::version` has the saved one | `1` |
/// | `crate = path` | the path of `trainloop`, where it has another name | `::trainloop` |
///
/// Of an enum the variant's name is saved, and the variant's fields under it. A variant may have `rename` and `alias`.
///
/// ```ignore
/// #[derive(TrainState)]
/// #[state(version = 2)]
/// enum Phase {
///     Warmup,
///     #[state(alias = "Main")]
///     Training {
///         #[state(serde, default = 1)]
///         round: u64,
///     },
///     Averaging { mean: Model<Net> },
/// }
/// ```
///
/// Where the state is the saved variant already, its fields are restored in place. Where it is another, the saved one is made
/// if it has no fields, or if each is `serde`; one with other fields must be built before it is restored. Every rank should be
/// in the same variant, since tensors are saved by rank 0 alone.
#[proc_macro_derive(TrainState, attributes(state))]
pub fn derive_train_state(item: TokenStream) -> TokenStream {
    let item = TokenStream2::from(item);
    show::show("#[derive(TrainState)]", &item.clone(), expand::train_state(item)).into()
}

/// Derives `Collate`: the batch of a struct of sample fields, as a struct of batched tensors.
///
/// ```ignore
/// #[derive(Collate)]
/// pub struct Sentence {
///     pub topic: i64,
///     #[collate(pad = 0)]
///     pub tokens: Vec<i64>,
/// }
///
/// // This is made, with an implementation of `Collate` for `Sentence`:
/// pub struct SentenceBatch {
///     pub topic: Tensor,  // [samples]
///     pub tokens: Padded, // `values` [samples, longest], `lengths` [samples]
/// }
/// ```
///
/// A field's type is one that collates itself: numbers, tensors, strings, arrays and vectors of numbers, tuples, and structs
/// that derive it. The trait has a table of what each becomes.
///
/// | option | | without it |
/// |---|---|---|
/// | of a field: `pad = expr` | sequences (`Vec`s of numbers, or tensors `[length, …]`) of different lengths are filled up with that value | lengths must be equal |
/// | of the struct: `name = Digits` | the batch's name | the struct's, with `Batch` behind it |
/// | of the struct: `crate = path` | the path of `trainloop`, where it has another name | `::trainloop` |
#[proc_macro_derive(Collate, attributes(collate))]
pub fn derive_collate(item: TokenStream) -> TokenStream {
    let item = TokenStream2::from(item);
    show::show("#[derive(Collate)]", &item.clone(), expand::collate(item)).into()
}

/// Derives `Config`: a train loop's config that the command line can set, which `fn main(cli: Cli<Config>)` is given.
///
/// ```ignore
/// /// Trains a small net
/// #[derive(Config, Serialize, Deserialize, Debug, Clone)]
/// struct Config {
///     /// Passes over the training data
///     epochs: u64, // `--epochs <EPOCHS>`, which must be given
///     /// Learning rate
///     #[config(default = 3e-3)]
///     lr: f64, // `--lr <LR>`, shown with its default
///     /// Samples in a batch of one worker
///     #[config(default = 64, long = "batch")]
///     batch_size: usize, // `--batch <BATCH_SIZE>`
///     /// Stop after so many steps
///     max_steps: Option<u64>, // may be left out
///     /// Widths of the hidden layers
///     width: Vec<usize>, // may be given several times
///     /// Augment the images
///     augment: bool, // `--augment`, also `--augment=false`
/// }
/// ```
///
/// Doc comments are the help. Each field may also stand in a file, `--config run.toml`, or be set by its name, `--set lr=1e-3`.
/// A value is read by its type's `FromStr`, wherever it stands. The options of the run (`--workers`, `--gpu`, `--storage`,
/// `--name`, `--resume`, `--max-failures`), `--config`, `--set` and `--help` are there already: a field with such a name needs
/// another one for its option. A default is an expression of the field's type, or
/// a string that converts into it (`default = "data"` for a `PathBuf`); one that is no literal is shown by `Display`.
/// `#[config(crate = path)]` on the struct names `trainloop` where it has another name.
#[proc_macro_derive(Config, attributes(config))]
pub fn derive_config(item: TokenStream) -> TokenStream {
    let item = TokenStream2::from(item);
    show::show("#[derive(Config)]", &item.clone(), expand::config(item)).into()
}
