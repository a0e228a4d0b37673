//! Batch normalization over the samples of all ranks.

use tch::nn::{BatchNormConfig, Path};
use tch::{Kind, Tensor};

use super::Replicas;
use crate::error::{Error, Result};

/// A batch norm whose means and variances are those of the global batch: where each rank's share is small, those of the
/// share alone would be noise, and N ranks would not be what one process is with the N-fold batch.
///
/// It is PyTorch's `SyncBatchNorm`: a `BatchNorm1d`, `2d` or `3d` over all ranks' samples, in the forward and in the backward
/// pass, and also where ranks have different numbers of samples. Ioffe and Szegedy, *Batch Normalization*, ICML 2015. The
/// variables have the names of tch's batch norm and of PyTorch's: `weight`, `bias`, `running_mean`, `running_var`.
///
/// Inputs are `[N, C]` or `[N, C, …]` with any further dimensions, and so is what comes out. In half precision means and
/// variances are computed in float32. One collective in the forward pass and one in the backward pass are added for each
/// such layer.
///
/// ```no_run
/// use tch::nn::{self, BatchNormConfig, ConvConfig, Path};
/// use tch::Tensor;
/// use trainloop::nn::{Replicas, SyncBatchNorm};
/// use trainloop::prelude::*;
///
/// struct Net { conv: nn::Conv2D, norm: SyncBatchNorm }
///
/// impl Net {
///     fn new(path: &Path<'_>, replicas: &Replicas) -> Self {
///         Self {
///             conv: nn::conv2d(path / "conv", 1, 8, 3, ConvConfig::default()),
///             norm: SyncBatchNorm::new(&(path / "norm"), 8, BatchNormConfig::default(), replicas),
///         }
///     }
///
///     fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor> {
///         self.norm.forward(&images.apply(&self.conv), train)
///     }
/// }
///
/// # fn train(ctx: &mut Context, images: &Tensor) -> Result<()> {
/// let replicas = ctx.replicas();
/// let model = ctx.prepare_model(|path| Net::new(path, &replicas))?;
/// let outputs = model.call(|net| net.forward(images, true))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SyncBatchNorm {
    config: BatchNormConfig,
    features: i64,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    running_mean: Tensor,
    running_var: Tensor,
    replicas: Replicas,
}

impl SyncBatchNorm {
    /// A norm of `features` channels, with tch's options; `cudnn_enabled` means nothing here.
    #[must_use]
    pub fn new(path: &Path<'_>, features: i64, config: BatchNormConfig, replicas: &Replicas) -> Self {
        let (weight, bias) = if config.affine {
            (Some(path.var("weight", &[features], config.ws_init)), Some(path.var("bias", &[features], config.bs_init)))
        } else {
            (None, None)
        };
        Self {
            config,
            features,
            weight,
            bias,
            running_mean: path.zeros_no_train("running_mean", &[features]),
            running_var: path.ones_no_train("running_var", &[features]),
            replicas: replicas.clone(),
        }
    }

    /// With `train` the normalized inputs by the statistics of all ranks' inputs, which also move the running values: then it
    /// is a collective. Without, by the running values of this rank.
    ///
    /// A rank whose batch is a stand-in ([`Batch::samples`](crate::data::Batch::samples) of 0) has no part in the statistics.
    ///
    /// # Errors
    /// [`Error::Torch`] where the inputs have another number of channels; [`Error::Other`] where there is one value in each
    /// channel, which has no variance; those of a collective.
    pub fn forward(&self, inputs: &Tensor, train: bool) -> Result<Tensor> {
        let size = inputs.size();
        if size.len() < 2 || size[1] != self.features {
            return Err(Error::Torch(format!(
                "a batch norm of {} channels was given inputs of {size:?}; it takes [N, {}, …]",
                self.features, self.features
            )));
        }
        let (mean, var) = if train {
            self.statistics(inputs)?
        } else {
            (self.running_mean.shallow_clone(), self.running_var.shallow_clone())
        };
        let kind = kind_of_statistics(inputs);
        let scale = (var.f_to_kind(kind)? + self.config.eps).f_rsqrt()?;
        let centred = inputs.f_to_kind(kind)?.f_sub(&self.by_channel(&mean, inputs)?.f_to_kind(kind)?)?;
        let mut outputs = centred.f_mul(&self.by_channel(&scale, inputs)?)?;
        if let Some(weight) = &self.weight {
            outputs = outputs.f_mul(&self.by_channel(weight, inputs)?.f_to_kind(kind)?)?;
        }
        if let Some(bias) = &self.bias {
            outputs = outputs.f_add(&self.by_channel(bias, inputs)?.f_to_kind(kind)?)?;
        }
        Ok(outputs.f_to_kind(inputs.kind())?)
    }

    /// Mean and variance of each channel over all ranks' inputs, after each rank's own; Chan et al., *Algorithms for
    /// computing the sample variance*, 1983. Sums of squares would lose their digits where the mean is large.
    fn statistics(&self, inputs: &Tensor) -> Result<(Tensor, Tensor)> {
        let kind = kind_of_statistics(inputs);
        let values = inputs.f_to_kind(kind)?;
        let dims: Vec<i64> = (0..inputs.dim() as i64).filter(|dim| *dim != 1).collect();
        let elements = inputs.numel() as i64 / self.features.max(1);
        let counted = if self.replicas.is_stand_in() { 0 } else { elements };
        if counted == 1 && self.replicas.count() == 1 {
            return Err(Error::other(format!(
                "a batch norm in training was given inputs of {:?}, one value in each channel, which has no variance; give a \
                 larger batch",
                inputs.size()
            )));
        }
        let own_mean = values.f_sum_dim_intlist(&dims[..], false, kind)? / elements.max(1);
        let squares = (&values - self.by_channel(&own_mean, inputs)?).f_square()?;
        let own_squares = squares.f_sum_dim_intlist(&dims[..], false, kind)? * (if counted == 0 { 0.0 } else { 1.0 });
        let count = Tensor::f_full([1], counted, (kind, inputs.device()))?;

        let rows = self.replicas.gather(&Tensor::f_cat(&[own_mean, own_squares, count], 0)?)?;
        let columns = |from, count| rows.f_narrow(1, from, count);
        let (means, squares, counts) =
            (columns(0, self.features)?, columns(self.features, self.features)?, columns(2 * self.features, 1)?);
        let over_ranks = |tensor: Tensor| tensor.f_sum_dim_intlist([0_i64].as_slice(), false, kind);
        let total = over_ranks(counts.shallow_clone())?.f_clamp_min(1.0)?;
        let mean = over_ranks(means.f_mul(&counts)?)? / &total;
        let between = over_ranks((means - &mean).f_square()?.f_mul(&counts)?)?;
        let var = (over_ranks(squares)? + between) / &total;
        tch::no_grad(|| self.move_running_values(&mean, &var, &total))?;
        Ok((mean, var))
    }

    /// The running variance is the unbiased one, as in PyTorch.
    fn move_running_values(&self, mean: &Tensor, var: &Tensor, total: &Tensor) -> Result<()> {
        let unbiased = var * (total / (total - 1.0).f_clamp_min(1.0)?);
        for (running, now) in [(&self.running_mean, mean), (&self.running_var, &unbiased)] {
            let now = now.f_to_kind(running.kind())? * self.config.momentum;
            let mut running = running.shallow_clone();
            let moved = (&running * (1.0 - self.config.momentum)).f_add(&now)?;
            running.f_copy_(&moved)?;
        }
        Ok(())
    }

    /// `[C]` as `[1, C, 1, …]`.
    fn by_channel(&self, tensor: &Tensor, inputs: &Tensor) -> Result<Tensor> {
        let mut shape = vec![1; inputs.dim()];
        shape[1] = self.features;
        Ok(tensor.f_view(&shape[..])?)
    }

    /// The running means, `[C]`: a handle.
    pub fn running_mean(&self) -> &Tensor {
        &self.running_mean
    }

    /// The running variances, `[C]`: a handle.
    pub fn running_var(&self) -> &Tensor {
        &self.running_var
    }
}

fn kind_of_statistics(inputs: &Tensor) -> Kind {
    if matches!(inputs.kind(), Kind::Half | Kind::BFloat16) { Kind::Float } else { inputs.kind() }
}
