use super::train_loop;
use crate::ir::ParameterKind::{Checkpoint, Config, Context, Device, Lent, State};
use crate::ir::{MetricsFrom, ParameterKind, TrainLoop};
use crate::report::Report;

/// The loop that these tokens are, and the mistakes in it.
fn check(args: &str, function: &str) -> (Option<TrainLoop>, Vec<String>) {
    let mut report = Report::default();
    let function = syn::parse_str(function).unwrap();
    let train_loop = train_loop(args.parse().unwrap(), &function, &mut report);
    (train_loop, report.texts())
}

/// A loop with nothing wrong but its options.
fn options(args: &str) -> Vec<String> {
    check(args, "fn train(ctx: &mut Context<M>, config: Config) -> Result<()> {}").1
}

/// A loop with nothing wrong but its signature.
fn signature(function: &str) -> Vec<String> {
    check("", function).1
}

#[test]
fn every_option_is_taken() {
    for args in [
        "",
        "strategy = single, workers = 1",
        "strategy = ddp, workers = 4, use_gpu, backend = gloo, resume = if_exists, name = \"digits\"",
        "workers = 2..=8, use_gpu = false, resume = never,",
        "failure(max_failures = 3), resume = require, crate = my::trainloop",
        "failure(max_failures = unlimited)",
        "checkpoint(keep = 3, score = max(validation.accuracy), every = \"10m\")",
        "checkpoint(score = min(loss), every = 1000)",
    ] {
        assert_eq!(options(args), Vec::<String>::new(), "{args}");
    }
}

#[test]
fn options_that_are_wrong_are_told_each() {
    let cases = [
        (
            "stratgey = ddp",
            "`#[train_loop]` has no option `stratgey`; did you mean `strategy`? (there is: `strategy`, `workers`, \
          `use_gpu`, `backend`, `checkpoint`, `failure`, `resume`, `name`, `metrics`, `crate`)",
        ),
        ("strategy = dpd", "`strategy` cannot be `dpd`; did you mean `ddp`? (there is: `single`, `ddp`)"),
        ("strategy", "the option `strategy` has no value; write `strategy = …`"),
        ("strategy = ddp, strategy = single", "the option `strategy` is given twice"),
        ("workers = many", "`workers` is a number of processes, or a range; write `workers = 4` or `workers = 2..=8`"),
        ("workers = -1", "`workers` is a number of processes, or a range; write `workers = 4` or `workers = 2..=8`"),
        ("workers = 2u8", "`workers` is a number of processes, or a range; write `workers = 4` or `workers = 2..=8`"),
        ("workers = 2..", "`workers` is a number of processes, or a range; write `workers = 4` or `workers = 2..=8`"),
        ("workers = 2..8", "a range of workers says its largest number; write `2..=8`"),
        ("workers = 8..=2", "no number is in this range; write `2..=8`"),
        (
            "workers = 0..=2",
            "with 0 workers the loop runs in the driver, which is no number to grow from; begin with 1",
        ),
        (
            "strategy = single, workers = 2",
            "`strategy = single` is for one worker; write `strategy = ddp`, or `workers = 1`",
        ),
        (
            "strategy = single, workers = 1..=2",
            "`strategy = single` is for one worker; write `strategy = ddp`, or `workers = 1`",
        ),
        ("use_gpu = 1", "the option `use_gpu` is on or off; write `use_gpu`, or `use_gpu = false`"),
        ("use_gpu(true)", "the option `use_gpu` is on or off; write `use_gpu`, or `use_gpu = false`"),
        ("backend = mpi", "`backend` cannot be `mpi` (there is: `gloo`, `nccl`)"),
        ("resume = always", "`resume` cannot be `always` (there is: `if_exists`, `never`, `require`)"),
        ("name = digits", "the option `name` takes a string; write `name = \"…\"`"),
        (
            "name = \"a/b\"",
            "this run name has a path separator; it is the name of one folder in the storage, so use letters, \
          digits, `-` and `_`",
        ),
        (
            "name = \"\"",
            "this run name is empty; it is the name of one folder in the storage, so use letters, digits, `-` and `_`",
        ),
        ("failure", "the option `failure` has options of its own; write `failure(…)`"),
        ("failure(retries = 3)", "`failure` has no option `retries` (there is: `max_failures`)"),
        ("failure(max_failures = often)", "`max_failures` is a whole number, or `unlimited`; write `max_failures = 3`"),
        ("checkpoint = 3", "the option `checkpoint` has options of its own; write `checkpoint(…)`"),
        ("checkpoint(keep = 0)", "`keep` is how many checkpoints are kept: a whole number from 1; write `keep = 3`"),
        (
            "checkpoint(score = accuracy)",
            "a score is `max(field)` or `min(field)` of the metrics; write `score = max(val_accuracy)`",
        ),
        (
            "checkpoint(score = best(accuracy))",
            "a score is `max(field)` or `min(field)` of the metrics; write `score = max(val_accuracy)`",
        ),
        (
            "checkpoint(every = 10.5)",
            "`every` is a number of steps, or a time with its unit (ms, s, m, h); write `every = 1000` or \
          `every = \"10m\"`",
        ),
        ("metrics = M", "the context says already what this train loop reports; remove `metrics`"),
        ("metrics = 3", "the option `metrics` takes a type; write `metrics = EpochMetrics`"),
        ("crate = \"trainloop\"", "the option `crate` takes a path; write `crate = my_trainloop`"),
        (", strategy = ddp", "there is no option before this comma; remove it"),
    ];
    for (args, expected) in cases {
        assert_eq!(options(args), [expected], "{args}");
    }
}

#[test]
fn one_mistake_does_not_hide_the_next() {
    let all = options("strategy = , workers = lots, name = 3");
    assert_eq!(all.len(), 3, "{all:?}");
}

#[test]
fn signatures_that_are_wrong_are_told() {
    let cases = [
        (
            "async fn train() -> Result<()> {}",
            "a train loop is not async: libtorch blocks, and a worker is a process of its own; remove this word",
        ),
        ("const fn train() -> Result<()> {}", "a train loop is not const; remove this word"),
        (
            "unsafe fn train() -> Result<()> {}",
            "a train loop is not unsafe: its caller is generated and can keep no promise; remove this word",
        ),
        ("extern \"C\" fn train() -> Result<()> {}", "a train loop is a Rust function; remove this word"),
        (
            "fn train<T>() -> Result<()> {}",
            "a train loop is not generic: a worker process finds it by its name alone; write the types out",
        ),
        ("fn train() -> Result<()> where u8: Copy {}", "a train loop is not generic; remove the clause"),
        (
            "fn train(config: impl Clone) -> Result<()> {}",
            "a train loop is not generic: a worker process finds it by its name alone; write the type out",
        ),
        ("fn train() {}", "a train loop returns a `Result`: collectives and reports can fail; write `-> Result<()>`"),
        (
            "fn train() -> Result<impl Clone> {}",
            "the driver reads back what a train loop returns, so its type has a name; write it out",
        ),
        (
            "fn train(&self) -> Result<()> {}",
            "a train loop is a free function, not a method: a worker process has no `self`",
        ),
        ("fn train(ctx: Context<M>) -> Result<()> {}", "the context is lent to a train loop; write `&mut Context<M>`"),
        (
            "fn train(ctx: &Context<M>) -> Result<()> {}",
            "the context is lent mutably: a report is counted; write `&mut Context<M>`",
        ),
        (
            "fn train(ctx: &'a mut Context<M>) -> Result<()> {}",
            "what a train loop borrows is lent for the length of the call; remove the lifetime",
        ),
        (
            "fn train(config: &Config) -> Result<()> {}",
            "a train loop owns its config, and a state is lent mutably; write `Config` or `&mut Config`",
        ),
        (
            "fn train(from: Checkpoint) -> Result<()> {}",
            "a new run has no checkpoint to begin from; write `Option<Checkpoint>`",
        ),
        (
            "fn train(a: &mut Context, b: &mut Context) -> Result<()> {}",
            "a train loop has one context, and another parameter has it already; remove this one",
        ),
        (
            "fn train(a: u8, b: u8) -> Result<()> {}",
            "a train loop has one config, and another parameter is it already; put both into one struct",
        ),
        (
            "fn train(a: Device, b: tch::Device) -> Result<()> {}",
            "a worker has one device, and another parameter has it already; remove this one",
        ),
        (
            "fn train(a: Option<Checkpoint>, b: Option<Checkpoint>) -> Result<()> {}",
            "a train loop begins from one checkpoint, and another parameter has it already; remove this one",
        ),
        (
            "fn train(a: &mut A, b: &mut B) -> Result<()> {}",
            "a train loop has one state, and another parameter is lent already; put both into one struct, or, where one \
          of them is an alias of the context, write it `&mut Context<M>`",
        ),
    ];
    for (function, expected) in cases {
        assert_eq!(signature(function), [expected], "{function}");
    }
}

#[test]
fn parameters_are_known_by_their_types_in_any_order() {
    let kinds = |function: &str| -> Vec<ParameterKind> {
        let (train_loop, mistakes) = check("", function);
        assert_eq!(mistakes, Vec::<String>::new(), "{function}");
        train_loop.unwrap().parameters.iter().map(|parameter| parameter.kind).collect()
    };
    assert_eq!(kinds("fn train() -> R {}"), []);
    assert_eq!(kinds("fn train(c: C, x: &mut worker::Context) -> R {}"), [Config, Context]);
    assert_eq!(
        kinds(
            "fn train(s: &mut S, d: Device, o: Option<checkpoint::Checkpoint>, x: &mut Context<M>, c: Option<u8>) -> R {}"
        ),
        [State, Device, Checkpoint, Context, Config]
    );
    assert_eq!(kinds("fn train(s: &mut S, c: (u8, u8)) -> R {}"), [Lent, Config]);
}

#[test]
fn metrics_are_found_where_they_are_said() {
    let metrics = |args: &str, function: &str| check(args, function).0.unwrap().metrics;
    assert!(matches!(metrics("", "fn train(x: &mut Context<M>, s: &mut S) -> R {}"), MetricsFrom::Context(_)));
    assert!(matches!(metrics("", "fn train(s: &mut S) -> R {}"), MetricsFrom::Lent(_)));
    assert!(matches!(metrics("metrics = M", "fn train(s: &mut S) -> R {}"), MetricsFrom::Named(_)));
    assert!(matches!(metrics("", "fn train(c: C) -> R {}"), MetricsFrom::Nowhere));
}
