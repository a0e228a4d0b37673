//! `#[train_loop]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Path;
use syn::spanned::Spanned;

use super::{parse_function, path, place, respan, with_item};
use crate::check;
use crate::ir::{
    Checkpoint, Defaults, Every, Function, MaxFailures, MetricsFrom, Parameter, ParameterKind, Resume, Score, Strategy,
    TrainLoop, Workers,
};
use crate::report::Report;

pub(crate) fn train_loop(args: TokenStream, item: &TokenStream) -> TokenStream {
    let function = match parse_function("`#[train_loop]`", item) {
        Ok(function) => function,
        Err(messages) => return messages,
    };
    let mut report = Report::default();
    let train_loop = check::train_loop(args, &function, &mut report);
    match (train_loop, report.messages()) {
        (Some(train_loop), messages) if messages.is_empty() => {
            let implementation = implementation(&train_loop);
            // A loop owns its config, whether it looks at it or takes it apart, and always returns a `Result`.
            quote! {
                #[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps)]
                #item
                #implementation
            }
        }
        (Some(train_loop), messages) => {
            let item = without_const(&function, item);
            let recovery = recovery(&train_loop, messages);
            quote!(#item #recovery)
        }
        (None, messages) => with_item(messages.into_iter().collect(), item),
    }
}

/// A body that is no constant expression would give messages of its own.
fn without_const(function: &Function, item: &TokenStream) -> TokenStream {
    if function.signature.constness.is_none() {
        return item.clone();
    }
    let Function { attributes, visibility, signature, body } = function;
    let mut signature = signature.clone();
    signature.constness = None;
    quote!(#(#attributes)* #visibility #signature #body)
}

fn implementation(train_loop: &TrainLoop) -> TokenStream {
    let krate = &train_loop.krate;
    let name = &train_loop.name;
    let ty = loop_type(train_loop);
    let config = config_type(train_loop);
    // The whole items lie where their types are written, so that rustc says once what is wrong with one.
    let metrics = metrics_type(train_loop, &config);
    let metrics = quote_spanned!(metrics.span()=> type Metrics = #metrics;);
    let output = output_type(train_loop);
    let output = quote_spanned!(output.span()=> type Output = #output;);
    let strategy = match train_loop.strategy {
        Strategy::Single => quote!(Single),
        Strategy::Ddp => quote!(Ddp),
    };
    let defaults = defaults(krate, &train_loop.defaults);
    let call = call(train_loop, &config);
    let (path, place) = (path(krate, name), place(krate, name));
    quote! {
        #ty

        const _: () = {
            #[automatically_derived]
            impl #krate::__private::TrainLoop for #name {
                type Config = #config;
                #metrics
                #output

                const NAME: &'static str = #path;
                const STRATEGY: #krate::__private::Strategy = #krate::__private::Strategy::#strategy;

                #defaults

                fn call(
                    __seat: #krate::__private::Seat,
                ) -> #krate::__private::Result<#krate::__private::Vec<u8>, #krate::__private::BoxError> {
                    #call
                }
            }

            #krate::__private::inventory::submit! {
                #krate::__private::Registration::of::<#name>(#place)
            }
        };
    }
}

/// Beside mistakes: the type as far as it is known, so that what names it gives no message of its own. Where the config is not
/// known, its type is an array as long as the first message: rustc asks nothing more of a type with a mistake in it.
fn recovery(train_loop: &TrainLoop, messages: Vec<TokenStream>) -> TokenStream {
    let krate = &train_loop.krate;
    let name = &train_loop.name;
    let ty = loop_type(train_loop);
    let mut messages = messages.into_iter();
    let (config, metrics) = if train_loop.is_whole {
        let config = config_type(train_loop);
        let metrics = metrics_type(train_loop, &config);
        (config, metrics)
    } else {
        let message = messages.next();
        (quote!([(); { #message }]), quote!(<Self as #krate::__private::TrainLoop>::Config))
    };
    let output = output_type(train_loop);
    quote! {
        #(#messages)*
        #ty

        #[automatically_derived]
        impl #krate::__private::TrainLoop for #name {
            type Config = #config;
            type Metrics = #metrics;
            type Output = #output;

            const NAME: &'static str = "";
            const STRATEGY: #krate::__private::Strategy = #krate::__private::Strategy::Single;

            fn call(
                _: #krate::__private::Seat,
            ) -> #krate::__private::Result<#krate::__private::Vec<u8>, #krate::__private::BoxError> {
                #krate::__private::not_compiled()
            }
        }
    }
}

/// `struct train {}`, in the namespace of types.
fn loop_type(train_loop: &TrainLoop) -> TokenStream {
    let TrainLoop { krate, visibility, name, .. } = train_loop;
    let doc = format!("The train loop [`{name}`](fn@{name}) as a type, for `TorchTrainer::<{name}>::new`.");
    quote! {
        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #[derive(#krate::__private::Debug, #krate::__private::Clone, #krate::__private::Copy)]
        #visibility struct #name {}
    }
}

fn config_type(train_loop: &TrainLoop) -> TokenStream {
    train_loop.config.as_ref().map_or_else(|| quote!(()), ToTokens::to_token_stream)
}

/// Each bound lies at the type that the user wrote, so that rustc marks that type.
fn metrics_type(train_loop: &TrainLoop, config: &TokenStream) -> TokenStream {
    let krate = &train_loop.krate;
    match &train_loop.metrics {
        MetricsFrom::Context(context) => {
            let private = respan(quote!(#krate::__private), context.span());
            quote_spanned!(context.span()=> <#context as #private::ContextParam>::Metrics)
        }
        MetricsFrom::Lent(lent) => {
            let private = respan(quote!(#krate::__private), lent.span());
            quote_spanned!(lent.span()=> <#lent as #private::Lent<#config>>::Metrics)
        }
        MetricsFrom::Named(metrics) => metrics.to_token_stream(),
        MetricsFrom::Nowhere => quote!(()),
    }
}

fn output_type(train_loop: &TrainLoop) -> TokenStream {
    let krate = &train_loop.krate;
    let Some(output) = &train_loop.output else { return quote!(()) };
    let private = respan(quote!(#krate::__private), output.span());
    quote_spanned!(output.span()=> <#output as #private::LoopReturn>::Output)
}

/// Makes what the parameters ask for, in their order, and calls the function. What asks something of a type lies at that
/// type, where the types above have asked it already: rustc says it once.
fn call(train_loop: &TrainLoop, config: &TokenStream) -> TokenStream {
    let TrainLoop { krate, name, parameters, .. } = train_loop;
    let mut made = TokenStream::new();
    let mut arguments = Vec::new();
    for (index, Parameter { kind, ty }) in parameters.iter().enumerate() {
        let span = ty.span();
        let local = Ident::new(&format!("__{index}"), Span::mixed_site());
        let private = respan(quote!(#krate::__private), span);
        match kind {
            ParameterKind::Context | ParameterKind::Lent => arguments.push(quote!(__lent)),
            ParameterKind::Config => arguments.push(quote!(__config)),
            ParameterKind::Checkpoint => {
                made.extend(quote_spanned!(span=> let #local: #ty = __beside.checkpoint()?;));
                arguments.push(quote!(#local));
            }
            ParameterKind::Device => {
                made.extend(quote_spanned!(span=> let #local: #ty = __beside.device();));
                arguments.push(quote!(#local));
            }
            ParameterKind::State => {
                made.extend(
                    quote_spanned!(span=> let mut #local = #private::init_state::<#ty, <Self as #private::TrainLoop>::Metrics, #config>(__lent, &__config)?;),
                );
                arguments.push(quote!(&mut #local));
            }
        }
    }
    let output = train_loop.output.as_ref().map_or_else(|| quote!(()), ToTokens::to_token_stream);
    let private = respan(quote!(#krate::__private), output.span());
    let called = quote!(#name(#(#arguments),*));
    let called = quote_spanned!(output.span()=> <#output as #private::LoopReturn>::into_result(#called));
    let body = quote!({ #made #called });
    let (lent, run) = match &train_loop.metrics {
        MetricsFrom::Context(context) => (context.to_token_stream(), None),
        MetricsFrom::Lent(lent) => {
            let private = respan(quote!(#krate::__private), lent.span());
            let run = quote_spanned!(lent.span()=> <#lent as #private::Lent<#config>>::run::<Self>);
            (lent.to_token_stream(), Some(run))
        }
        MetricsFrom::Named(metrics) => (quote!(#krate::__private::Context<#metrics>), None),
        MetricsFrom::Nowhere => (quote!(#krate::__private::Context<()>), None),
    };
    let run = run.unwrap_or_else(|| respan(quote!(#krate::__private::run::<Self, _>), output.span()));
    let beside =
        parameters.iter().any(|parameter| matches!(parameter.kind, ParameterKind::Checkpoint | ParameterKind::Device));
    let beside = if beside { quote!(__beside) } else { quote!(_) };
    quote!(#run(__seat, |__lent: &mut #lent, __config: #config, #beside| #body))
}

/// What the options say, as the trait's methods.
fn defaults(krate: &Path, defaults: &Defaults) -> TokenStream {
    let Defaults { workers, use_gpu, backend, max_failures, resume, name, checkpoint } = defaults;
    let workers = workers.as_ref().map(|Workers { least, most, is_range }| {
        let workers = if *is_range { quote!(#least..=#most) } else { quote!(#most) };
        quote!(.with_workers(#workers))
    });
    let use_gpu = use_gpu.map(|on| quote!(.use_gpu(#on)));
    let backend = backend.as_ref().map(|word| {
        let constant = Ident::new(&word.to_string().to_uppercase(), word.span());
        quote!(.backend(#krate::__private::backend::#constant))
    });
    let failure = max_failures.as_ref().map(|failures| match failures {
        MaxFailures::Count(count) => quote!(.failure(#krate::__private::FailureConfig::max_failures(#count))),
        MaxFailures::Unlimited => quote!(.failure(#krate::__private::FailureConfig::unlimited())),
    });
    let resume = resume.map(|resume| match resume {
        Resume::IfExists => quote!(.resume(#krate::__private::Resume::IfExists)),
        Resume::Never => quote!(.resume(#krate::__private::Resume::Never)),
        Resume::Require => quote!(.resume(#krate::__private::Resume::Require)),
    });
    let name = name.as_ref().map(|name| quote!(.name(#name)));
    let scaling = quote!(#workers #use_gpu #backend);
    let run = quote!(#name #resume #failure);
    let checkpoint = checkpoint_config(krate, checkpoint);
    let method = |name: TokenStream, ty: TokenStream, calls: TokenStream| {
        (!calls.is_empty()).then(|| {
            quote! {
                fn #name() -> #krate::__private::#ty {
                    <#krate::__private::#ty as #krate::__private::Default>::default() #calls
                }
            }
        })
    };
    let scaling = method(quote!(scaling), quote!(ScalingConfig), scaling);
    let run = method(quote!(run), quote!(RunConfig), run);
    let checkpoint = method(quote!(checkpoint), quote!(CheckpointConfig<Self::Metrics>), checkpoint);
    quote!(#scaling #run #checkpoint)
}

/// The calls that build what `checkpoint(…)` says. The score is a field access: a wrong name is rustc's own error there.
fn checkpoint_config(krate: &Path, checkpoint: &Checkpoint) -> TokenStream {
    let Checkpoint { keep, score, every } = checkpoint;
    let keep = keep.as_ref().map(|keep| quote!(.keep(#keep)));
    let score = score.as_ref().map(|Score { maximize, field }| {
        let call = if *maximize { quote!(score_max) } else { quote!(score_min) };
        let span = field.span();
        let value = quote_spanned!(span=> &__metrics.#field);
        let score = respan(quote!(#krate::__private::ScoreValue::score), span);
        quote!(.#call(|__metrics: &Self::Metrics| #score(#value)))
    });
    let every = every.as_ref().map(|every| match every {
        Every::Steps(steps) => quote!(.every_steps(#steps)),
        Every::Millis(millis) => quote!(.every_time(#krate::__private::Duration::from_millis(#millis))),
    });
    quote!(#keep #score #every)
}
