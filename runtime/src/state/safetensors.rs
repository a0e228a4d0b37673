//! Tensors in safetensors files, which Python's `safetensors` opens.
//!
//! The header is `trainloop_checkpoint`'s; here are the tensors, whose bytes pass by one tensor at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};
use tch::{Device, Kind, Tensor};
use trainloop_checkpoint::safetensors::{Dtype, Entry, header, read_header};

use crate::c10d::aten::{byte_len, fill_from, for_each_chunk};
use crate::error::{Error, Result};

/// Hands over the bytes of a file of named tensors, one after the other; none is copied whole.
pub(super) fn write(tensors: &[(String, Tensor)], take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let entry = |(name, tensor): &(String, Tensor)| {
        let kind = tensor.kind();
        let dtype = Dtype::ALL.into_iter().find(|dtype| kind_of(*dtype) == kind).ok_or_else(|| {
            Error::checkpoint(format!("the tensor `{name}` has dtype {kind:?}, which safetensors cannot hold"))
        })?;
        Ok(Entry { name: name.clone(), dtype, shape: tensor.size(), bytes: byte_len(tensor) as u64 })
    };
    let entries = tensors.iter().map(entry).collect::<Result<Vec<_>>>()?;
    take(&header(&entries).map_err(Error::checkpoint)?)?;
    tensors.iter().try_for_each(|(_, tensor)| for_each_chunk(tensor, &mut *take))
}

/// All tensors of a file, on the CPU.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    TensorFile::open(path)?.read()
}

/// A file whose header has been read.
#[derive(Debug)]
pub(crate) struct TensorFile {
    path: PathBuf,
    /// At the first tensor's values.
    file: File,
    entries: Vec<Entry>,
}

impl TensorFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let failed = || Error::io("read", path);
        let file = File::open(path).map_err(failed())?;
        let length = file.metadata().map_err(failed())?.len();
        let mut reader = BufReader::new(&file);
        let entries = read_header(&mut reader, length).map_err(|reason| {
            Error::checkpoint(format!("{} is no safetensors file that libtorch reads here: {reason}", path.display()))
        })?;
        let values = reader.stream_position().map_err(failed())?;
        (&file).seek(SeekFrom::Start(values)).map_err(failed())?;
        // More of it at once; a file system that cannot is only slower.
        let _ = fadvise(&file, 0, None, Advice::Sequential);
        Ok(Self { path: path.to_owned(), file, entries })
    }

    /// Name, shape and dtype of each tensor.
    pub(crate) fn layouts(&self) -> BTreeMap<&str, (Vec<i64>, Kind)> {
        self.entries.iter().map(|entry| (entry.name.as_str(), (entry.shape.clone(), kind_of(entry.dtype)))).collect()
    }

    /// All tensors.
    fn read(self) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = BTreeMap::new();
        self.read_some(|_| true, &mut |name, tensor| {
            tensors.insert(name.to_owned(), tensor.shallow_clone());
            Ok(())
        })?;
        Ok(tensors)
    }

    /// Reads the tensors whose names are `wanted`, one after the other, on the CPU.
    pub(crate) fn read_some(
        mut self,
        wanted: impl Fn(&str) -> bool,
        take: &mut dyn FnMut(&str, &Tensor) -> Result<()>,
    ) -> Result<()> {
        for Entry { name, dtype, shape, bytes } in self.entries {
            if !wanted(&name) {
                let behind = SeekFrom::Current(bytes as i64);
                self.file.seek(behind).map_err(Error::io("read", &self.path))?;
                continue;
            }
            // The header was held against the file's length, so that nothing absurd is asked for.
            let tensor = Tensor::f_empty(&shape, (kind_of(dtype), Device::Cpu))?;
            fill_from(&tensor, &self.file).map_err(Error::io("read", &self.path))?;
            take(&name, &tensor)?;
        }
        Ok(())
    }

    /// Reads every tensor into that of its name, which has its layout: no second copy is in memory.
    pub(super) fn read_into(self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        for Entry { name, dtype, shape, .. } in self.entries {
            let kind = kind_of(dtype);
            let Some(tensor) = tensors.get(&name).filter(|own| (own.size(), own.kind()) == (shape, kind)) else {
                return Err(Error::checkpoint(format!("{}: nothing takes its `{name}`", self.path.display())));
            };
            fill_from(tensor, &self.file).map_err(Error::io("read", &self.path))?;
        }
        Ok(())
    }
}

/// What libtorch calls it.
pub(crate) fn kind_of(dtype: Dtype) -> Kind {
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
        let mut tensors: Vec<(String, Tensor)> = Dtype::ALL.iter().map(numbers).collect();
        tensors.push(("scalar".into(), Tensor::from(f64::NAN)));
        tensors.push(("empty".into(), Tensor::zeros([0, 4], (Kind::Float, tch::Device::Cpu))));
        tensors.push(("transposed".into(), Tensor::arange(6, (Kind::Float, tch::Device::Cpu)).view([2, 3]).tr()));
        let file = tempfile::NamedTempFile::new().unwrap();
        write(&tensors, &mut |bytes| Ok(file.as_file().write_all(bytes)?)).unwrap();
        let back = read(file.path()).unwrap();
        let into: BTreeMap<_, _> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.zeros_like())).collect();
        TensorFile::open(file.path()).unwrap().read_into(&into).unwrap();
        for (name, tensor) in &into {
            // NaN is equal to nothing.
            assert!(name == "scalar" || *tensor == back[name], "{name}");
        }
        assert!(into["scalar"].double_value(&[]).is_nan());
        assert!(!into["transposed"].is_contiguous(), "both ways are tried");
        let large = Tensor::arange(1 << 20, (Kind::Float, tch::Device::Cpu));
        let named = [("large".to_owned(), large)];
        let other = tempfile::NamedTempFile::new().unwrap();
        write(&named, &mut |bytes| Ok(other.as_file().write_all(bytes)?)).unwrap();
        let found = BTreeMap::from([("large".to_owned(), named[0].1.zeros_like())]);
        TensorFile::open(other.path()).unwrap().read_into(&found).unwrap();
        assert_eq!(found["large"], named[0].1, "of several pieces");
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
