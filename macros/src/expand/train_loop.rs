//! `#[train_loop]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::{parse_function, respan, with_item};
use crate::check;
use crate::ir::{Checkpoint, Every, Score, Strategy, TrainLoop};
use crate::report::Report;

pub(crate) fn train_loop(args: TokenStream, item: &TokenStream) -> TokenStream {
    let function = match parse_function("`#[train_loop]`", item) {
        Ok(function) => function,
        Err(messages) => return messages,
    };
    let mut report = Report::default();
    let train_loop = check::train_loop(args, &function, &mut report);
    if let Err(messages) = report.check() {
        return with_item(messages, item);
    }
    let implementation = train_loop.map(|train_loop| implementation(&train_loop));
    // The config is handed over: a loop owns it, whether it looks at it or takes it apart.
    quote! {
        #[allow(clippy::needless_pass_by_value)]
        #item
        #implementation
    }
}

fn implementation(train_loop: &TrainLoop) -> TokenStream {
    let TrainLoop { krate, visibility, name, context, config, output, strategy, checkpoint } = train_loop;
    let checkpoint = checkpoint_config(krate, checkpoint);
    let doc = format!("The train loop [`{name}`](fn@{name}) as a type, for `TorchTrainer::<{name}>::new`.");
    let strategy = match strategy {
        Strategy::Single => quote!(Single),
        Strategy::Ddp => quote!(Ddp),
    };
    // Each bound lies at the type that the user wrote, so that rustc marks that type.
    let metrics = quote_spanned!(context.span()=> <#context as #krate::__private::ContextParam>::Metrics);
    let value = quote_spanned!(output.span()=> <#output as #krate::__private::LoopReturn>::Output);
    quote! {
        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #[derive(::core::fmt::Debug, ::core::clone::Clone, ::core::marker::Copy)]
        #visibility struct #name {}

        const _: () = {
            #[automatically_derived]
            impl #krate::__private::TrainLoop for #name {
                type Config = #config;
                type Metrics = #metrics;
                type Output = #value;

                const NAME: &'static str = ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name));
                const STRATEGY: #krate::__private::Strategy = #krate::__private::Strategy::#strategy;

                fn checkpoint() -> #krate::__private::CheckpointConfig<Self::Metrics> {
                    #krate::__private::CheckpointConfig::new() #checkpoint
                }

                fn call(
                    ctx: &mut #krate::__private::Context<Self::Metrics>,
                    config: Self::Config,
                ) -> ::core::result::Result<Self::Output, #krate::__private::BoxError> {
                    #krate::__private::LoopReturn::into_result(#name(ctx, config))
                }
            }

            #krate::__private::inventory::submit! {
                #krate::__private::Registration::of::<#name>()
            }
        };
    }
}

/// The calls that build what `checkpoint(…)` says. The score is a field access: a wrong name is rustc's own error there.
fn checkpoint_config(krate: &syn::Path, checkpoint: &Checkpoint) -> TokenStream {
    let Checkpoint { keep, score, every } = checkpoint;
    let keep = keep.as_ref().map(|keep| quote!(.keep(#keep)));
    let score = score.as_ref().map(|Score { maximize, field }| {
        let call = if *maximize { quote!(score_max) } else { quote!(score_min) };
        let span = field.span();
        let value = quote_spanned!(span=> &metrics.#field);
        let score = respan(quote!(#krate::__private::ScoreValue::score), span);
        quote!(.#call(|metrics: &Self::Metrics| #score(#value)))
    });
    let every = every.as_ref().map(|every| match every {
        Every::Steps(steps) => quote!(.every_steps(#steps)),
        Every::Millis(millis) => quote!(.every_time(::core::time::Duration::from_millis(#millis))),
    });
    quote!(#keep #score #every)
}
