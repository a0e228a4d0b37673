#[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps)]
fn train(ctx: &mut Context<EpochMetrics>, config: Config) -> Result<()> {
    let model = ctx
        .prepare_model(|path| {
            nn::seq()
                .add(nn::linear(path / "hidden", 1, 32, nn::LinearConfig::default()))
                .add_fn(|x| x.tanh())
                .add(nn::linear(path / "output", 32, 1, nn::LinearConfig::default()))
        })?;
    let optimizer = AdamW::builder(config.lr).build(&model)?;
    let loader = ctx
        .prepare_data_loader(
            DataLoader::builder(Parabola).batch_size(config.batch_size).shuffle(17),
        )?;
    let mut state = State {
        model,
        optimizer,
        loader,
        epoch: 0,
        train_loss: 0.0,
    };
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.restore(&mut state)?;
    }
    while state.epoch < config.epochs {
        for batch in state.loader.epoch(state.epoch)? {
            let batch = batch?;
            let (x, y) = &*batch;
            let loss = state
                .model
                .call(|net| x.apply(net))?
                .mse_loss(y, tch::Reduction::Mean);
            state.optimizer.backward_step(&loss)?;
            state.train_loss = f64::try_from(&loss)?;
            ctx.step(&state)?;
        }
        state.epoch += 1;
        ctx.report_with(
            EpochMetrics {
                epoch: state.epoch,
                train_loss: state.train_loss,
            },
            &state,
        )?;
    }
    Ok(())
}
///The train loop [`train`](fn@train) as a type, for `TorchTrainer::<train>::new`.
#[allow(non_camel_case_types)]
#[derive(
    ::trainloop::__private::Debug,
    ::trainloop::__private::Clone,
    ::trainloop::__private::Copy
)]
struct train {}
const _: () = {
    #[automatically_derived]
    impl ::trainloop::__private::TrainLoop for train {
        type Config = Config;
        type Metrics = <Context<
            EpochMetrics,
        > as ::trainloop::__private::ContextParam>::Metrics;
        type Output = <Result<()> as ::trainloop::__private::LoopReturn>::Output;
        const NAME: &'static str = ::trainloop::__private::concat!(
            ::trainloop::__private::module_path!(), "::",
            ::trainloop::__private::stringify!(train)
        );
        const STRATEGY: ::trainloop::__private::Strategy = ::trainloop::__private::Strategy::Ddp;
        fn checkpoint() -> ::trainloop::__private::CheckpointConfig<Self::Metrics> {
            <::trainloop::__private::CheckpointConfig<
                Self::Metrics,
            > as ::trainloop::__private::Default>::default()
                .keep(3)
                .score_min(|__metrics: &Self::Metrics| ::trainloop::__private::ScoreValue::score(
                    &__metrics.train_loss,
                ))
        }
        fn call(
            __seat: ::trainloop::__private::Seat,
        ) -> ::trainloop::__private::Result<
            ::trainloop::__private::Vec<u8>,
            ::trainloop::__private::BoxError,
        > {
            ::trainloop::__private::run::<
                Self,
                _,
            >(
                __seat,
                |__lent: &mut Context<EpochMetrics>, __config: Config, _| {
                    <Result<
                        (),
                    > as ::trainloop::__private::LoopReturn>::into_result(
                        train(__lent, __config),
                    )
                },
            )
        }
    }
    ::trainloop::__private::inventory::submit! {
        ::trainloop::__private::Registration::of:: < train >
        ((::trainloop::__private::file!(), ::trainloop::__private::line!()))
    }
};
