#[trainloop::main]
async fn main() -> trainloop::Result<()> {
    std::future::ready(Ok(())).await
}
