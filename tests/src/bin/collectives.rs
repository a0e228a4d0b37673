//! What ranks do together in a plain loop: gathers, values, turns, triggers, a join of uneven inputs. Prints what each rank saw.
//!
//!     collectives CASE WORKERS STORAGE

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::nn::{self, Init};
use tch::{Kind, Tensor};
use trainloop::c10d::JoinOptions;
use trainloop::data::Tail;
use trainloop::prelude::*;
use trainloop::worker::Padding;
use trainloop_tests::data::Indices;

#[derive(Serialize, Deserialize, Debug, Clone)]
struct Config {
    case: String,
    storage: PathBuf,
}

/// Gives what each rank saw, in the order of ranks.
#[train_loop(strategy = ddp)]
fn play(ctx: &mut Context, config: Config) -> Result<Vec<Value>> {
    let seen = match config.case.as_str() {
        "tensors" => tensors(ctx)?,
        "metrics" => metrics(ctx)?,
        "misfits" => misfits(ctx)?,
        "objects" => objects(ctx)?,
        "turns" => turns(ctx, &config)?,
        "triggers" => triggers(ctx)?,
        "join" => join(ctx)?,
        "first_fails" => first_fails(ctx, 0)?,
        "second_fails" => first_fails(ctx, 1)?,
        "ends_early" => ends_early(ctx)?,
        "times" => times(ctx)?,
        other => return Err(Error::other(format!("no case {other}"))),
    };
    ctx.gather_object(seen)
}

fn numbers(tensor: &Tensor) -> Result<Value> {
    let size = tensor.size();
    Ok(json!({ "size": size, "values": Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1))? }))
}

fn tensors(ctx: &Context) -> Result<Value> {
    let rank = ctx.rank() as i64;
    let row = Tensor::from_slice(&[rank as f32, 10.0 * rank as f32]).view([1, 2]).set_requires_grad(true);
    let named = BTreeMap::from([("count".to_owned(), Tensor::from_slice(&[rank + 1]))]);
    let (single, (rows, named), none) = ctx.gather((Tensor::from(rank), (&row, named), None::<Tensor>))?;
    let ragged = Tensor::full([2, rank + 1], rank + 1, (Kind::Int64, ctx.device()));
    let after = ctx.pad_across_ranks(&ragged, Padding::of_dim(1).value(-100.0))?;
    let before = ctx.pad_across_ranks(&ragged, Padding::of_dim(1).first(true))?;
    let sum = ctx.reduce(vec![row.shallow_clone()], ReduceOp::Sum)?;
    Ok(json!({
        "single": numbers(&single)?,
        "rows": numbers(&rows)?,
        "history": rows.requires_grad(),
        "named": numbers(&named["count"])?,
        "none": none.is_none(),
        "after": numbers(&after)?,
        "before": numbers(&before)?,
        "all": numbers(&ctx.gather(&after)?)?,
        "sum": numbers(&sum[0])?,
        "mean": numbers(&ctx.reduce(&row, ReduceOp::Mean)?)?,
        "own": numbers(&row)?,
    }))
}

/// Every epoch of loaders with uneven ends, gathered: in order, shuffled, padded, with fewer samples than ranks.
fn metrics(ctx: &mut Context) -> Result<Value> {
    let cases: [(&str, usize, usize, Tail, Option<u64>); 5] = [
        ("exact", 82, 8, Tail::Exact, None),
        ("shuffled", 82, 8, Tail::Exact, Some(17)),
        ("padded", 82, 8, Tail::Pad, None),
        ("dropped", 83, 8, Tail::Drop, None),
        ("one", 1, 4, Tail::Exact, None),
    ];
    let mut seen = serde_json::Map::new();
    for (name, samples, batch_size, tail, seed) in cases {
        let mut builder = DataLoader::builder(Indices(samples)).batch_size(batch_size).tail(tail);
        if let Some(seed) = seed {
            builder = builder.shuffle(seed);
        }
        let loader = ctx.prepare_data_loader(builder)?;
        let mut all: Vec<i64> = Vec::new();
        for batch in loader.epoch(0)? {
            let batch = batch?;
            let doubled = &*batch * 2;
            let (own, doubled) = ctx.gather_for_metrics(&batch, (&*batch, &doubled))?;
            if !own.equal(&(doubled / 2)) {
                return Err(Error::other("the tensors of one batch are in different orders"));
            }
            all.extend(Vec::<i64>::try_from(&own)?);
        }
        seen.insert(name.to_owned(), json!(all));
    }
    Ok(Value::Object(seen))
}

/// The error of each call that does not fit, in this rank's words.
fn misfits(ctx: &mut Context) -> Result<Value> {
    let rank = ctx.rank() as i64;
    let own = Tensor::zeros([rank + 1, 2], (Kind::Float, ctx.device()));
    let kinds = Tensor::zeros([2], (if rank == 0 { Kind::Float } else { Kind::Double }, ctx.device()));
    let whole = Tensor::ones([rank], (Kind::Int64, ctx.device()));
    let many: Vec<&Tensor> = vec![&own; 1 + ctx.rank()];
    let word = |result: Result<()>| result.err().map(|error| error.to_string());
    let loader = ctx.prepare_data_loader(DataLoader::builder(Indices(24)).batch_size(4))?;
    let alone = DataLoader::builder(Indices(4)).batch_size(4).build()?;
    let mut batches = loader.epoch(0)?;
    let batch = batches.next().ok_or_else(|| Error::other("no batch"))??;
    let foreign = alone.epoch(0)?.next().ok_or_else(|| Error::other("no batch"))??;
    Ok(json!({
        "shape": word(ctx.gather(&own).map(drop)),
        "kind": word(ctx.gather(&kinds).map(drop)),
        "count": word(ctx.gather(many).map(drop)),
        "operation": word(if rank == 0 { ctx.gather(&kinds).map(drop) } else { ctx.reduce(&kinds, ReduceOp::Sum).map(drop) }),
        "op": word(ctx.reduce(&own.get(0), if rank == 0 { ReduceOp::Sum } else { ReduceOp::Mean }).map(drop)),
        "integers": word(ctx.reduce(Tensor::from_slice(&[1_i64]), ReduceOp::Mean).map(drop)),
        "pad": word(ctx.pad_across_ranks(&own, Padding::of_dim(1)).map(drop)),
        "no_dim": word(ctx.pad_across_ranks(&own, Padding::of_dim(2)).map(drop)),
        "value": word(ctx.pad_across_ranks(&whole, Padding::of_dim(0).value(0.5)).map(drop)),
        "rows": word(ctx.gather_for_metrics(&batch, own.narrow(0, 0, 1)).map(drop)),
        "rows_of_one": word(ctx.gather_for_metrics(&batch, Tensor::zeros([4 - rank], (Kind::Float, ctx.device()))).map(drop)),
        "foreign": word(ctx.gather_for_metrics(&foreign, Tensor::zeros([4], (Kind::Float, ctx.device()))).map(drop)),
        "from": word(ctx.broadcast_object(Some(1), 7).map(drop)),
        "nothing": word(ctx.broadcast_object(None::<u8>, 1).map(drop)),
        // The group goes on as before.
        "then": numbers(&ctx.gather(Tensor::from(rank))?)?,
    }))
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Vocabulary {
    words: Vec<String>,
    scale: Option<f64>,
}

fn objects(ctx: &Context) -> Result<Value> {
    let last = ctx.world_size() - 1;
    let own = (ctx.rank() == last).then(|| Vocabulary { words: vec!["a".into(), "b".into()], scale: Some(0.5) });
    let vocabulary = ctx.broadcast_object(own, last)?;
    let lengths: Vec<Vec<usize>> = ctx.gather_object(vec![ctx.rank(); ctx.rank()])?;
    let numbers: Vec<u32> = (0..5).collect();
    Ok(json!({
        "vocabulary": vocabulary,
        "lengths": lengths,
        "part": ctx.split_between_ranks(&numbers),
        "padded": ctx.split_between_ranks_padded(&numbers),
        "padded_one": ctx.split_between_ranks_padded(&numbers[..1]),
        "padded_none": ctx.split_between_ranks_padded(&numbers[..0]),
    }))
}

/// Each rank writes its name; the first has written all of its lines before the next begins.
fn turns(ctx: &Context, config: &Config) -> Result<Value> {
    let path = config.storage.join("turns");
    let rank = ctx.rank();
    let found = ctx.main_rank_first(|| {
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        for _ in 0..1000 {
            write!(file, "{rank}")?;
        }
        Ok(found)
    })?;
    // What the others of the second turn have written meanwhile is theirs.
    Ok(json!(found.matches('0').count()))
}

/// A closure that fails on one rank ends nobody's waiting.
#[allow(clippy::unnecessary_wraps)] // as the other cases
fn first_fails(ctx: &Context, fails: usize) -> Result<Value> {
    let mut ran = false;
    let rank = ctx.rank();
    let result = ctx.main_rank_first(|| {
        ran = true;
        if rank == fails { Err(Error::other("no space left")) } else { Ok(()) }
    });
    let is_peer = matches!(result, Err(Error::Peer { .. }));
    Ok(json!({ "ran": ran, "error": result.err().map(|error| error.to_string()), "of_a_peer": is_peer }))
}

fn triggers(ctx: &Context) -> Result<Value> {
    let mut seen = Vec::new();
    for round in 0..4 {
        if round == 1 && ctx.rank() == ctx.world_size() - 1 || round == 3 {
            ctx.set_trigger();
        }
        seen.push(ctx.check_trigger()?);
    }
    Ok(json!(seen))
}

fn slope(ctx: &Context) -> Result<Model<Tensor>> {
    ctx.prepare_model_with(ModelOptions::default().kind(Kind::Double), |path| path.var("w", &[1], Init::Const(1.0)))
}

/// Rank r has 2r + 1 inputs, each r + 1: the gradient of a step is their sum over the ranks that have one, by the ranks there are.
fn join(ctx: &mut Context) -> Result<Value> {
    let model = slope(ctx)?;
    let mut optimizer = Sgd::builder(0.1).build(&model)?;
    let rank = ctx.rank();
    let input = Tensor::from_slice(&[rank as f64 + 1.0]);
    let steps = model.join(JoinOptions::default(), || {
        for _ in 0..=2 * rank {
            let loss = model.call(|w| w * &input)?.sum(Kind::Double);
            optimizer.backward_step(&loss)?;
        }
        Ok(2 * rank + 1)
    })?;
    let weight = model.vars().variables()["w"].double_value(&[0]);
    // Everything else works again.
    let [sum] = ctx.all_reduce([1_i64], ReduceOp::Sum)?;
    Ok(json!({ "steps": steps, "weight": weight, "ranks": sum }))
}

/// A collective that has no stand-in is an error, not a hang; the run ends with it.
fn ends_early(ctx: &mut Context) -> Result<Value> {
    let model = slope(ctx)?;
    let words = std::cell::RefCell::new(Vec::new());
    model.join(JoinOptions::default(), || {
        let note = |result: Result<()>| words.borrow_mut().extend(result.err().map(|error| error.to_string()));
        note(ctx.all_reduce(1.0, ReduceOp::Sum).map(drop));
        note(ctx.barrier());
        note(ctx.step(&Nothing));
        note(ctx.check_trigger().map(drop));
        Ok(())
    })?;
    let mut words = words.into_inner();
    // A scaler agrees over ranks, too; and another model's passes have no stand-in.
    let other = slope(ctx)?;
    let mut optimizer = Sgd::builder(0.1).build(&other)?;
    let mut scaler = GradScaler::builder().build()?;
    optimizer.backward(&scaler.scale(&other.call(|w| w * 2.0)?.sum(Kind::Double))?)?;
    model.join(JoinOptions::default(), || {
        words.extend(scaler.unscale(&mut optimizer).err().map(|error| error.to_string()));
        words.extend(other.call(|w| w * 2.0).err().map(|error| error.to_string()));
        Ok(())
    })?;
    Ok(json!(words))
}

#[derive(TrainState)]
struct Nothing;

fn times(ctx: &mut Context) -> Result<Value> {
    let model = ctx.prepare_model(|path| nn::linear(path, 1, 1, nn::LinearConfig::default()))?;
    let mut optimizer = Sgd::builder(0.1).build(&model)?;
    let loader = ctx.prepare_data_loader(DataLoader::builder(Indices(40)).batch_size(4))?;
    let pass = |ctx: &Context, optimizer: Option<&mut Sgd>, epoch: u64| -> Result<()> {
        let mut optimizer = optimizer;
        for batch in loader.epoch(epoch)? {
            let inputs = batch?.to_kind(Kind::Float).view([-1, 1]);
            let loss = model.call(|net| inputs.apply(net))?.mean(Kind::Float);
            if let Some(optimizer) = &mut optimizer {
                optimizer.backward_step(&loss)?;
            }
            ctx.barrier()?;
        }
        Ok(())
    };
    pass(ctx, Some(&mut optimizer), 0)?;
    let trained = ctx.step_times();
    ctx.validate(|ctx| pass(ctx, None, 1))?;
    tch::no_grad(|| pass(ctx, None, 2))?;
    Ok(json!({ "trained": trained, "validated": ctx.step_times() }))
}

#[trainloop::main]
fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(case), Some(workers), Some(storage)) = (args.next(), args.next(), args.next()) else {
        return Err(Error::other("usage: collectives CASE WORKERS STORAGE"));
    };
    let workers: usize = workers.parse().map_err(Error::other)?;
    let storage = PathBuf::from(storage);
    let outcome = TorchTrainer::<play>::new(Config { case, storage: storage.clone() })
        .scaling(ScalingConfig::workers(workers))
        .run(RunConfig::default().storage(storage).progress(false))
        .fit()?;
    let again = Outcome::<play>::open(&outcome.path)?;
    if again.step_times != outcome.step_times {
        return Err(Error::other("the times of steps are read back as others"));
    }
    println!("{}", json!({ "ranks": outcome.output, "step_times": outcome.step_times }));
    Ok(())
}
