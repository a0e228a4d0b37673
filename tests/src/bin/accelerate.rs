//! Loops written with an `Accelerator`, and the same over the context; prints what came of them.
//!
//!     accelerate CASE WORKERS STORAGE [CONFIG.json]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::nn::{self, LinearConfig, VarStore};
use tch::{Kind, Reduction, Tensor};
use trainloop::accelerate::{Accelerator, MixedPrecision};
use trainloop::prelude::*;
use trainloop_tests::data::{Indices, rows};

/// What is trained, by both loops and by Python's (`tests/peers/accelerate_train.py`).
#[derive(Serialize, Deserialize, Debug, Clone, Default)]
struct Work {
    inputs: Vec<Vec<f64>>,
    labels: Vec<i64>,
    batch_size: usize,
    accumulate: usize,
    epochs: u64,
    lr: f64,
    momentum: f64,
    max_norm: f64,
    /// Steps of the cosine schedule.
    schedule: u64,
    initial: BTreeMap<String, Vec<f64>>,
    /// Samples of which each is gathered once.
    held_out: usize,
    split_batches: bool,
}

#[derive(Serialize, Deserialize, Debug, Clone)]
struct Config {
    case: String,
    work: Work,
}

/// 4 → 8 → 3 with tanh, by the names of `torch.nn.Sequential`.
struct Net(nn::Linear, nn::Linear);

impl Net {
    /// In float64, with these values.
    fn new(vars: &mut VarStore, initial: &BTreeMap<String, Vec<f64>>) -> Result<Self> {
        let path = vars.root();
        let linear = LinearConfig::default();
        let net = Self(nn::linear(&path / "0", 4, 8, linear), nn::linear(&path / "2", 8, 3, linear));
        vars.double();
        for (name, mut variable) in vars.variables() {
            let values = initial.get(&name).ok_or_else(|| Error::other(format!("no values for {name}")))?;
            tch::no_grad(|| variable.f_copy_(&Tensor::from_slice(values).view(variable.size().as_slice())))?;
        }
        Ok(net)
    }

    fn forward(&self, inputs: &Tensor) -> Tensor {
        inputs.apply(&self.0).tanh().apply(&self.1)
    }
}

#[derive(Clone)]
struct Data(Arc<Work>);

impl Dataset for Data {
    type Sample = usize;
    type Batch = (Tensor, Tensor);

    fn len(&self) -> usize {
        self.0.labels.len()
    }

    fn get(&self, index: usize) -> Result<usize> {
        Ok(index)
    }

    fn collate(&self, samples: Vec<usize>) -> Result<(Tensor, Tensor)> {
        let labels: Vec<i64> = samples.iter().map(|&index| self.0.labels[index]).collect();
        Ok((rows(&self.0.inputs, &samples)?, Tensor::from_slice(&labels)))
    }
}

/// A batch: the mean loss of all ranks, the learning rate of the next step, and the norm of a window's gradients.
#[derive(Serialize, Debug, Clone, PartialEq)]
struct Batched {
    loss: f64,
    lr: f64,
    norm: Option<f64>,
}

#[train_loop(strategy = ddp)]
fn play(ctx: &mut Context, config: Config) -> Result<Value> {
    match config.case.as_str() {
        "train" => train(ctx, config.work, u64::MAX),
        "plain" => plain(ctx, config.work),
        "interrupted" => train(ctx, config.work, 7),
        "windows" => windows(ctx),
        "half" => half(ctx),
        "names" => names(ctx),
        "skip" => skip(ctx),
        other => Err(Error::other(format!("no case {other}"))),
    }
}

#[derive(TrainState, Default)]
struct Progress {
    #[state(serde)]
    epoch: u64,
    #[state(serde)]
    batches: u64,
}

/// Fails after so many batches, once: it goes on from the state saved then.
fn train(ctx: &mut Context, work: Work, fails_after: u64) -> Result<Value> {
    let work = Arc::new(work);
    let mut accelerator = Accelerator::builder()
        .gradient_accumulation_steps(work.accumulate)
        .split_batches(work.split_batches)
        .build(ctx)?;
    let mut vars = VarStore::new(accelerator.device());
    let net = Net::new(&mut vars, &work.initial)?;
    let mut optimizer = Sgd::builder(work.lr).momentum(work.momentum).build(&vars)?;
    let schedule = CosineLr::new(work.schedule).attach(&mut optimizer)?;
    let loader = DataLoader::builder(Data(Arc::clone(&work))).batch_size(work.batch_size);
    let held_out = DataLoader::builder(Indices(work.held_out)).batch_size(work.batch_size);
    // In an order of one's own.
    let (mut schedule, model, (loader, held_out), mut optimizer) =
        accelerator.prepare((schedule, (vars, net), (loader, held_out), optimizer))?;
    let progress = accelerator.register_for_checkpointing(Progress::default());
    let resumed = accelerator.load_state()?;

    let mut batches = Vec::new();
    while progress.borrow().epoch < work.epochs {
        let epoch = progress.borrow().epoch;
        for batch in loader.epoch(epoch)? {
            let batch = batch?;
            let (inputs, labels) = &*batch;
            let seen = accelerator.accumulate(|| {
                let logits = model.call(|net| net.forward(inputs))?;
                let loss = logits.f_cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, 0.0)?;
                accelerator.backward(&loss)?;
                let norm = accelerator.clip_grad_norm(&mut optimizer, work.max_norm)?;
                optimizer.step()?;
                schedule.step(&mut optimizer)?;
                optimizer.zero_grad()?;
                let loss = accelerator.gather(&loss)?.mean(Kind::Double);
                let norm = norm.map(|norm| f64::try_from(&norm)).transpose()?;
                Ok(Batched { loss: f64::try_from(&loss)?, lr: optimizer.learning_rate()?, norm })
            })?;
            batches.push(seen);
            progress.borrow_mut().batches += 1;
            if progress.borrow().batches == fails_after && !resumed {
                accelerator.save_state()?;
                return Err(Error::other("the power went"));
            }
        }
        progress.borrow_mut().epoch += 1;
    }
    let mut gathered = Vec::new();
    for batch in held_out.epoch(0)? {
        let batch = batch?;
        gathered.extend(Vec::<i64>::try_from(&accelerator.gather_for_metrics(&batch, &*batch)?)?);
    }
    let weights = weights(&model)?;
    Ok(
        json!({ "batches": batches, "gathered": gathered, "weights": weights, "steps": schedule.steps(), "resumed": resumed }),
    )
}

fn weights<N>(model: &Model<N>) -> Result<BTreeMap<String, Vec<f64>>> {
    let flat = |(name, tensor): (String, Tensor)| Ok((name, Vec::<f64>::try_from(tensor.detach().flatten(0, -1))?));
    model.vars().variables().into_iter().map(flat).collect()
}

/// The same without an accelerator.
fn plain(ctx: &mut Context, work: Work) -> Result<Value> {
    let work = Arc::new(work);
    let mut vars = VarStore::new(ctx.device());
    let net = Net::new(&mut vars, &work.initial)?;
    let model = ctx.prepare_built_model((vars, net), ModelOptions::default())?;
    let mut optimizer = Sgd::builder(work.lr).momentum(work.momentum).build(&model)?;
    let mut schedule = CosineLr::new(work.schedule).attach(&mut optimizer)?;
    let loader = DataLoader::builder(Data(Arc::clone(&work))).batch_size(work.batch_size).accumulate(work.accumulate);
    let loader = ctx.prepare_data_loader(loader)?;
    let mut batches = Vec::new();
    for epoch in 0..work.epochs {
        for batch in loader.epoch(epoch)? {
            let batch = batch?;
            let (inputs, labels) = &*batch;
            if batch.begins_window() {
                optimizer.zero_grad()?;
            }
            let logits = model.call(|net| net.forward(inputs))?;
            let loss = logits.f_cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, 0.0)?;
            optimizer.backward(&loss)?;
            let mut norm = None;
            if batch.ends_window() {
                norm = Some(f64::try_from(&optimizer.clip_grad_norm(work.max_norm)?)?);
                optimizer.step()?;
                // A step of one process counts once for each rank.
                schedule.seek(schedule.steps() + ctx.world_size() as u64, &mut optimizer)?;
            }
            let loss = f64::try_from(&ctx.gather(&loss)?.mean(Kind::Double))?;
            batches.push(Batched { loss, lr: optimizer.learning_rate(), norm });
        }
    }
    Ok(json!({ "batches": batches, "weights": weights(&model)? }))
}

/// Inputs of one's own, without a loader: every third call is a window's end. And `zero_grad` in any place.
fn windows(ctx: &mut Context) -> Result<Value> {
    let rank = ctx.rank() as f64;
    let mut accelerator = Accelerator::builder().gradient_accumulation_steps(3).build(ctx)?;
    let vars = VarStore::new(accelerator.device());
    let weight = vars.root().zeros("w", &[1]);
    let optimizer = Sgd::builder(1.0).build(&vars)?;
    let (model, mut optimizer) = accelerator.prepare(((vars, weight), optimizer))?;
    let mut seen = Vec::new();
    for zero_first in [false, true] {
        for call in 0..6_u8 {
            accelerator.accumulate(|| {
                if zero_first {
                    optimizer.zero_grad()?;
                }
                let loss = model.call(|w| w * (f64::from(call) + rank))?.sum(Kind::Float);
                accelerator.backward(&loss)?;
                let gradient = model.vars().variables()["w"].grad().double_value(&[0]);
                optimizer.step()?;
                if !zero_first {
                    optimizer.zero_grad()?;
                }
                let gradients = accelerator.gather(Tensor::from(gradient))?;
                seen.push(json!({
                    "syncs": accelerator.sync_gradients(),
                    "gradients": Vec::<f64>::try_from(&gradients)?,
                    "weight": model.vars().variables()["w"].double_value(&[0]),
                }));
                Ok(())
            })?;
        }
    }
    Ok(json!(seen))
}

/// float16 and bfloat16: what a forward pass computes in, what comes out, and a step that is left out.
fn half(ctx: &mut Context) -> Result<Value> {
    let mut seen = serde_json::Map::new();
    for (name, precision) in
        [("no", MixedPrecision::No), ("fp16", MixedPrecision::Fp16), ("bf16", MixedPrecision::Bf16)]
    {
        let mut accelerator = Accelerator::builder().mixed_precision(precision).build(ctx)?;
        let vars = VarStore::new(accelerator.device());
        let net = nn::linear(vars.root(), 4, 3, LinearConfig::default());
        let mut optimizer = Sgd::builder(0.1).build(&vars)?;
        let schedule = ExponentialLr::new(0.5).attach(&mut optimizer)?;
        let (model, mut optimizer, mut schedule) = accelerator.prepare(((vars, net), optimizer, schedule))?;
        let inputs = Tensor::ones([2, 4], (Kind::Float, accelerator.device()));
        let mut inside = Kind::Float;
        let output = model.call(|net| {
            let output = inputs.apply(net);
            inside = output.kind();
            output
        })?;
        let cast = accelerator.autocast(|| Ok(inputs.matmul(&inputs.tr()).kind()))?;
        accelerator.backward(&output.mean(Kind::Float))?;
        let norm = accelerator.clip_grad_norm(&mut optimizer, 1.0)?.map_or(f64::NAN, |norm| norm.double_value(&[]));
        optimizer.step()?;
        schedule.step(&mut optimizer)?;
        let (taken, steps) = (!optimizer.step_was_skipped(), schedule.steps());
        optimizer.zero_grad()?;
        // One rank's gradient is infinite: no rank steps, and the schedule waits.
        let factor = if accelerator.is_last_process() { f64::INFINITY } else { 1.0 };
        let before = model.vars().variables()["weight"].copy();
        let skipped = if precision == MixedPrecision::Fp16 {
            accelerator.backward(&(model.call(|net| inputs.apply(net))?.mean(Kind::Float) * factor))?;
            optimizer.step()?;
            schedule.step(&mut optimizer)?;
            optimizer.step_was_skipped()
                && schedule.steps() == steps
                && model.vars().variables()["weight"].equal(&before)
        } else {
            false
        };
        let second = Sgd::builder(0.1).build(model.vars())?;
        let refused = accelerator.prepare(second).err().map(|error| error.to_string());
        seen.insert(
            name.to_owned(),
            json!({
                "inside": format!("{inside:?}"), "outside": format!("{:?}", output.kind()), "cast": format!("{cast:?}"),
                "norm": norm, "taken": taken, "steps": steps, "skipped": skipped, "refused": refused,
            }),
        );
    }
    Ok(Value::Object(seen))
}

/// What is a name alone, and what is refused.
fn names(ctx: &mut Context) -> Result<Value> {
    let zero = Accelerator::builder().gradient_accumulation_steps(0).build(ctx).err().map(|error| error.to_string());
    let mut accelerator = Accelerator::builder().split_batches(true).build(ctx)?;
    let odd = accelerator.prepare(DataLoader::builder(Indices(8)).batch_size(3)).err().map(|error| error.to_string());
    let loader = accelerator.prepare(DataLoader::builder(Indices(8)).batch_size(4))?;
    let lengths: Vec<usize> = loader.epoch(0)?.map(|batch| Ok(batch?.samples())).collect::<Result<_>>()?;
    let vars = VarStore::new(accelerator.device());
    let net = nn::linear(vars.root(), 4, 3, LinearConfig::default());
    let model = accelerator.prepare((vars, net))?;
    let other = Rc::clone(&model);
    let debug = format!("{accelerator:?}");
    let held = accelerator.unwrap_model(other).err().map(|error| error.to_string());
    let (vars, net) = accelerator.unwrap_model(model)?;
    let unwrapped = Tensor::ones([1, 4], (Kind::Float, vars.device())).apply(&net).size();
    let model = accelerator.prepare((vars, net))?;
    let (inputs, pass) = (Tensor::ones([1, 4], (Kind::Float, accelerator.device())), accelerator.process_index() + 1);
    accelerator.join_uneven_inputs(&model, || {
        (0..pass).try_for_each(|_| accelerator.backward(&model.call(|net| inputs.apply(net))?.sum(Kind::Float)))
    })?;
    accelerator.wait_for_everyone()?;
    if accelerator.is_main_process() {
        accelerator.set_trigger();
    }
    let triggered = accelerator.check_trigger()?;
    let first = accelerator.main_process_first(|| Ok(accelerator.local_process_index()))?;
    accelerator.print("from one rank");
    #[allow(clippy::redundant_closure_for_method_calls)] // its lifetime is any
    let on_main = accelerator.on_main_process(|view| view.world_size());
    let parts = accelerator.gather_object(accelerator.split_between_processes(&[1, 2, 3]).to_vec())?;
    accelerator.save_state()?;
    accelerator.free_memory((model, loader));
    let freed = format!("{accelerator:?}");
    let is_last = accelerator.gather_object(accelerator.is_last_process())?;
    let reports = accelerator.context().reports();
    Ok(json!({
        "zero": zero, "odd": odd, "lengths": lengths, "debug": debug, "held": held, "unwrapped": unwrapped,
        "triggered": triggered, "first": first, "on_main": on_main, "parts": parts, "freed": freed, "is_last": is_last,
        "reports": reports,
    }))
}

#[derive(TrainState)]
struct Place {
    loader: DataLoader<Indices>,
}

/// An epoch begun after its first batches, left inside, and gone on with from a checkpoint; fails once in between.
fn skip(ctx: &mut Context) -> Result<Value> {
    let loader = DataLoader::builder(Indices(40)).batch_size(4).shuffle(17);
    let mut place = Place { loader: ctx.prepare_data_loader(loader)? };
    let all = |epoch: trainloop::data::Epoch<Indices>, ctx: &Context, most: usize| -> Result<Vec<Vec<i64>>> {
        epoch
            .take(most)
            .map(|batch| {
                let batch = batch?;
                Ok(Vec::try_from(&ctx.gather_for_metrics(&batch, &*batch)?)?)
            })
            .collect()
    };
    let Some(checkpoint) = ctx.checkpoint()? else {
        all(place.loader.skip_first_batches(3, 2)?, ctx, 1)?;
        ctx.save_state(&place)?;
        return Err(Error::other("the power went"));
    };
    checkpoint.restore(&mut place)?;
    let twice = place.loader.skip_first_batches(3, 1).err().map(|error| error.to_string());
    let rest = all(place.loader.epoch(3)?, ctx, usize::MAX)?;
    let whole = all(place.loader.epoch(3)?, ctx, usize::MAX)?;
    Ok(json!({ "twice": twice, "rest": rest, "whole": whole }))
}

#[trainloop::main]
fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(case), Some(workers), Some(storage)) = (args.next(), args.next(), args.next()) else {
        return Err(Error::other("usage: accelerate CASE WORKERS STORAGE [CONFIG.json]"));
    };
    let workers: usize = workers.parse().map_err(Error::other)?;
    let work = match args.next() {
        Some(path) => serde_json::from_str(&std::fs::read_to_string(path)?).map_err(Error::other)?,
        None => Work::default(),
    };
    let outcome = TorchTrainer::<play>::new(Config { case, work })
        .scaling(ScalingConfig::workers(workers))
        .run(
            RunConfig::named("run")
                .storage(PathBuf::from(storage))
                .progress(false)
                .failure(FailureConfig::max_failures(1)),
        )
        .fit()?;
    println!("{}", json!({ "output": outcome.output, "restarts": outcome.restarts }));
    Ok(())
}
