fn diverged(reduced: &Reduced<EpochMetrics>, run: &RunInfo) -> Result<()> {
    if reduced.train_loss.is_finite() {
        Ok(())
    } else {
        Err(Error::other(format!("{} diverged", run.name)))
    }
}
const _: () = {
    fn call(
        __offer: &mut ::trainloop::__private::Offer<'_>,
    ) -> ::trainloop::__private::Option<
        ::trainloop::__private::Result<(), ::trainloop::__private::BoxError>,
    > {
        let __0 = <&Reduced<
            EpochMetrics,
        > as ::trainloop::__private::driver_report::Has<'_>>::get(__offer);
        let __1 = <&RunInfo as ::trainloop::__private::driver_report::Has<
            '_,
        >>::get(__offer);
        __offer.to_call()?;
        ::trainloop::__private::Some(
            <Result<
                (),
            > as ::trainloop::__private::CallbackReturn>::into_result(
                diverged(__0?, __1?),
            ),
        )
    }
    ::trainloop::__private::inventory::submit! {
        ::trainloop::__private::Callback::new(::trainloop::__private::Event::DriverReport,
        ::trainloop::__private::concat!(::trainloop::__private::module_path!(), "::",
        ::trainloop::__private::stringify!(diverged)), (::trainloop::__private::file!(),
        ::trainloop::__private::line!()), call,)
    }
};
