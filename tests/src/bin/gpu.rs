//! What a machine with a GPU is to show; tests/gpu/run.sh starts it. One line for each check, and at the end exit code 0 if all
//! hold.
//!
//!     gpu --digits PROGRAM --data FOLDER

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tch::nn::{self, Module};
use tch::{Cuda, Device, Kind, Tensor};
use trainloop::c10d::{
    Backend, DdpOptions, DistributedDataParallel, Error, GroupOptions, HashStore, Interface, ProcessGroup, ReduceOp,
    Waited, aten,
};
use trainloop::data::{DataLoader, TensorDataset};
use trainloop::optim::{GradScaler, Sgd};
use trainloop::random::{Generators, seed_everything};

const GPU: Device = Device::Cuda(0);

/// What was compared, and how far apart it was; or what is wrong.
type Check = Result<String, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [digits, program, data, folder] = &arguments[..] else { return usage() };
    if (digits.as_str(), data.as_str()) != ("--digits", "--data") {
        return usage();
    }
    let checks: [(&str, &dyn Fn() -> Check); 8] = [
        ("CUDA devices", &devices),
        ("NCCL collectives, world size 1, against the CPU's", &collectives),
        ("what does not fit is refused", &refusals),
        ("DDP steps on the GPU against the CPU's", &ddp),
        ("bf16 autocast with GradScaler", &mixed_precision),
        ("CUDA generator saved and restored", &generator),
        ("batches from pinned memory", &pinned),
        ("the digits example with use_gpu(true)", &|| train_digits(program, folder)),
    ];
    let mut failed = 0;
    println!("{:<52} {:<6} {:>8}  found", "check", "result", "seconds");
    for (name, check) in checks {
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|_| Err("it panicked; see above".into()));
        let (result, found) = match outcome {
            Ok(found) => ("ok", found),
            Err(error) => {
                failed += 1;
                ("FAILED", error.to_string())
            }
        };
        println!("{name:<52} {result:<6} {:>8.2}  {found}", begun.elapsed().as_secs_f64());
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    eprintln!("usage: gpu --digits PROGRAM --data FOLDER");
    ExitCode::from(2)
}

fn devices() -> Check {
    let devices = Cuda::device_count();
    if devices < 1 {
        return Err("libtorch sees no CUDA device".into());
    }
    Ok(format!("{devices}, cuDNN {}", if Cuda::cudnn_is_available() { "there" } else { "missing" }))
}

fn group(backend: Backend) -> Result<ProcessGroup, Error> {
    let options = GroupOptions {
        timeout: Duration::from_secs(60),
        interface: Interface::Loopback,
        backend,
        ..GroupOptions::default()
    };
    ProcessGroup::with_options(&HashStore::open()?, 0, 1, options)
}

/// Every collective over NCCL, and the same over Gloo.
fn collectives() -> Check {
    let (gloo, nccl) = (group(Backend::Gloo)?, group(Backend::Nccl { device: 0 })?);
    let kinds = [
        Kind::Float,
        Kind::Double,
        Kind::Half,
        Kind::BFloat16,
        Kind::Int64,
        Kind::Int,
        Kind::Int8,
        Kind::Uint8,
        Kind::ComplexFloat,
    ];
    let mut compared = 0;
    for kind in kinds {
        let input = (Tensor::randn([4, 3], (Kind::Float, Device::Cpu)) * 10.0).abs().to_kind(kind);
        let (expected, found) = (run(&gloo, &input)?, run(&nccl, &input.to_device(GPU))?);
        for ((name, cpu), (_, gpu)) in expected.iter().zip(&found) {
            if gpu.device() != GPU || *cpu != gpu.to_device(Device::Cpu) {
                return Err(format!("{name} of {kind:?}: {gpu} is not {cpu}").into());
            }
            compared += 1;
        }
    }
    // The other half of the group.
    let mut cpu = Tensor::from_slice(&[1.0, 2.0]);
    nccl.all_reduce(&mut cpu, ReduceOp::Sum)?;
    nccl.barrier()?;
    nccl.monitored_barrier(Duration::from_secs(10))?;
    let half = nccl.subgroup(&[0])?.ok_or("rank 0 is in no sub-group")?;
    let mut gpu = Tensor::ones([3], (Kind::Float, GPU));
    half.all_reduce(&mut gpu, ReduceOp::Sum)?;
    drop(half);
    nccl.abort()?;
    Ok(format!("{compared} results equal; sub-group, barriers, abort"))
}

fn run(group: &ProcessGroup, input: &Tensor) -> Result<Vec<(String, Tensor)>, Error> {
    let mut results = Vec::new();
    let mut keep = |name: &str, tensor: Tensor| results.push((name.to_owned(), tensor));
    if !matches!(input.kind(), Kind::ComplexFloat) {
        for op in [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Product, ReduceOp::Min, ReduceOp::Max] {
            if op == ReduceOp::Mean && !input.is_floating_point() {
                continue;
            }
            let mut tensor = input.copy();
            group.all_reduce(&mut tensor, op)?;
            keep(&format!("all_reduce {op:?}"), tensor);
        }
        keep("all_reduce_async", group.all_reduce_async(input.copy(), ReduceOp::Sum)?.wait()?);
        if let Waited::Finished(tensor) =
            group.all_reduce_async(input.copy(), ReduceOp::Max)?.wait_timeout(Duration::from_secs(30))?
        {
            keep("wait_timeout", tensor);
        }
        keep("reduce", group.reduce(input, 0, ReduceOp::Sum)?.unwrap_or_default());
        keep("reduce_scatter", group.reduce_scatter(&[input.copy()], ReduceOp::Sum)?);
        keep("reduce_scatter_tensor", group.reduce_scatter_tensor(input, ReduceOp::Sum)?);
    }
    let mut tensor = input.copy();
    group.broadcast(&mut tensor, 0)?;
    keep("broadcast", tensor);
    keep("all_gather", group.all_gather(input)?.remove(0));
    keep("all_gather_into_tensor", group.all_gather_into_tensor(input)?);
    keep("all_gather_uneven", group.all_gather_uneven(input)?.remove(0));
    keep("gather", group.gather(input, 0)?.unwrap_or_default().remove(0));
    let mut output = input.zeros_like();
    group.scatter(&mut output, Some(&[input.copy()]), 0)?;
    keep("scatter", output);
    keep("all_to_all", group.all_to_all(input)?);
    keep("all_to_all_uneven", group.all_to_all_uneven(input, &[4], &[4])?);
    Ok(results)
}

fn refusals() -> Check {
    let nccl = group(Backend::Nccl { device: 0 })?;
    let mut bits = Tensor::ones([3], (Kind::Int64, GPU));
    let mut said = String::new();
    for (what, result) in [
        ("bits", nccl.all_reduce(&mut bits, ReduceOp::BitAnd).map(drop)),
        ("device", group(Backend::Nccl { device: 99 }).map(drop)),
    ] {
        match result {
            Err(Error::Argument { message, .. }) => write!(said, "{what}: {message}; ")?,
            other => return Err(format!("{what}: {other:?}").into()),
        }
    }
    Ok(said.trim_end_matches("; ").to_owned())
}

fn perceptron(vars: &nn::VarStore) -> nn::Sequential {
    let root = vars.root();
    nn::seq().add(nn::linear(&root / "0", 20, 32, nn::LinearConfig::default())).add_fn(Tensor::tanh).add(nn::linear(
        &root / "2",
        32,
        4,
        nn::LinearConfig::default(),
    ))
}

/// Five steps of SGD from the same weights, on both devices.
fn ddp() -> Check {
    seed_everything(3);
    let first = nn::VarStore::new(Device::Cpu);
    let _ = perceptron(&first);
    let inputs = Tensor::randn([16, 20], (Kind::Float, Device::Cpu));
    let labels = Tensor::randint(4, [16], (Kind::Int64, Device::Cpu));
    let weights = |device: Device, backend: Backend| -> Result<Vec<(String, Tensor)>, Box<dyn std::error::Error>> {
        let mut vars = nn::VarStore::new(device);
        let net = perceptron(&vars);
        vars.copy(&first)?;
        let mut parameters: Vec<(String, Tensor)> = vars.variables().into_iter().collect();
        parameters.sort_by(|left, right| left.0.cmp(&right.0));
        let shared = Rc::new(group(backend)?);
        let ddp = DistributedDataParallel::new(shared, &parameters, Vec::new(), DdpOptions::default())?;
        let mut optimizer = Sgd::builder(0.5).momentum(0.9).build(&vars)?;
        let (inputs, labels) = (inputs.to_device(device), labels.to_device(device));
        for _ in 0..5 {
            ddp.before_forward()?;
            let logits = net.forward(&inputs);
            ddp.after_forward([&logits])?;
            optimizer.backward_step(&logits.cross_entropy_for_logits(&labels))?;
        }
        Ok(parameters.iter().map(|(name, tensor)| (name.clone(), tensor.detach().to_device(Device::Cpu))).collect())
    };
    let (cpu, gpu) = (weights(Device::Cpu, Backend::Gloo)?, weights(GPU, Backend::Nccl { device: 0 })?);
    let mut farthest = 0.0_f64;
    for ((name, cpu), (_, gpu)) in cpu.iter().zip(&gpu) {
        let distance = (cpu - gpu).abs().max().double_value(&[]);
        if distance.is_nan() || distance > 1e-4 {
            return Err(format!("`{name}` is {distance:e} from the CPU's").into());
        }
        farthest = farthest.max(distance);
    }
    Ok(format!("at most {farthest:.1e} apart (limit 1e-4)"))
}

fn mixed_precision() -> Check {
    seed_everything(5);
    let vars = nn::VarStore::new(GPU);
    let net = perceptron(&vars);
    let mut optimizer = Sgd::builder(0.1).build(&vars)?;
    let mut scaler = GradScaler::builder().init_scale(1024.0).build()?;
    let inputs = Tensor::randn([64, 20], (Kind::Float, GPU));
    let labels = Tensor::randint(4, [64], (Kind::Int64, GPU));
    let mut losses = Vec::new();
    for _ in 0..50 {
        let (logits, loss) = aten::autocast(GPU, Kind::BFloat16, || {
            let logits = net.forward(&inputs);
            let loss = logits.cross_entropy_for_logits(&labels);
            (logits, loss)
        })?;
        if (logits.kind(), loss.kind()) != (Kind::BFloat16, Kind::Float) {
            return Err(format!("logits are {:?} and the loss {:?}", logits.kind(), loss.kind()).into());
        }
        scaler.backward_step(&mut optimizer, &loss)?;
        losses.push(loss.double_value(&[]));
    }
    let (begun, ended) = (losses[0], losses[49]);
    let falls = ended < 0.9 * begun;
    // A step with infinite gradients is left out, and the scale halved.
    let before = net.forward(&inputs);
    let taken = scaler.backward_step(&mut optimizer, &(net.forward(&inputs).sum(Kind::Float) * f64::INFINITY))?;
    let same = before == net.forward(&inputs);
    if !falls || taken || !same || scaler.scale_factor()? != 512.0 {
        return Err(format!(
            "loss {begun} to {ended}; step with infinite gradients taken: {taken}, weights the same: {same}, scale {}",
            scaler.scale_factor()?
        )
        .into());
    }
    Ok(format!("loss {begun:.3} to {ended:.3}; an infinite step left out"))
}

fn generator() -> Check {
    seed_everything(7);
    let draw = || Tensor::rand([1000], (Kind::Float, GPU)).to_device(Device::Cpu);
    let (raw, all) = (aten::cuda_generator_state(0)?, Generators::of(GPU).state()?);
    let first = draw();
    let second = draw();
    aten::set_cuda_generator_state(0, &raw)?;
    let again = draw();
    Generators::of(GPU).load_state(&all)?;
    let once_more = draw();
    if first != again || first != once_more || first == second {
        return Err("other numbers follow than before".into());
    }
    Ok(format!("1000 numbers equal, {} bytes of state", raw.numel()))
}

fn pinned() -> Check {
    let rows = Tensor::arange(1000, (Kind::Float, Device::Cpu));
    let loader = DataLoader::builder(TensorDataset::new([rows])?).batch_size(64).workers(2).pin_memory(true).build()?;
    let mut sum = 0.0;
    for batch in loader.epoch(0)? {
        let batch = batch?;
        if !aten::is_pinned(&batch[0])? {
            return Err("a batch does not lie in pinned memory".into());
        }
        let batch = batch.on_device(GPU)?;
        if batch[0].device() != GPU {
            return Err(format!("a batch was copied to {:?}", batch[0].device()).into());
        }
        sum += batch[0].sum(Kind::Double).double_value(&[]);
    }
    if (sum - 499_500.0).abs() > 0.5 {
        return Err(format!("the numbers below 1000 add up to {sum}").into());
    }
    Ok(format!("{} batches", loader.batches()))
}

fn train_digits(program: &str, data: &str) -> Check {
    let storage: PathBuf = std::env::temp_dir().join(format!("trainloop-gpu-{}", std::process::id()));
    let mut command = Command::new(program);
    command.args(["--gpu", "--workers", "1", "--epochs", "3", "--json", "--data", data]).arg("--storage").arg(&storage);
    let output = command.output()?;
    // What is left of it is of no use to anybody.
    drop(std::fs::remove_dir_all(&storage));
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let accuracy = outcome["metrics"]["val_accuracy"].as_f64().unwrap_or_default();
    if accuracy < 0.8 {
        return Err(format!("val_accuracy {accuracy}").into());
    }
    Ok(format!("val_accuracy {accuracy:.3} after 3 epochs"))
}
