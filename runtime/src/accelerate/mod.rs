//! The names and habits of Hugging Face's Accelerate, for loops that come from there: an [`Accelerator`] made from a train
//! loop's [`Context`](crate::worker::Context).
//!
//! It adds no feature: each method is a line or two over the context, the model, the optimizers and the loaders, and what they do
//! is said there. `docs/migration.md` has a table of every name, and says where the two differ.
//!
//! ```no_run
//! # use trainloop::prelude::*;
//! # #[derive(Clone)] struct Digits;
//! # impl Dataset for Digits {
//! #     type Sample = ();
//! #     type Batch = (tch::Tensor, tch::Tensor);
//! #     fn len(&self) -> usize { 0 }
//! #     fn get(&self, _: usize) -> Result<()> { Ok(()) }
//! #     fn collate(&self, _: Vec<()>) -> Result<Self::Batch> { Err(Error::other("")) }
//! # }
//! use tch::nn;
//! use trainloop::accelerate::Accelerator;
//!
//! #[train_loop(strategy = ddp)]
//! fn train(ctx: &mut Context) -> Result<()> {
//!     let mut accelerator = Accelerator::builder().gradient_accumulation_steps(2).build(ctx)?;
//!
//!     let vars = nn::VarStore::new(accelerator.device());
//!     let net = nn::linear(vars.root(), 64, 10, Default::default());
//!     let mut optimizer = AdamW::builder(1e-3).build(&vars)?;
//!     let schedule = CosineLr::new(1000).attach(&mut optimizer)?;
//!     let loader = DataLoader::builder(Digits).batch_size(32).shuffle(17);
//!     let (model, mut optimizer, loader, mut schedule) =
//!         accelerator.prepare(((vars, net), optimizer, loader, schedule))?;
//!
//!     for batch in loader.epoch(0)? {
//!         let batch = batch?;
//!         accelerator.accumulate(|| {
//!             let (inputs, labels) = &*batch;
//!             let loss = model.call(|net| inputs.apply(net))?.cross_entropy_for_logits(labels);
//!             accelerator.backward(&loss)?;
//!             accelerator.clip_grad_norm(&mut optimizer, 1.0)?;
//!             optimizer.step()?;
//!             schedule.step(&mut optimizer)?;
//!             optimizer.zero_grad()
//!         })?;
//!     }
//!     accelerator.save_state()
//! }
//! ```

mod accelerator;
mod builder;
mod optimizer;
mod prepare;
mod ranks;
mod registry;
mod scheduler;

pub use accelerator::Accelerator;
pub use builder::{AcceleratorBuilder, MixedPrecision};
pub use optimizer::AcceleratedOptimizer;
pub use prepare::Prepare;
pub use scheduler::AcceleratedScheduler;
