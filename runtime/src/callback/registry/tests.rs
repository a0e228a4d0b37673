use super::*;
use crate::callback::{Report, WorkerInfo, worker_report};

const fn callback(name: &'static str, line: u32) -> Callback {
    Callback::new(Event::WorkerReport, name, ("src/main.rs", line), no_metrics, succeeds)
}

fn no_metrics() -> Vec<Option<MetricsType>> {
    vec![worker_report::metrics::<&WorkerInfo>()]
}

fn u8_metrics() -> Vec<Option<MetricsType>> {
    vec![Some(MetricsType::of::<u8>()), None]
}

fn mixed_metrics() -> Vec<Option<MetricsType>> {
    vec![Some(MetricsType::of::<u8>()), Some(MetricsType::of::<u16>())]
}

#[allow(clippy::unnecessary_wraps)] // as generated code
fn succeeds(_: &mut Offer<'_>) -> Option<Result<(), BoxError>> {
    Some(Ok(()))
}

fn adds_one(offer: &mut Offer<'_>) -> Option<Result<(), BoxError>> {
    let report = worker_report::get::<&mut Report<()>>(offer)?;
    *report = Report::new((), report.index() + 1, 0, false);
    Some(Ok(()))
}

fn borrows_twice(offer: &mut Offer<'_>) -> Option<Result<(), BoxError>> {
    worker_report::get::<&mut Report<()>>(offer)?;
    worker_report::get::<&mut Report<()>>(offer)?;
    Some(Ok(()))
}

#[allow(clippy::unnecessary_wraps)]
fn fails(_: &mut Offer<'_>) -> Option<Result<(), BoxError>> {
    Some(Err("the disk is a banana".into()))
}

fn panics(_: &mut Offer<'_>) -> Option<Result<(), BoxError>> {
    panic!("the loss is a banana")
}

fn with(call: fn(&mut Offer<'_>) -> Option<Result<(), BoxError>>) -> Callbacks {
    Callbacks(vec![Box::leak(Box::new(Callback { call, ..callback("note", 7) }))])
}

#[test]
fn a_callback_fits_loops_with_its_metrics_and_only_the_named_one() {
    static ANY: Callback = callback("any", 1);
    static OF_U8: Callback = Callback { metrics: u8_metrics, ..callback("of_u8", 2) };
    static ONLY: Callback = callback("only", 3).only("train");
    static MIXED: Callback = Callback { metrics: mixed_metrics, ..callback("mixed", 4) };
    let (u8s, u16s) = (MetricsType::of::<u8>(), MetricsType::of::<u16>());
    for (callback, expected) in [
        (&ANY, [true, true, true]),
        (&OF_U8, [true, false, true]),
        (&ONLY, [true, true, false]),
        (&MIXED, [false, false, false]),
    ] {
        let fits =
            [("train", u8s), ("train", u16s), ("other", u8s)].map(|(name, metrics)| callback.fits(name, metrics));
        assert_eq!(fits, expected, "{callback:?}");
    }
    let error = OF_U8.why_it_fits_no_loop(&[("train", u16s)]).to_string();
    assert!(error.starts_with("callback `of_u8` (src/main.rs:2) fits no train loop"), "{error}");
    assert!(error.contains("the metrics `u8`; `train` reports `u16`"), "{error}");
    let error = MIXED.why_it_fits_no_loop(&[("train", u8s)]).to_string();
    assert!(error.contains("metrics of several types"), "{error}");
}

#[test]
fn the_order_is_the_option_then_the_file_then_the_line() {
    static ALL: [Callback; 4] =
        [callback("late", 1).order(1), callback("second", 20), callback("first", 3), callback("early", 30).order(-1)];
    let names: Vec<_> = Callbacks::ordered(ALL.iter()).0.iter().map(|callback| callback.name).collect();
    assert_eq!(names, ["early", "first", "second", "late"]);
}

#[test]
fn one_callback_sees_what_the_one_before_has_changed() {
    let [first, second] = [with(adds_one), with(adds_one)].map(|callbacks| callbacks.0[0]);
    let mut report = Report::new((), 0, 0, false);
    Callbacks(vec![first, second]).run(Event::WorkerReport, Offer::new(&[]).with_report(&mut report)).unwrap();
    assert_eq!(report.index(), 2);
}

#[test]
fn an_error_and_a_panic_bear_the_callbacks_name_and_place() {
    for (call, words) in [
        (fails as fn(&mut Offer<'_>) -> _, "the disk is a banana"),
        (panics, "it panicked: the loss is a banana"),
        (borrows_twice, "two of its parameters borrow the report"),
    ] {
        let mut report = Report::new((), 0, 0, false);
        let error = with(call).run(Event::WorkerReport, Offer::new(&[]).with_report(&mut report)).unwrap_err();
        assert_eq!(format!("{error:?}"), format!("callback `note` (src/main.rs:7) failed: {words}"));
    }
    with(fails).run(Event::RunEnd, Offer::new(&[])).unwrap();
}

#[test]
fn where_an_error_ends_nothing_every_callback_runs() {
    let all = Callbacks([with(fails), with(succeeds), with(panics)].map(|callbacks| callbacks.0[0]).to_vec());
    assert_eq!(all.run_all(Event::WorkerReport, Offer::new(&[])).len(), 2);
    assert!(all.run_all(Event::RunStart, Offer::new(&[])).is_empty());
}
