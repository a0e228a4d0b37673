//! A small convolutional net.

use tch::Tensor;
use tch::nn::{self, Path};

/// Two convolutions, each followed by a halving, and two linear layers.
#[derive(Debug)]
pub(crate) struct Net {
    conv1: nn::Conv2D,
    conv2: nn::Conv2D,
    hidden: nn::Linear,
    output: nn::Linear,
}

impl Net {
    /// A net for images of `rows` × `columns`.
    pub(crate) fn new(path: &Path<'_>, [rows, columns]: [i64; 2]) -> Self {
        let padded = nn::ConvConfig { padding: 1, ..Default::default() };
        Self {
            conv1: nn::conv2d(path / "conv1", 1, 16, 3, padded),
            conv2: nn::conv2d(path / "conv2", 16, 32, 3, padded),
            hidden: nn::linear(path / "hidden", 32 * (rows / 4) * (columns / 4), 64, nn::LinearConfig::default()),
            output: nn::linear(path / "output", 64, 10, nn::LinearConfig::default()),
        }
    }

    /// Scores `[n, 10]` of images `[n, 1, rows, columns]`.
    pub(crate) fn forward(&self, images: &Tensor) -> Tensor {
        images
            .apply(&self.conv1)
            .relu()
            .max_pool2d_default(2)
            .apply(&self.conv2)
            .relu()
            .max_pool2d_default(2)
            .flatten(1, -1)
            .apply(&self.hidden)
            .relu()
            .apply(&self.output)
    }
}
