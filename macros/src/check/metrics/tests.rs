use super::metrics;
use crate::report::Report;

fn mistakes(item: &str) -> Vec<String> {
    let mut report = Report::default();
    metrics(syn::parse_str(item).unwrap(), &mut report);
    report.texts()
}

#[test]
fn every_option_is_taken() {
    let item = "#[metric(crate = my::trainloop)] struct M {
        #[metric(reduce = mean, unit = \"s\")] a: f64,
        #[metric(reduce = sum)] b: u64,
        #[metric(reduce = min)] c: u64,
        #[metric(reduce = max)] d: u64,
        #[metric(reduce = last)] e: String,
        #[metric(reduce = none)] f: String,
        #[metric(nested)] g: Inner,
        #[metric(unit = \"%\")] h: f32,
        i: u8,
    }";
    assert_eq!(mistakes(item), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_told() {
    let shape = "metrics are a struct with named fields, one for each value that is reported";
    let cases = [
        ("enum M { A }", shape),
        ("union M { a: u8 }", shape),
        ("struct M(f64);", "a metric has a name, by which it is shown, stored and compared; give the field one"),
        (
            "struct M<T> { a: T }",
            "metrics are not generic: a worker's and the driver's must be the same; write the types out",
        ),
        ("struct M { #[metric] a: u8 }", "write `#[metric(reduce = mean)]`"),
        (
            "struct M { #[metric(reduce = average)] a: u8 }",
            "`reduce` cannot be `average` (there is: `mean`, `sum`, `min`, `max`, `last`, `none`)",
        ),
        (
            "struct M { #[metric(reduce = men)] a: u8 }",
            "`reduce` cannot be `men`; did you mean `mean`? (there is: `mean`, `sum`, `min`, `max`, `last`, `none`)",
        ),
        (
            "struct M { #[metric(reduse = mean)] a: u8 }",
            "`#[metric]` on a field has no option `reduse`; did you mean `reduce`? (there is: `reduce`, `nested`, `unit`)",
        ),
        (
            "struct M { #[metric(nested, reduce = mean)] a: u8 }",
            "the fields of a nested struct say their own `reduce`; write it there, and remove it here",
        ),
        (
            "struct M { #[metric(nested, unit = \"s\")] a: u8 }",
            "the fields of a nested struct say their own `unit`; write it there, and remove it here",
        ),
        ("struct M { #[metric(nested = true)] a: u8 }", "the option `nested` takes no value; write `nested`"),
        ("struct M { #[metric(unit = s)] a: u8 }", "the option `unit` takes a string; write `unit = \"…\"`"),
        (
            "struct M { #[metric(unit = \" \")] a: u8 }",
            "a unit is shown behind the value; write one, such as `unit = \"s\"`, or none",
        ),
        (
            "#[metric(reduce = mean)] struct M { a: u8 }",
            "`#[metric]` on a struct has no option `reduce` (there is: `crate`)",
        ),
    ];
    for (item, expected) in cases {
        assert_eq!(mistakes(item), [expected], "{item}");
    }
}
