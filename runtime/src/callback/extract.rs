//! How a callback's parameters are found by their types.

use std::any::Any;

use super::{CheckpointInfo, Control, EpochInfo, MetricsType, Reduced, Report, Resize, RunEnd, RunInfo, WorkerInfo};
use crate::error::BoxError;
use crate::metric::{Metrics, Ranks};
use crate::tracker::Logged;
use crate::trainer::{RunFailure, StateChange};

/// What an event lends to one callback.
pub struct Offer<'e> {
    /// What may be changed is lent once.
    report: Option<&'e mut dyn Any>,
    shared: &'e [&'e dyn Any],
    /// Where nothing is lent: the metrics in the types that were asked for.
    asked: Option<Vec<MetricsType>>,
}

impl<'e> Offer<'e> {
    pub(crate) fn new(shared: &'e [&'e dyn Any]) -> Self {
        Self { report: None, shared, asked: None }
    }

    /// Lends nothing, and notes what is asked for.
    pub(super) fn asking() -> Self {
        Self { report: None, shared: &[], asked: Some(Vec::new()) }
    }

    pub(super) fn asked(self) -> Vec<MetricsType> {
        self.asked.unwrap_or_default()
    }

    /// `None` where nothing is lent, so that the function is not called.
    #[must_use]
    pub fn to_call(&self) -> Option<()> {
        self.asked.is_none().then_some(())
    }

    /// The value of a parameter.
    pub(super) fn lend<T: Parameter<'e>>(&mut self) -> Option<T> {
        match &mut self.asked {
            None => T::take(self),
            Some(asked) => {
                asked.extend(T::metrics());
                None
            }
        }
    }

    pub(crate) fn with_report(mut self, report: &'e mut dyn Any) -> Self {
        self.report = Some(report);
        self
    }

    /// The same for the next callback.
    pub(super) fn again(&mut self) -> Offer<'_> {
        Offer { report: self.report.as_deref_mut(), shared: self.shared, asked: None }
    }

    fn take<T: 'static>(&mut self) -> Option<&'e mut T> {
        self.report.take()?.downcast_mut()
    }

    fn get<T: 'static>(&self) -> Option<&'e T> {
        self.shared.iter().find_map(|value| value.downcast_ref())
    }
}

/// A type that some event has for a callback's parameter.
pub trait Parameter<'e>: Sized {
    /// The metrics in it, if there are any.
    #[must_use]
    fn metrics() -> Option<MetricsType> {
        None
    }

    /// Its value; `None` where the event does not have it.
    fn take(offer: &mut Offer<'e>) -> Option<Self>;
}

impl<'e, M: Metrics> Parameter<'e> for &'e mut Report<M> {
    fn metrics() -> Option<MetricsType> {
        Some(MetricsType::of::<M>())
    }

    fn take(offer: &mut Offer<'e>) -> Option<Self> {
        offer.take()
    }
}

impl<'e, M: Metrics> Parameter<'e> for &'e Report<M> {
    fn metrics() -> Option<MetricsType> {
        Some(MetricsType::of::<M>())
    }

    fn take(offer: &mut Offer<'e>) -> Option<Self> {
        offer.take().map(|report| &*report)
    }
}

impl<'e, M: Metrics> Parameter<'e> for &'e Ranks<M> {
    fn metrics() -> Option<MetricsType> {
        Some(MetricsType::of::<M>())
    }

    fn take(offer: &mut Offer<'e>) -> Option<Self> {
        offer.get()
    }
}

impl<'e, M: Metrics> Parameter<'e> for &'e Reduced<M> {
    fn metrics() -> Option<MetricsType> {
        Some(MetricsType::of::<M>())
    }

    fn take(offer: &mut Offer<'e>) -> Option<Self> {
        offer.get()
    }
}

impl<'e, M: Metrics> Parameter<'e> for Option<&'e Reduced<M>> {
    fn metrics() -> Option<MetricsType> {
        Some(MetricsType::of::<M>())
    }

    fn take(offer: &mut Offer<'e>) -> Option<Self> {
        Some(offer.get())
    }
}

macro_rules! untyped {
    ($($info:ty),*) => {$(
        impl<'e> Parameter<'e> for &'e $info {
            fn take(offer: &mut Offer<'e>) -> Option<Self> {
                offer.get()
            }
        }
    )*};
}

untyped!(
    RunInfo,
    WorkerInfo,
    CheckpointInfo,
    RunEnd,
    RunFailure,
    Resize,
    StateChange,
    EpochInfo,
    Logged,
    Control,
    tch::Tensor
);

/// What a callback may return: nothing, or a `Result<(), E>` with any error.
#[diagnostic::on_unimplemented(
    message = "a callback cannot return `{Self}`",
    label = "expected nothing, or a `Result<(), E>`",
    note = "return nothing, `trainloop::Result<()>`, or a `Result<(), E>` whose error converts into `Box<dyn Error + Send + Sync>`"
)]
pub trait CallbackReturn {
    /// With the error boxed.
    ///
    /// # Errors
    /// The callback's own.
    fn into_result(self) -> Result<(), BoxError>;
}

impl CallbackReturn for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> CallbackReturn for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}
