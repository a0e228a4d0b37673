//! Handwritten digits in IDX files, as MNIST has them: 8×8 scans shipped with this example, or any folder of that format.

use std::path::Path;
use std::sync::Arc;

use tch::{Kind, Tensor};
use trainloop::data::MapTensors;
use trainloop::data::idx::{self, IdxArray};
use trainloop::prelude::*;

/// The scans beside this file; see `data/README.md`.
pub(crate) const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/digits/data");

/// Which half of the data.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Split {
    Train,
    Test,
}

/// A handle to images and labels in memory: cheap to clone for each loader thread.
#[derive(Debug, Clone)]
pub(crate) struct Digits {
    images: Arc<IdxArray>,
    labels: Arc<IdxArray>,
}

/// Images `[n, 1, rows, columns]` in 0 to 1, labels `[n]`.
#[derive(Debug)]
pub(crate) struct DigitBatch {
    pub(crate) images: Tensor,
    pub(crate) labels: Tensor,
}

impl MapTensors for DigitBatch {
    fn map_tensors(self, map: &mut dyn FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self { images: map(self.images)?, labels: map(self.labels)? })
    }
}

impl Digits {
    /// Reads one split of the IDX folder `folder`.
    pub(crate) fn open(folder: impl AsRef<Path>, split: Split) -> Result<Self> {
        let folder = folder.as_ref();
        let name = match split {
            Split::Train => "train",
            Split::Test => "t10k",
        };
        let (images_path, labels_path) =
            (folder.join(format!("{name}-images-idx3-ubyte")), folder.join(format!("{name}-labels-idx1-ubyte")));
        let (images, labels) = (idx::read(&images_path)?, idx::read(&labels_path)?);
        let refuse = |path: &Path, reason: String| Err(Error::other(format!("{}: {reason}", path.display())));
        if images.dims.len() != 3 {
            return refuse(&images_path, format!("images have 3 dimensions, and this file has {:?}", images.dims));
        }
        if images.dims[1] < 4 || images.dims[2] < 4 {
            return refuse(
                &images_path,
                format!(
                    "images of {}×{} are too small for the net; it halves them twice",
                    images.dims[1], images.dims[2]
                ),
            );
        }
        if images.dims[0] == 0 {
            return refuse(&images_path, "there is no image in it".to_owned());
        }
        if labels.dims != [images.dims[0]] {
            return refuse(&labels_path, format!("labels of {:?} do not fit {} images", labels.dims, images.dims[0]));
        }
        if let Some(label) = labels.data.iter().find(|&&label| label > 9) {
            return refuse(&labels_path, format!("{label} is no digit"));
        }
        Ok(Self { images: Arc::new(images), labels: Arc::new(labels) })
    }

    /// Rows and columns of an image.
    pub(crate) fn size(&self) -> [i64; 2] {
        [self.images.dims[1] as i64, self.images.dims[2] as i64]
    }
}

impl Dataset for Digits {
    type Sample = (Vec<f32>, i64);
    type Batch = DigitBatch;

    fn len(&self) -> usize {
        self.labels.data.len()
    }

    fn get(&self, index: usize) -> Result<Self::Sample> {
        let pixels = self.images.dims[1] * self.images.dims[2];
        let image = &self.images.data[index * pixels..(index + 1) * pixels];
        Ok((image.iter().map(|&value| f32::from(value) / 255.0).collect(), i64::from(self.labels.data[index])))
    }

    fn collate(&self, samples: Vec<Self::Sample>) -> Result<DigitBatch> {
        let [rows, columns] = self.size();
        let (images, labels): (Vec<_>, Vec<_>) = samples.into_iter().unzip();
        Ok(DigitBatch {
            images: Tensor::from_slice(&images.concat()).f_view([-1, 1, rows, columns])?.to_kind(Kind::Float),
            labels: Tensor::from_slice(&labels),
        })
    }
}
