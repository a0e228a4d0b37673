//! `#[callback]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use super::{parse_function, path, place, respan, with_item};
use crate::check;
use crate::ir::{Callback, Event};
use crate::report::Report;

pub(crate) fn callback(args: TokenStream, item: &TokenStream) -> TokenStream {
    let function = match parse_function("`#[callback]`", item) {
        Ok(function) => function,
        Err(messages) => return messages,
    };
    let mut report = Report::default();
    let callback = check::callback(args, &function, &mut report);
    if let Err(messages) = report.check() {
        return with_item(messages, item);
    }
    let entry = callback.map(|callback| entry(&callback));
    quote!(#item #entry)
}

fn entry(callback: &Callback) -> TokenStream {
    let Callback { krate, name, event, rank_zero, parameters, output, order, only } = callback;
    let (event, module) = names(*event);
    let locals: Vec<_> = (0..parameters.len()).map(|index| format_ident!("__{index}")).collect();
    // Each value lies at the type that the user wrote, so that one that the event does not have is marked there.
    let values = parameters.iter().zip(&locals).map(|(ty, local)| {
        let private = respan(quote!(#krate::__private), ty.span());
        quote_spanned!(ty.span()=> let #local = <#ty as #private::#module::Has<'_>>::get(__offer);)
    });
    let output = output.as_ref().map_or_else(|| quote!(()), |output| quote!(#output));
    let private = respan(quote!(#krate::__private), output.span());
    let into_result = quote_spanned!(output.span()=> <#output as #private::CallbackReturn>::into_result);
    let order = order.as_ref().map(|order| {
        quote!(.order({
            const __ORDER: i64 = #order;
            __ORDER
        }))
    });
    let only = only.as_ref().map(|only| {
        let private = respan(quote!(#krate::__private), only.span());
        let name = quote_spanned!(only.span()=> <#only as #private::TrainLoop>::NAME);
        quote!(.only(#name))
    });
    let rank_zero = rank_zero.then(|| quote!(.rank_zero()));
    let (path, place) = (path(krate, name), place(krate, name));
    quote! {
        const _: () = {
            fn call(
                __offer: &mut #krate::__private::Offer<'_>,
            ) -> #krate::__private::Option<#krate::__private::Result<(), #krate::__private::BoxError>> {
                #(#values)*
                __offer.to_call()?;
                #krate::__private::Some(#into_result(#name(#(#locals?),*)))
            }

            #krate::__private::inventory::submit! {
                #krate::__private::Callback::new(
                    #krate::__private::Event::#event,
                    #path,
                    #place,
                    call,
                )#rank_zero #order #only
            }
        };
    }
}

/// The event's variant in `trainloop::callback::Event`, and the module with its `Has`.
fn names(event: Event) -> (TokenStream, TokenStream) {
    match event {
        Event::WorkerReport => (quote!(WorkerReport), quote!(worker_report)),
        Event::DriverReport => (quote!(DriverReport), quote!(driver_report)),
        Event::Log => (quote!(Log), quote!(log)),
        Event::RunStart => (quote!(RunStart), quote!(run_start)),
        Event::RunEnd => (quote!(RunEnd), quote!(run_end)),
        Event::Checkpoint => (quote!(Checkpoint), quote!(checkpoint)),
        Event::Exception => (quote!(Exception), quote!(exception)),
        Event::Restart => (quote!(Restart), quote!(restart)),
        Event::Resize => (quote!(Resize), quote!(resize)),
        Event::State => (quote!(State), quote!(state)),
        Event::TrainStart => (quote!(TrainStart), quote!(train_start)),
        Event::TrainEnd => (quote!(TrainEnd), quote!(train_end)),
        Event::EpochStart => (quote!(EpochStart), quote!(epoch_start)),
        Event::EpochEnd => (quote!(EpochEnd), quote!(epoch_end)),
        Event::StepStart => (quote!(StepStart), quote!(step_start)),
        Event::StepEnd => (quote!(StepEnd), quote!(step_end)),
        Event::BeforeBackward => (quote!(BeforeBackward), quote!(before_backward)),
        Event::AfterBackward => (quote!(AfterBackward), quote!(after_backward)),
        Event::BeforeOptimizerStep => (quote!(BeforeOptimizerStep), quote!(before_optimizer_step)),
        Event::ValidationStart => (quote!(ValidationStart), quote!(validation_start)),
        Event::ValidationEnd => (quote!(ValidationEnd), quote!(validation_end)),
        Event::Stop => (quote!(Stop), quote!(stop)),
    }
}
