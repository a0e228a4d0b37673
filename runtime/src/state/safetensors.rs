//! Tensors in safetensors files, which Python's `safetensors` opens.
//!
//! The header is `trainloop_checkpoint`'s; here are the tensors, whose bytes pass by one tensor at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use tch::{Kind, Tensor};
use trainloop_checkpoint::safetensors::{Dtype, Entry, header, read_header};

use crate::c10d::aten::{byte_len, for_each_chunk};
use crate::error::{Error, Result};

const DTYPES: [Dtype; 10] = [
    Dtype::Bool,
    Dtype::U8,
    Dtype::I8,
    Dtype::I16,
    Dtype::I32,
    Dtype::I64,
    Dtype::F16,
    Dtype::BF16,
    Dtype::F32,
    Dtype::F64,
];

/// Hands over the bytes of a file of named tensors, one after the other; none is copied whole.
pub(super) fn write(tensors: &[(String, Tensor)], take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let entry = |(name, tensor): &(String, Tensor)| {
        let kind = tensor.kind();
        let dtype = DTYPES.into_iter().find(|dtype| kind_of(*dtype) == kind).ok_or_else(|| {
            Error::checkpoint(format!("the tensor `{name}` has dtype {kind:?}, which safetensors cannot hold"))
        })?;
        Ok(Entry { name: name.clone(), dtype, shape: tensor.size(), bytes: byte_len(tensor) as u64 })
    };
    let entries = tensors.iter().map(entry).collect::<Result<Vec<_>>>()?;
    take(&header(&entries).map_err(Error::checkpoint)?)?;
    tensors.iter().try_for_each(|(_, tensor)| for_each_chunk(tensor, &mut *take))
}

/// All tensors of a file, on the CPU. Beside them, the bytes of the largest are in memory, not of all.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let open = || File::open(path).and_then(|file| Ok((file.metadata()?.len(), BufReader::new(file))));
    let (length, mut file) = open().map_err(Error::io("read", path))?;
    let entries = read_header(&mut file, length).map_err(|reason| {
        Error::checkpoint(format!("{} is no safetensors file that libtorch reads here: {reason}", path.display()))
    })?;
    let mut bytes = Vec::new();
    let mut tensors = BTreeMap::new();
    for Entry { name, dtype, shape, bytes: length } in entries {
        // The header was held against the file's length, so that nothing absurd is asked for.
        bytes.resize(length as usize, 0);
        file.read_exact(&mut bytes).map_err(Error::io("read", path))?;
        let kind = kind_of(dtype);
        tensors.insert(name, Tensor::f_from_data_size(&bytes, &shape, kind)?);
    }
    Ok(tensors)
}

fn kind_of(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::Bool => Kind::Bool,
        Dtype::U8 => Kind::Uint8,
        Dtype::I8 => Kind::Int8,
        Dtype::I16 => Kind::Int16,
        Dtype::I32 => Kind::Int,
        Dtype::I64 => Kind::Int64,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn every_kind_and_shape_comes_back_bit_for_bit() {
        let numbers = |dtype: &Dtype| {
            let tensor = Tensor::arange(6, (Kind::Int64, tch::Device::Cpu)).view([2, 3]).to_kind(kind_of(*dtype));
            (dtype.name().to_owned(), tensor)
        };
        let mut tensors: Vec<(String, Tensor)> = DTYPES.iter().map(numbers).collect();
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
