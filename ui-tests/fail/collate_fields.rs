use trainloop::data::Collate;

#[derive(Collate)]
struct Wrong {
    #[collate(padd = 0)]
    a: Vec<i64>,
    #[collate]
    b: i64,
    #[collate(pad)]
    c: Vec<i64>,
}

#[derive(Collate)]
#[collate(name = "Batch")]
struct Named {
    a: i64,
}

#[derive(Collate)]
struct Unnamed(i64);

#[derive(Collate)]
enum Variants {
    A,
}

#[derive(Collate)]
struct Generic<T> {
    value: T,
}

#[derive(Collate)]
struct Nothing {}

fn batch(samples: Vec<Wrong>) -> trainloop::Result<WrongBatch> {
    Collate::collate(samples)
}

fn main() {}
