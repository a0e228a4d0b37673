//! Whether all ranks have built one model.

use tch::Tensor;

use crate::error::{During, Error, Result};
use crate::process_group::{ProcessGroup, ReduceOp};

/// Makes sure that all ranks have the model of rank 0 before anything is broadcast: Gloo ends the process of a rank that is
/// sent more than it expects. Every rank gets an error, and the one that differs says in what.
pub(super) fn same_model(
    group: &ProcessGroup,
    parameters: &[(String, Tensor)],
    buffers: &[Tensor],
    operation: &'static str,
) -> Result<()> {
    if group.world_size() == 1 {
        return Ok(());
    }
    let mut lines: Vec<String> =
        parameters.iter().map(|(name, tensor)| format!("parameter `{name}` of {}", layout(tensor))).collect();
    lines.extend(buffers.iter().enumerate().map(|(index, tensor)| format!("buffer {index} of {}", layout(tensor))));
    let own = lines.join("\n");

    // Where the backend expects tensors.
    let device = parameters.first().map_or(tch::Device::Cpu, |(_, tensor)| tensor.device());
    let mut length = Tensor::from_slice(&[own.len() as i64]).f_to_device(device).during(operation)?;
    group.broadcast(&mut length, 0)?;
    let mut text = if group.rank() == 0 {
        Tensor::from_slice(own.as_bytes()).f_to_device(device).during(operation)?
    } else {
        let length = i64::try_from(&length).during(operation)?;
        Tensor::f_zeros([length], (tch::Kind::Uint8, device)).during(operation)?
    };
    group.broadcast(&mut text, 0)?;
    let theirs = Vec::<u8>::try_from(&text).during(operation)?;
    let theirs = String::from_utf8_lossy(&theirs);

    let differs = theirs != own;
    let rank = if differs { group.rank() } else { group.world_size() };
    let mut first = Tensor::from_slice(&[rank as i64]).f_to_device(device).during(operation)?;
    group.all_reduce(&mut first, ReduceOp::Min)?;
    let first = i64::try_from(&first).during(operation)?;
    if first == group.world_size() as i64 {
        return Ok(());
    }
    if !differs {
        let message = format!("the model of rank {first} differs from rank 0's; its own error says in what");
        return Err(Error::argument(operation, message));
    }
    let mut theirs = theirs.lines();
    let mut own = own.lines();
    let (own, theirs) = std::iter::from_fn(|| match (own.next(), theirs.next()) {
        (None, None) => None,
        pair => Some(pair),
    })
    .find(|(own, theirs)| own != theirs)
    .map_or(("other things", "these"), |(own, theirs)| (own.unwrap_or("nothing"), theirs.unwrap_or("nothing")));
    let message = format!(
        "the model of rank {} differs from rank 0's: it has {own} where rank 0 has {theirs}; build the same model on \
         every rank",
        group.rank()
    );
    Err(Error::argument(operation, message))
}

fn layout(tensor: &Tensor) -> String {
    format!("{:?} {:?} with strides {:?}", tensor.kind(), tensor.size(), tensor.stride())
}
