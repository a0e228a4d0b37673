//! `DistributedDataParallel::join`: ranks with different numbers of inputs, against PyTorch's own.

mod common;

use std::rc::Rc;
use std::time::Duration;

use common::{ranks, ranks_with_timeout};
use serde_json::{Value, json};
use tch::{Kind, Tensor};
use trainloop_c10d::{DdpOptions, DistributedDataParallel, Error, JoinOptions, ProcessGroup, aten};

/// Two parameters of ones, and a buffer that counts the inputs; see runtime/tests/expected/join.py.
struct Net {
    parameters: Vec<(String, Tensor)>,
    seen: Tensor,
    ddp: DistributedDataParallel,
}

impl Net {
    fn new(group: ProcessGroup, options: DdpOptions) -> Self {
        let ones = |length: i64| Tensor::ones([length], tch::kind::DOUBLE_CPU).set_requires_grad(true);
        let parameters = vec![("weight".to_owned(), ones(2)), ("spare".to_owned(), ones(3))];
        let seen = Tensor::zeros([1], tch::kind::DOUBLE_CPU);
        let ddp =
            DistributedDataParallel::new(Rc::new(group), &parameters, vec![seen.shallow_clone()], options).unwrap();
        Self { parameters, seen, ddp }
    }

    /// A forward and a backward pass; gives the first element of each gradient.
    fn pass(&self, input: f64, with_spare: bool) -> Result<Vec<Option<f64>>, Error> {
        self.ddp.before_forward()?;
        let _ = self.seen.shallow_clone().g_add_scalar_(input);
        let used = if with_spare { 2 } else { 1 };
        let sums: Vec<Tensor> =
            self.parameters[..used].iter().map(|(_, tensor)| (tensor * input).sum(Kind::Double)).collect();
        let loss = Tensor::stack(&sums, 0).sum(Kind::Double);
        self.ddp.after_forward([&loss])?;
        loss.f_backward().unwrap();
        Ok(self.parameters.iter().map(|(_, tensor)| first(&tensor.grad())).collect())
    }

    fn descend(&self, lr: f64) {
        for (_, parameter) in &self.parameters {
            let gradient = parameter.grad();
            if gradient.defined() {
                let _ = parameter.detach().g_sub_(&(gradient * lr));
            }
            aten::clear_grad(parameter).unwrap();
        }
    }

    fn end(&self) -> Value {
        let [(_, weight), (_, spare)] = &self.parameters[..] else { unreachable!() };
        json!({ "weight": values(weight), "spare": values(spare), "seen": values(&self.seen) })
    }
}

fn first(gradient: &Tensor) -> Option<f64> {
    gradient.defined().then(|| gradient.double_value(&[0]))
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach()).unwrap()
}

#[test]
fn uneven_inputs_give_pytorchs_gradients_and_weights() {
    let expected: Value = serde_json::from_str(include_str!("../../runtime/tests/expected/join.json")).unwrap();
    let inputs: Vec<Vec<f64>> = serde_json::from_value(expected["inputs"].clone()).unwrap();
    let lr = expected["lr"].as_f64().unwrap();
    let cases = expected["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let switch = |name: &str| case[name].as_bool().unwrap();
        let find_unused_parameters = switch("find_unused_parameters");
        let options = JoinOptions {
            divide_by_initial_world_size: switch("divide_by_initial_world_size"),
            ..JoinOptions::default()
        };
        let results = ranks(inputs.len(), |group| {
            let own = &inputs[group.rank()];
            let net = Net::new(group, DdpOptions { find_unused_parameters, ..DdpOptions::default() });
            let mut gradients = Vec::new();
            net.ddp
                .join(options, || {
                    for (step, &input) in own.iter().enumerate() {
                        gradients.push(net.pass(input, !find_unused_parameters || step % 2 == 0)?);
                        net.descend(lr);
                    }
                    Ok::<_, Error>(())
                })
                .unwrap();
            json!({ "gradients": gradients, "end": net.end() })
        });
        assert_eq!(Value::from(results), case["ranks"], "{options:?}, find_unused_parameters {find_unused_parameters}");
    }
}

/// After a `join` passes are divided by the number of ranks again, and need no stand-in.
#[test]
fn even_passes_follow_a_join() {
    ranks(2, |group| {
        let rank = group.rank();
        let net = Net::new(group, DdpOptions::default());
        let options = JoinOptions { divide_by_initial_world_size: false, ..JoinOptions::default() };
        for _ in 0..2 {
            let passes = 1 + 2 * rank;
            let joined: Result<usize, Error> = net.ddp.join(options, || {
                (0..passes).try_for_each(|_| net.pass(8.0, true).map(|_| net.descend(0.5)))?;
                Ok(passes)
            });
            assert_eq!(joined.unwrap(), passes);
            assert_eq!(net.pass(2.0 + 4.0 * rank as f64, true).unwrap(), [Some(4.0); 2]);
            net.descend(0.0);
        }
    });
}

/// Passes whose gradients stay on their rank are nobody else's affair.
#[test]
fn passes_without_a_mean_are_not_counted() {
    let ends = ranks(2, |group| {
        let rank = group.rank();
        let net = Net::new(group, DdpOptions::default());
        net.ddp
            .join(JoinOptions::default(), || {
                for _ in 0..=rank {
                    net.ddp.no_sync(|| net.pass(1.0, true))?;
                    net.pass(1.0, true)?;
                    net.descend(0.25);
                }
                Ok::<_, Error>(())
            })
            .unwrap();
        net.end()["weight"].clone()
    });
    // 1 − (2 + 2) / 2 / 4, and then − (0 + 2) / 2 / 4.
    assert_eq!(ends, [json!([0.25, 0.25]), json!([0.25, 0.25])]);
}

/// An early end is an error on every rank, in the same step, where the options say so.
#[test]
fn an_early_end_can_be_an_error() {
    let options = JoinOptions { throw_on_early_termination: true, divide_by_initial_world_size: false };
    let results = ranks(3, |group| {
        let rank = group.rank();
        let net = Net::new(group, DdpOptions::default());
        let mut passes = 0;
        let joined = net.ddp.join(options, || {
            for _ in 0..2 + rank.min(1) {
                net.pass(1.0, true)?;
                passes += 1;
            }
            Ok::<_, Error>(())
        });
        // The group is as it was: whoever has inputs left may go on without `join`.
        net.descend(0.0);
        assert_eq!(net.pass(3.0 * rank as f64, true).unwrap(), [Some(3.0); 2]);
        (passes, joined.unwrap_err())
    });
    for (rank, (passes, error)) in results.into_iter().enumerate() {
        assert_eq!(passes, 2, "rank {rank}");
        assert!(matches!(error, Error::Desynchronised { .. }), "{error:?}");
        let own = if rank == 0 { "it has none left" } else { "it has inputs left" };
        assert!(
            error.to_string().contains(&format!("only 2 of 3 ranks have inputs left, says rank {rank}: {own}")),
            "{error}"
        );
    }
}

/// As many inputs on every rank are no early end.
#[test]
fn even_inputs_end_together() {
    let options = JoinOptions { throw_on_early_termination: true, ..JoinOptions::default() };
    ranks(2, |group| {
        let net = Net::new(group, DdpOptions::default());
        net.ddp.join(options, || (0..3).try_for_each(|_| net.pass(1.0, true).map(drop))).unwrap();
    });
}

/// The loop's own error comes back at once, and the other rank does not wait for ever.
#[test]
fn the_loops_error_is_joins() {
    ranks_with_timeout(2, Duration::from_secs(2), |group| {
        let rank = group.rank();
        let net = Net::new(group, DdpOptions::default());
        let joined: Result<(), Box<dyn std::error::Error>> = net.ddp.join(JoinOptions::default(), || {
            net.pass(1.0, true)?;
            if rank == 0 { Err("out of luck".into()) } else { Ok(()) }
        });
        let error = joined.unwrap_err();
        if rank == 0 {
            assert_eq!(error.to_string(), "out of luck");
        } else {
            assert!(error.downcast_ref::<Error>().unwrap().is_peer_failure(), "{error}");
        }
    });
}

#[test]
fn what_cannot_be_joined_is_refused() {
    ranks(1, |group| {
        let net = Net::new(group, DdpOptions { static_graph: true, ..DdpOptions::default() });
        let error = net.ddp.join(JoinOptions::default(), || Ok::<_, Error>(())).unwrap_err();
        assert!(error.to_string().contains("leave out `DdpOptions::static_graph`"), "{error}");
    });
    ranks(1, |group| {
        let net = Net::new(group, DdpOptions::default());
        let inner = || net.ddp.join(JoinOptions::default(), || Ok::<_, Error>(()));
        let error = net.ddp.join(JoinOptions::default(), inner).unwrap_err();
        assert!(error.to_string().contains("this is inside another `join`"), "{error}");
    });
}
