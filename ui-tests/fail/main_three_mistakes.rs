#[trainloop::main(crat = trainloop)]
async fn main(workers: usize, name: String) {
    let count: u8 = name; // the body is checked all the same
    println!("{count} {workers}");
}
