#[automatically_derived]
impl ::trainloop::__private::TrainState for State {
    fn save(
        &self,
        out: &mut ::trainloop::__private::StateWriter,
    ) -> ::trainloop::Result<()> {
        out.field(
            "model",
            |out| <Model<
                nn::Sequential,
            > as ::trainloop::__private::TrainState>::save(&self.model, out),
        )?;
        out.field(
            "optimizer",
            |out| <AdamW as ::trainloop::__private::TrainState>::save(
                &self.optimizer,
                out,
            ),
        )?;
        out.field(
            "loader",
            |out| <DataLoader<
                Parabola,
            > as ::trainloop::__private::TrainState>::save(&self.loader, out),
        )?;
        out.field(
            "epoch",
            |out| ::trainloop::__private::save_value::<u64>(&self.epoch, out),
        )?;
        out.field(
            "train_loss",
            |out| ::trainloop::__private::save_value::<f64>(&self.train_loss, out),
        )?;
        ::core::result::Result::Ok(())
    }
    fn restore(
        &mut self,
        from: &::trainloop::__private::StateReader<'_>,
    ) -> ::trainloop::Result<()> {
        from.field(
            "model",
            |from| <Model<
                nn::Sequential,
            > as ::trainloop::__private::TrainState>::restore(&mut self.model, from),
        )?;
        from.field(
            "optimizer",
            |from| <AdamW as ::trainloop::__private::TrainState>::restore(
                &mut self.optimizer,
                from,
            ),
        )?;
        from.field(
            "loader",
            |from| <DataLoader<
                Parabola,
            > as ::trainloop::__private::TrainState>::restore(&mut self.loader, from),
        )?;
        from.field(
            "epoch",
            |from| ::trainloop::__private::restore_value::<u64>(&mut self.epoch, from),
        )?;
        from.field(
            "train_loss",
            |from| ::trainloop::__private::restore_value::<
                f64,
            >(&mut self.train_loss, from),
        )?;
        ::core::result::Result::Ok(())
    }
}
