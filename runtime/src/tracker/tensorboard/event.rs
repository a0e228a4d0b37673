//! The part of `TensorBoard`'s protocol buffers that is written here: `tensorboard/compat/proto/event.proto`, `summary.proto`,
//! `tensor.proto`. The fields have their names and numbers; others are passed over.

use prost::Message;

/// One record of an event file.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    /// `brain.Event:2`, in a file's first record.
    #[prost(string, optional, tag = "3")]
    pub(super) file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(super) summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    pub(super) session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
#[allow(clippy::struct_field_names)] // the protocol's names
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(float, optional, tag = "2")]
    pub(super) simple_value: Option<f32>,
    /// Unused by `TensorBoard`. What an event is of is noted here, so that it is known when a run goes on.
    #[prost(string, tag = "7")]
    pub(super) node_name: String,
    #[prost(message, optional, tag = "8")]
    pub(super) tensor: Option<TensorProto>,
    #[prost(message, optional, tag = "9")]
    pub(super) metadata: Option<SummaryMetadata>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SummaryMetadata {
    #[prost(message, optional, tag = "1")]
    pub(super) plugin_data: Option<PluginData>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PluginData {
    #[prost(string, tag = "1")]
    pub(super) plugin_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    /// 7 is `DT_STRING`.
    #[prost(int32, tag = "1")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) tensor_shape: Option<TensorShapeProto>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(super) string_val: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorShapeProto {
    #[prost(message, repeated, tag = "2")]
    pub(super) dim: Vec<Dim>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Dim {
    #[prost(int64, tag = "1")]
    pub(super) size: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionLog {
    /// 1 is `START`: whatever has this event's step or a later one, in earlier files, is dropped by the reader.
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

const DT_STRING: i32 = 7;
const START: i32 = 1;

impl Event {
    pub(super) fn version(wall_time: f64) -> Self {
        Self { wall_time, file_version: Some("brain.Event:2".to_owned()), ..Self::default() }
    }

    pub(super) fn start(wall_time: f64, step: i64) -> Self {
        Self { wall_time, step, session_log: Some(SessionLog { status: START }), ..Self::default() }
    }

    pub(super) fn is_start(&self) -> bool {
        self.session_log.as_ref().is_some_and(|log| log.status == START)
    }
}

impl Value {
    pub(super) fn number(tag: &str, node_name: &str, value: f64) -> Self {
        Self {
            tag: tag.to_owned(),
            node_name: node_name.to_owned(),
            simple_value: Some(value as f32),
            ..Self::default()
        }
    }

    /// As `SummaryWriter.add_text` of PyTorch writes one.
    pub(super) fn text(tag: &str, node_name: &str, text: &str) -> Self {
        Self {
            tag: format!("{tag}/text_summary"),
            node_name: node_name.to_owned(),
            tensor: Some(TensorProto {
                dtype: DT_STRING,
                tensor_shape: Some(TensorShapeProto { dim: vec![Dim { size: 1 }] }),
                string_val: vec![text.as_bytes().to_vec()],
            }),
            metadata: Some(SummaryMetadata { plugin_data: Some(PluginData { plugin_name: "text".to_owned() }) }),
            ..Self::default()
        }
    }
}
