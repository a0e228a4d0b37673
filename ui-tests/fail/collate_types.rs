use trainloop::data::Collate;

struct Plain;

#[derive(Collate)]
struct Sample {
    plain: Plain,
}

fn main() {}
