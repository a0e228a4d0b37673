use super::callback;
use crate::report::Report;

fn mistakes(args: &str, function: &str) -> Vec<String> {
    let mut report = Report::default();
    let function = syn::parse_str(function).unwrap();
    let callback = callback(args.parse().unwrap(), &function, &mut report);
    let texts = report.texts();
    assert!(callback.is_some() || !texts.is_empty(), "a callback that is none, without a word");
    texts
}

#[test]
fn every_event_and_option_is_taken() {
    for args in [
        "report",
        "report, on = worker",
        "report, on = driver, order = -3, only = inner::train, crate = my::trainloop",
        "report, on = rank_zero",
        "run_start",
        "run_end, on = driver",
        "checkpoint",
        "exception",
        "restart",
        "resize",
        "state, on = driver",
        "step_end",
        "validation_end, on = rank_zero",
    ] {
        assert_eq!(mistakes(args, "fn note(a: &A, b: &mut B) {}"), Vec::<String>::new(), "{args}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let in_worker = "`train_start`, `train_end`, `epoch_start`, `epoch_end`, `step_start`, `step_end`, `before_backward`, \
                     `after_backward`, `before_optimizer_step`, `validation_start`, `validation_end`, `stop`";
    let events = format!(
        "(there is: `report`, `log`, `run_start`, `run_end`, `checkpoint`, `exception`, `restart`, `resize`, `state`, {in_worker})"
    );
    let fires_in_driver = |event: &str| {
        format!(
            "the event `{event}` fires in the driver; remove this option (in a worker there is: `report`, `log`, {in_worker})"
        )
    };
    let begins = format!("`#[callback]` begins with an event: write `#[callback(report)]` {events}");
    let cases = [
        ("", "fn note() {}", begins.as_str()),
        ("on = driver", "fn note() {}", begins.as_str()),
        ("reprot", "fn note() {}", &format!("there is no event `reprot`; did you mean `report`? {events}")),
        ("banana", "fn note() {}", &format!("there is no event `banana` {events}")),
        ("run_start, on = worker", "fn note() {}", &fires_in_driver("run_start")),
        ("checkpoint, on = rank_zero", "fn note() {}", &fires_in_driver("checkpoint")),
        (
            "step_end, on = driver",
            "fn note() {}",
            "the event `step_end` fires in a worker; remove this option (in the driver there is: `report`, `run_start`, \
             `run_end`, `checkpoint`, `exception`, `restart`, `resize`, `state`)",
        ),
        (
            "report, on = drvier",
            "fn note() {}",
            "`on` cannot be `drvier`; did you mean `driver`? (there is: `worker`, `driver`, `rank_zero`)",
        ),
        (
            "report, ordre = 1",
            "fn note() {}",
            "`#[callback]` has no option `ordre`; did you mean `order`? (there is: `on`, `order`, `only`, `crate`)",
        ),
        (
            "report, only = \"train\"",
            "fn note() {}",
            "the option `only` takes a train loop's path; write `only = train`",
        ),
        ("report, order", "fn note() {}", "the option `order` has no value; write `order = …`"),
        (
            "report",
            "async fn note() {}",
            "a callback is not async: libtorch blocks, and a worker is a process of its own; remove this word",
        ),
        (
            "report",
            "fn note<T>() {}",
            "a callback is not generic: it is called with the types that stand in its signature; write the types out",
        ),
        (
            "report",
            "fn note(&self) {}",
            "a callback is a free function, not a method: there is no `self` to call it with",
        ),
        (
            "report",
            "fn note(a: &mut Report<M>, b: &Report<M>) {}",
            "the report is lent once, and another parameter has it already; remove this one",
        ),
    ];
    for (args, function, expected) in cases {
        assert_eq!(mistakes(args, function), [expected], "{args} {function}");
    }
}

#[test]
fn three_mistakes_are_three_messages() {
    let all = mistakes("report, on = nowhere, ordre = 1", "async fn note() {}");
    assert_eq!(all.len(), 3, "{all:?}");
}
