#[automatically_derived]
impl ::trainloop::__private::Metrics for EpochMetrics {
    fn reduce(__ranks: &::trainloop::__private::Ranks<Self>) -> Self {
        Self {
            epoch: ::trainloop::__private::first(
                __ranks,
                |__metrics: &Self| &__metrics.epoch,
            ),
            train_loss: ::trainloop::__private::mean(
                __ranks,
                |__metrics: &Self| __metrics.train_loss,
            ),
        }
    }
    fn fields() -> ::trainloop::__private::Vec<::trainloop::__private::MetricField> {
        <::trainloop::__private::Fields as ::trainloop::__private::Default>::default()
            .field(
                "epoch",
                ::trainloop::__private::Reduction::None,
                ::trainloop::__private::None,
            )
            .field(
                "train_loss",
                ::trainloop::__private::Reduction::Mean,
                ::trainloop::__private::None,
            )
            .done()
    }
}
