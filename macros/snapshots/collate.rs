/// A batch of [`Sentence`]s: each field has those of all samples.
#[allow(dead_code, trivial_bounds)]
struct SentenceBatch
where
    i64: ::trainloop::__private::Collate,
{
    /// The samples' `topic`.
    topic: <i64 as ::trainloop::__private::Collate>::Batch,
    /// The samples' `tokens`.
    tokens: ::trainloop::__private::Padded,
}
#[automatically_derived]
#[allow(trivial_bounds)]
impl ::trainloop::__private::Debug for SentenceBatch
where
    i64: ::trainloop::__private::Collate,
{
    fn fmt(
        &self,
        __f: &mut ::trainloop::__private::Formatter<'_>,
    ) -> ::trainloop::__private::FmtResult {
        __f.debug_struct(::trainloop::__private::stringify!(SentenceBatch))
            .field("topic", &self.topic)
            .field("tokens", &self.tokens)
            .finish()
    }
}
#[automatically_derived]
#[allow(trivial_bounds)]
impl ::trainloop::__private::MapTensors for SentenceBatch
where
    i64: ::trainloop::__private::Collate,
{
    fn map_tensors(
        self,
        __map: &mut ::trainloop::__private::TensorMap<'_>,
    ) -> ::trainloop::__private::Result<Self, ::trainloop::__private::Error> {
        ::trainloop::__private::Ok(Self {
            topic: ::trainloop::__private::MapTensors::map_tensors(self.topic, __map)?,
            tokens: ::trainloop::__private::MapTensors::map_tensors(self.tokens, __map)?,
        })
    }
}
#[automatically_derived]
#[allow(trivial_bounds)]
impl ::trainloop::__private::Collate for Sentence
where
    i64: ::trainloop::__private::Collate,
{
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
