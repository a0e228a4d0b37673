//! `#[train_loop]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::{parse_function, with_item};
use crate::check;
use crate::ir::{Strategy, TrainLoop};
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
    quote!(#item #implementation)
}

fn implementation(train_loop: &TrainLoop) -> TokenStream {
    let TrainLoop { krate, visibility, name, context, config, output, strategy } = train_loop;
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
        #visibility struct #name {}

        const _: () = {
            #[automatically_derived]
            impl #krate::__private::TrainLoop for #name {
                type Config = #config;
                type Metrics = #metrics;
                type Output = #value;

                const NAME: &'static str = ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name));
                const STRATEGY: #krate::__private::Strategy = #krate::__private::Strategy::#strategy;

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
