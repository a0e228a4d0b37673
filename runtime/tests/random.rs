//! Seeds, generators that are put back, and algorithms without chance. Each test holds the process's one CPU generator.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Device, Kind, Tensor};
use trainloop::random::{Determinism, Generators, GeneratorsState, determinism, seed_everything, set_determinism};

/// The generator and the mode are the process's.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of each kind of draw that libtorch keeps something of: a normal number is drawn in pairs, and the second is kept.
fn draw() -> Vec<u64> {
    let options = (Kind::Double, Device::Cpu);
    let tensors = [
        Tensor::rand([5], options),
        Tensor::randn([3], options),
        Tensor::randperm(9, (Kind::Int64, Device::Cpu)),
        Tensor::ones([20], options).dropout(0.5, true),
    ];
    let values = tensors.iter().flat_map(|tensor| Vec::<f64>::try_from(tensor.to_kind(Kind::Double)).unwrap());
    values.map(f64::to_bits).collect()
}

#[test]
fn one_seed_gives_one_sequence() {
    let _alone = alone();
    let sequence = |seed| {
        seed_everything(seed);
        [draw(), draw()]
    };
    let first = sequence(7);
    assert_ne!(first[0], first[1]);
    assert_eq!(sequence(7), first);
    for seed in [8, 0, u64::MAX] {
        assert_ne!(sequence(seed), first);
    }
    assert_eq!(sequence(u64::MAX), sequence(u64::MAX));
}

/// PyTorch's `torch.manual_seed(20); torch.rand(3, dtype=torch.float64)`.
#[test]
fn a_seed_is_pytorchs() {
    let _alone = alone();
    seed_everything(20);
    let found = Vec::<f64>::try_from(Tensor::rand([3], (Kind::Double, Device::Cpu))).unwrap();
    assert_eq!(found, [0.491_868_919_092_037_56, 0.517_707_802_969_109_5, 0.854_933_239_115_691]);
}

#[test]
fn a_restored_generator_goes_on_where_it_was() {
    let _alone = alone();
    let generators = Generators::of(Device::Cpu);
    seed_everything(3);
    draw();
    let state = generators.state().unwrap();
    assert_eq!(state.cuda, None);
    let text = serde_json::to_string(&state).unwrap();
    let expected = [draw(), draw()];
    seed_everything(4);
    generators.load_state(&serde_json::from_str::<GeneratorsState>(&text).unwrap()).unwrap();
    assert_eq!([draw(), draw()], expected);
}

#[test]
fn a_state_that_is_none_is_refused_and_the_generator_goes_on() {
    let _alone = alone();
    let generators = Generators::of(Device::Cpu);
    seed_everything(3);
    let expected = draw();
    seed_everything(3);
    let error = generators.load_state(&GeneratorsState { cpu: vec![1, 2, 3], cuda: None }).unwrap_err().to_string();
    assert!(error.starts_with("set_cpu_generator_state: "), "{error}");
    assert_eq!(draw(), expected);
    let missing = Generators::of(Device::Cuda(99)).state().unwrap_err().to_string();
    assert!(missing.contains("there is no CUDA device 99; libtorch sees"), "{missing}");
}

/// An operation without a deterministic algorithm: writing at indices of which two are the same.
fn by_chance() -> Result<Tensor, tch::TchError> {
    let index = Tensor::from_slice(&[0_i64, 0]);
    Tensor::zeros([2], (Kind::Float, Device::Cpu)).f_put_(&index, &Tensor::from_slice(&[1.0_f32, 2.0]), false)
}

#[test]
fn an_operation_of_chance_is_an_error_where_determinism_is_required() {
    let _alone = alone();
    assert_eq!(determinism(), Determinism::Off);
    assert!(by_chance().is_ok());
    set_determinism(Determinism::Require).unwrap();
    assert_eq!(determinism(), Determinism::Require);
    let error = by_chance().unwrap_err().to_string();
    assert!(error.contains("does not have a deterministic implementation"), "{error}");
    // New memory is NaN until it is written.
    let fresh = Tensor::empty([64], (Kind::Float, Device::Cpu));
    assert!(bool::try_from(fresh.isnan().all()).unwrap());
    set_determinism(Determinism::Warn).unwrap();
    assert_eq!(determinism(), Determinism::Warn);
    assert!(by_chance().is_ok());
    set_determinism(Determinism::Off).unwrap();
    assert_eq!(determinism(), Determinism::Off);
}
