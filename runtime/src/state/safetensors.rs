//! Tensors in safetensors files, which Python's `safetensors` opens.
//!
//! The header is written here, because the crate's writer wants every tensor's bytes in memory at once.

use std::collections::BTreeMap;
use std::path::Path;

use ::safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};
use tch::{Kind, Tensor};

use crate::c10d::aten::{byte_len, for_each_chunk};
use crate::error::{Error, Result};

const KINDS: [(Kind, Dtype, &str); 10] = [
    (Kind::Bool, Dtype::BOOL, "BOOL"),
    (Kind::Uint8, Dtype::U8, "U8"),
    (Kind::Int8, Dtype::I8, "I8"),
    (Kind::Int16, Dtype::I16, "I16"),
    (Kind::Int, Dtype::I32, "I32"),
    (Kind::Int64, Dtype::I64, "I64"),
    (Kind::Half, Dtype::F16, "F16"),
    (Kind::BFloat16, Dtype::BF16, "BF16"),
    (Kind::Float, Dtype::F32, "F32"),
    (Kind::Double, Dtype::F64, "F64"),
];

/// Hands over the bytes of a file of named tensors, one after the other; none is copied whole.
pub(super) fn write(tensors: &[(String, Tensor)], take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut header = Map::new();
    let mut offset = 0;
    for (name, tensor) in tensors {
        let dtype =
            KINDS.iter().find(|(kind, ..)| *kind == tensor.kind()).map(|(_, _, name)| *name).ok_or_else(|| {
                Error::checkpoint(format!(
                    "the tensor `{name}` has dtype {:?}, which safetensors cannot hold",
                    tensor.kind()
                ))
            })?;
        let end = offset + byte_len(tensor);
        let entry = json!({ "dtype": dtype, "shape": tensor.size(), "data_offsets": [offset, end] });
        if header.insert(name.clone(), entry).is_some() {
            return Err(Error::checkpoint(format!("two tensors of one part are named `{name}`; rename one")));
        }
        offset = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // The data begins at a multiple of 8 bytes; the format pads with spaces.
    header.resize(header.len().next_multiple_of(8), b' ');
    take(&(header.len() as u64).to_le_bytes())?;
    take(&header)?;
    tensors.iter().try_for_each(|(_, tensor)| for_each_chunk(tensor, &mut *take))
}

/// All tensors of a file, on the CPU.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let refuse = |error: &dyn std::fmt::Display| {
        Error::checkpoint(format!("{} is no safetensors file: {error}", path.display()))
    };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| refuse(&error))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let (kind, ..) = KINDS.iter().find(|(_, dtype, _)| *dtype == view.dtype()).ok_or_else(|| {
            refuse(&format!("`{name}` has dtype {:?}, which libtorch does not read here", view.dtype()))
        })?;
        let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
        tensors.insert(name, Tensor::f_from_data_size(view.data(), &shape, *kind)?);
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn every_kind_and_shape_comes_back_bit_for_bit() {
        let mut tensors: Vec<(String, Tensor)> = KINDS
            .iter()
            .map(|(kind, _, name)| {
                ((*name).to_owned(), Tensor::arange(6, (Kind::Int64, tch::Device::Cpu)).view([2, 3]).to_kind(*kind))
            })
            .collect();
        tensors.push(("scalar".into(), Tensor::from(f64::NAN)));
        tensors.push(("empty".into(), Tensor::zeros([0, 4], (Kind::Float, tch::Device::Cpu))));
        tensors.push(("transposed".into(), Tensor::arange(6, (Kind::Float, tch::Device::Cpu)).view([2, 3]).tr()));
        let file = tempfile::NamedTempFile::new().unwrap();
        write(&tensors, &mut |bytes| Ok(file.as_file().write_all(bytes)?)).unwrap();
        let back = read(file.path()).unwrap();
        assert_eq!(back.len(), tensors.len());
        for (name, tensor) in &tensors {
            let found = &back[name];
            assert_eq!((found.size(), found.kind()), (tensor.size(), tensor.kind()), "{name}");
            let mut bytes = [Vec::new(), Vec::new()];
            for (bytes, tensor) in bytes.iter_mut().zip([found, tensor]) {
                for_each_chunk::<Error>(tensor, |chunk| {
                    bytes.extend_from_slice(chunk);
                    Ok(())
                })
                .unwrap();
            }
            assert_eq!(bytes[0], bytes[1], "{name}");
        }
    }
}
