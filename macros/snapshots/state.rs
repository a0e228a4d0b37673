#[automatically_derived]
impl ::trainloop::__private::TrainState for State {
    fn save(
        &self,
        __out: &mut ::trainloop::__private::StateWriter,
    ) -> ::trainloop::__private::Result<(), ::trainloop::__private::Error> {
        let Self {
            model: __f0,
            optimizer: __f1,
            loader: __f2,
            epoch: __f3,
            train_loss: __f4,
            ..
        } = self;
        __out
            .field(
                "model",
                |__out| <Model<
                    nn::Sequential,
                > as ::trainloop::__private::TrainState>::save(__f0, __out),
            )?;
        __out
            .field(
                "optimizer",
                |__out| <AdamW as ::trainloop::__private::TrainState>::save(__f1, __out),
            )?;
        __out
            .field(
                "loader",
                |__out| <DataLoader<
                    Parabola,
                > as ::trainloop::__private::TrainState>::save(__f2, __out),
            )?;
        __out
            .field(
                "epoch",
                |__out| ::trainloop::__private::value_of::<u64>().save(__f3, __out),
            )?;
        __out
            .field(
                "train_loss",
                |__out| ::trainloop::__private::value_of::<f64>().save(__f4, __out),
            )?;
        ::trainloop::__private::Ok(())
    }
    fn restore(
        &mut self,
        __from: &::trainloop::__private::StateReader<'_>,
    ) -> ::trainloop::__private::Result<(), ::trainloop::__private::Error> {
        __from
            .versioned(
                1u32,
                |__from| {
                    let Self {
                        model: __f0,
                        optimizer: __f1,
                        loader: __f2,
                        epoch: __f3,
                        train_loss: __f4,
                        ..
                    } = self;
                    __from
                        .field(
                            "model",
                            |__from| <Model<
                                nn::Sequential,
                            > as ::trainloop::__private::TrainState>::restore(
                                __f0,
                                __from,
                            ),
                        )?;
                    __from
                        .field(
                            "optimizer",
                            |__from| <AdamW as ::trainloop::__private::TrainState>::restore(
                                __f1,
                                __from,
                            ),
                        )?;
                    __from
                        .field(
                            "loader",
                            |__from| <DataLoader<
                                Parabola,
                            > as ::trainloop::__private::TrainState>::restore(
                                __f2,
                                __from,
                            ),
                        )?;
                    __from
                        .field(
                            "epoch",
                            |__from| {
                                ::trainloop::__private::value_of::<u64>()
                                    .restore(__f3, __from)
                            },
                        )?;
                    __from
                        .field(
                            "train_loss",
                            |__from| {
                                ::trainloop::__private::value_of::<f64>()
                                    .restore(__f4, __from)
                            },
                        )?;
                    ::trainloop::__private::Ok(())
                },
            )
    }
}
