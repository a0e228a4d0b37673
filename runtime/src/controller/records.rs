//! `MessagePack` from a worker as JSON for the run's records, and back into the user's types.

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A JSON value in which a float that JSON cannot write is one of the strings `"NaN"`, `"Infinity"`, `"-Infinity"`, as in
/// the JSON form of protocol buffers.
struct Record(Value);

/// What is nested deeper than `serde_json` reads could not be read back, and would take a thread's whole stack.
const MAX_DEPTH: usize = 128;

/// A map's key that is no string is written as JSON, and is no longer than this: where keys are maps whose keys are maps,
/// each level doubles the marks that the one inside needs.
const MAX_KEY: usize = 64 * 1024;

fn key_text<E: Error>(key: &Value) -> Result<String, E> {
    let text = key.to_string();
    if text.len() > MAX_KEY {
        return Err(E::custom(format!(
            "a map's key is {} bytes long as JSON, and may be {MAX_KEY}; use a string or a number as the key",
            text.len()
        )));
    }
    Ok(text)
}

/// The value that a worker encoded.
pub(crate) fn record(bytes: &[u8]) -> crate::Result<Value> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(MAX_DEPTH);
    let Record(value) = Record::deserialize(&mut deserializer)
        .map_err(|error| crate::Error::serde("read the metrics of a report", error))?;
    Ok(value)
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecordVisitor).map(Self)
    }
}

fn float(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f32<E: Error>(self, value: f32) -> Result<Value, E> {
        Ok(float(f64::from(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Value, E> {
        Ok(value.to_vec().into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Record(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Map::new();
        while let Some((Record(key), Record(value))) = map.next_entry()? {
            let key = match key {
                Value::String(key) => key,
                other => key_text(&other)?,
            };
            entries.insert(key, value);
        }
        Ok(entries.into())
    }
}

/// The value that [`record`] made, as a `T` again.
pub(crate) fn from_record<T: DeserializeOwned>(value: Value) -> crate::Result<T> {
    T::deserialize(Recorded(value)).map_err(|error| crate::Error::serde("read a record of the run", error))
}

/// Reads as JSON does, and where a float is asked for, also the three strings.
struct Recorded(Value);

type RecordError = serde_json::Error;

impl<'de> Deserializer<'de> for Recorded {
    type Error = RecordError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RecordError> {
        match self.0 {
            Value::Array(values) => {
                let mut seq = SeqDeserializer::new(values.into_iter().map(Recorded));
                let value = visitor.visit_seq(&mut seq)?;
                seq.end()?;
                Ok(value)
            }
            Value::Object(entries) => {
                let mut map = MapDeserializer::new(entries.into_iter().map(|(key, value)| (key, Recorded(value))));
                let value = visitor.visit_map(&mut map)?;
                map.end()?;
                Ok(value)
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RecordError> {
        match self.0.as_str() {
            Some("NaN") => visitor.visit_f64(f64::NAN),
            Some("Infinity") => visitor.visit_f64(f64::INFINITY),
            Some("-Infinity") => visitor.visit_f64(f64::NEG_INFINITY),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RecordError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RecordError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, RecordError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RecordError> {
        match self.0 {
            Value::String(variant) => visitor.visit_enum(variant.into_deserializer()),
            Value::Object(entries) => {
                let entries = entries.into_iter().map(|(key, value)| (key, Recorded(value)));
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(entries)))
            }
            other => Err(RecordError::custom(format!("{other} is no variant"))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, RecordError> for Recorded {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;
    use crate::channel::encode;

    #[test]
    fn every_float_can_be_told_from_the_others() {
        #[derive(Serialize)]
        struct Metrics {
            losses: Vec<f64>,
            step: u64,
            note: Option<String>,
        }
        let metrics =
            Metrics { losses: vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1], step: u64::MAX, note: None };
        let value = record(&encode(&metrics, "test").unwrap()).unwrap();
        let text = r#"{"losses":["NaN","Infinity","-Infinity",0.1],"note":null,"step":18446744073709551615}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value, expected);
    }

    #[test]
    fn keys_that_are_no_strings_are_written_as_json_unless_they_explode() {
        let record = |bytes: &[u8]| record(bytes).map_err(|error| error.to_string());
        // {[1, "a"]: true, 7: false}
        let plain = record(b"\x82\x92\x01\xa1a\xc3\x07\xc2").unwrap();
        assert_eq!(plain.to_string(), r#"{"[1,\"a\"]":true,"7":false}"#);
        // {{{…{nil: 1}…: 1}: 1}: 1}, 60 deep: 2^60 backslashes.
        let deep = [[0x81; 60].as_slice(), &[0xc0], &[1; 60]].concat();
        let error = record(&deep).unwrap_err();
        assert!(error.contains("a map's key is") && error.contains("use a string"), "{error}");
    }

    #[test]
    fn what_is_nested_too_deep_is_an_error_on_a_small_stack() {
        let deep = [[0x91; 2000].as_slice(), &[0xc0]].concat();
        let error = record(&deep).unwrap_err().to_string();
        assert!(error.contains("read the metrics of a report"), "{error}");
        record(&[[0x91; 100].as_slice(), &[0xc0]].concat()).unwrap();
    }

    #[test]
    fn records_read_back_as_they_were() {
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        enum Kind {
            Plain,
            Tuple(u8, f32),
            Named { value: Option<f64> },
        }
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        struct Metrics {
            worst: f64,
            least: f32,
            name: String,
            kinds: Vec<Kind>,
            nested: std::collections::BTreeMap<String, [f64; 2]>,
            missing: Option<f64>,
        }
        let metrics = Metrics {
            worst: f64::INFINITY,
            least: f32::NEG_INFINITY,
            name: "NaN".into(),
            kinds: vec![Kind::Plain, Kind::Tuple(3, 0.5), Kind::Named { value: Some(f64::INFINITY) }],
            nested: [("a".to_owned(), [0.1 + 0.2, -0.0])].into(),
            missing: None,
        };
        let text = record(&encode(&metrics, "test").unwrap()).unwrap().to_string();
        assert_eq!(from_record::<Metrics>(serde_json::from_str(&text).unwrap()).unwrap(), metrics);
        assert!(from_record::<f64>("NaN".into()).unwrap().is_nan());
        from_record::<f64>("none".into()).unwrap_err();
    }
}
