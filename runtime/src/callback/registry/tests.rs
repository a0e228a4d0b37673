use serde::{Deserialize, Serialize};

use super::*;
use crate::callback::worker_report::Has;
use crate::callback::{Report, WorkerInfo};
use crate::metric::Metrics;

#[derive(Metrics, Serialize, Deserialize, Clone)]
#[metric(crate = crate)]
struct Other;

const fn callback(path: &'static str, line: u32) -> Callback {
    Callback::new(Event::WorkerReport, path, ("src/main.rs", line), succeeds)
}

fn takes_info(offer: &mut Offer<'_>) -> Option<Result<(), BoxError>> {
    let info = <&WorkerInfo as Has<'_>>::get(offer);
    offer.to_call()?;
    info.map(|_| Ok(()))
}

fn takes_units(offer: &mut Offer<'_>) -> Option<Result<(), BoxError>> {
    let (report, _) = (<&Report<()> as Has<'_>>::get(offer), <&WorkerInfo as Has<'_>>::get(offer));
    offer.to_call()?;
    report.map(|_| Ok(()))
}

fn takes_both(offer: &mut Offer<'_>) -> Option<Result<(), BoxError>> {
    let _ = (<&Report<()> as Has<'_>>::get(offer), <&Report<Other> as Has<'_>>::get(offer));
    offer.to_call()?;
    Some(Ok(()))
}

#[allow(clippy::unnecessary_wraps)] // as generated code
fn succeeds(_: &mut Offer<'_>) -> Option<Result<(), BoxError>> {
    Some(Ok(()))
}

fn adds_one(offer: &mut Offer<'_>) -> Option<Result<(), BoxError>> {
    let report = <&mut Report<()> as Has<'_>>::get(offer)?;
    *report = Report::new((), report.index() + 1, 0, false);
    Some(Ok(()))
}

fn borrows_twice(offer: &mut Offer<'_>) -> Option<Result<(), BoxError>> {
    <&mut Report<()> as Has<'_>>::get(offer)?;
    <&mut Report<()> as Has<'_>>::get(offer)?;
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
    static ANY: Callback = Callback { call: takes_info, ..callback("any", 1) };
    static OF_UNITS: Callback = Callback { call: takes_units, ..callback("main::of_units", 2) };
    static ONLY: Callback = callback("only", 3).only("train");
    static MIXED: Callback = Callback { call: takes_both, ..callback("mixed", 4) };
    let (units, others) = (MetricsType::of::<()>(), MetricsType::of::<Other>());
    for (callback, expected) in [
        (&ANY, [true, true, true]),
        (&OF_UNITS, [true, false, true]),
        (&ONLY, [true, true, false]),
        (&MIXED, [false, false, false]),
    ] {
        let fits =
            [("train", units), ("train", others), ("other", units)].map(|(name, metrics)| callback.fits(name, metrics));
        assert_eq!(fits, expected, "{callback:?}");
    }
    let error = OF_UNITS.why_it_fits_no_loop(&[("train", others)]).to_string();
    assert!(error.starts_with("callback `of_units` (src/main.rs:2) fits no train loop"), "{error}");
    assert!(error.contains("the metrics `()`; `train` reports `"), "{error}");
    let error = MIXED.why_it_fits_no_loop(&[("train", units)]).to_string();
    assert!(error.contains("metrics of several types"), "{error}");
}

#[test]
fn one_of_rank_zero_runs_on_no_other() {
    static ALL: [Callback; 2] = [callback("everywhere", 1), callback("first_rank", 2).rank_zero()];
    let names = |rank| -> Vec<_> {
        Callbacks::ordered(ALL.iter()).of_rank(rank).0.iter().map(|callback| callback.name()).collect()
    };
    assert_eq!((names(0), names(1)), (vec!["everywhere", "first_rank"], vec!["everywhere"]));
}

#[test]
fn two_of_one_name_are_told_with_their_places() {
    static ALL: [Callback; 3] = [callback("main::note", 3), callback("main::other", 5), callback("main::note", 7)];
    let error = Callbacks::ordered(ALL.iter()).check_names().unwrap_err().to_string();
    assert!(error.contains("`main::note`: src/main.rs:3 and src/main.rs:7"), "{error}");
    Callbacks::ordered(ALL[..2].iter()).check_names().unwrap();
}

#[test]
fn the_order_is_the_option_then_the_file_then_the_line() {
    static ALL: [Callback; 4] =
        [callback("late", 1).order(1), callback("second", 20), callback("first", 3), callback("early", 30).order(-1)];
    let names: Vec<_> = Callbacks::ordered(ALL.iter()).0.iter().map(|callback| callback.name()).collect();
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
