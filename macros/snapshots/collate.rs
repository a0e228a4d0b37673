/// A batch of [`Sentence`]s: each field has those of all samples.
#[derive(::trainloop::__private::Debug)]
#[allow(dead_code)]
struct SentenceBatch {
    /// The samples' `topic`.
    topic: <i64 as ::trainloop::__private::Collate>::Batch,
    /// The samples' `tokens`.
    tokens: ::trainloop::__private::Padded,
}
#[automatically_derived]
impl ::trainloop::__private::Collate for Sentence {
    type Batch = SentenceBatch;
    fn collate(
        __samples: ::trainloop::__private::Vec<Self>,
    ) -> ::trainloop::__private::Result<SentenceBatch, ::trainloop::__private::Error> {
        let mut __columns = (
            ::trainloop::__private::Vec::<i64>::with_capacity(__samples.len()),
            ::trainloop::__private::Vec::<Vec<i64>>::with_capacity(__samples.len()),
        );
        for __sample in __samples {
            __columns.0.push(__sample.topic);
            __columns.1.push(__sample.tokens);
        }
        ::trainloop::__private::Ok(SentenceBatch {
            topic: ::trainloop::__private::collate_field::<i64>("topic", __columns.0)?,
            tokens: ::trainloop::__private::pad_field::<
                Vec<i64>,
            >("tokens", __columns.1, 0)?,
        })
    }
}
