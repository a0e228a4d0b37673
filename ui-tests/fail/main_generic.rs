#[trainloop::main]
fn main<T>()
where
    T: Default,
{
    drop(T::default());
}
