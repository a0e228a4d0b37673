use super::collate;
use crate::report::Report;

fn mistakes(item: &str) -> Vec<String> {
    let mut report = Report::default();
    collate(syn::parse_str(item).unwrap(), &mut report);
    report.texts()
}

#[test]
fn every_option_is_taken() {
    let item = "#[collate(name = Digits, crate = my::trainloop)] struct Digit {
        image: Tensor,
        #[collate(pad = -1)] tokens: Vec<i64>,
        pub label: i64,
    }";
    assert_eq!(mistakes(item), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_told() {
    let shape = "a sample is a struct with named fields, each of which becomes a field of the batch";
    let unnamed = format!("{shape}; give this one a name");
    let cases = [
        ("enum S { A }", shape),
        ("union S { a: u8 }", shape),
        ("struct S(f64);", &unnamed),
        ("struct S;", "a sample without fields makes a batch of nothing; give it one"),
        (
            "struct S<T> { a: T }",
            "a sample is not generic: its batch is a struct that is made from the fields' types; write the types out",
        ),
        ("struct S { #[collate] a: u8 }", "write `#[collate(pad = 0)]`"),
        ("struct S { #[collate(pad)] a: u8 }", "the option `pad` has no value; write `pad = …`"),
        (
            "struct S { #[collate(padd = 0)] a: u8 }",
            "`#[collate]` on a field has no option `padd`; did you mean `pad`? (there is: `pad`)",
        ),
        (
            "#[collate(pad = 0)] struct S { a: u8 }",
            "`#[collate]` on a struct has no option `pad` (there is: `name`, `crate`)",
        ),
        (
            "#[collate(name = \"Batch\")] struct S { a: u8 }",
            "the option `name` takes the name of the batch's struct; write `name = Digits`",
        ),
        ("#[collate(name = S)] struct S { a: u8 }", "the batch is a struct beside `S`; give it another name"),
        ("struct S { #[collate(pad = 0, pad = 1)] a: u8 }", "the option `pad` is given twice"),
    ];
    for (item, expected) in cases {
        assert_eq!(mistakes(item), [expected], "{item}");
    }
}
