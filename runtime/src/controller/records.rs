//! `MessagePack` from a worker as JSON for the run's records, and back into the user's types.

use std::cell::Cell;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::ser::{self, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

/// What a worker encoded, for JSON: a float that JSON cannot write is one of the strings `"NaN"`, `"Infinity"`, `"-Infinity"`,
/// as in the JSON form of protocol buffers. It goes from one format into the other, and no tree of values is made.
pub(super) struct Encoded<'a>(pub(super) &'a [u8]);

/// So many lists and maps in each other; what reads the records back takes no more.
const MAX_DEPTH: usize = 127;

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
    serde_json::to_value(Encoded(bytes)).map_err(|error| crate::Error::serde("read what a worker encoded", error))
}

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut deserializer = rmp_serde::Deserializer::from_read_ref(self.0);
        deserializer.set_max_depth(MAX_DEPTH);
        (&mut deserializer).deserialize_any(Transcoder(serializer)).map_err(ser::Error::custom)
    }
}

/// Writes what it is given to read.
struct Transcoder<S>(S);

impl<'de, S: Serializer> Visitor<'de> for Transcoder<S> {
    type Value = S::Ok;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<S::Ok, E> {
        self.0.serialize_bool(value).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<S::Ok, E> {
        self.0.serialize_i64(value).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<S::Ok, E> {
        self.0.serialize_u64(value).map_err(E::custom)
    }

    /// As the `f64` that it is.
    fn visit_f32<E: Error>(self, value: f32) -> Result<S::Ok, E> {
        self.visit_f64(f64::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<S::Ok, E> {
        let written = match value {
            finite if finite.is_finite() => self.0.serialize_f64(finite),
            nan if nan.is_nan() => self.0.serialize_str("NaN"),
            f64::INFINITY => self.0.serialize_str("Infinity"),
            _ => self.0.serialize_str("-Infinity"),
        };
        written.map_err(E::custom)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<S::Ok, E> {
        self.0.serialize_str(value).map_err(E::custom)
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<S::Ok, E> {
        self.0.serialize_bytes(value).map_err(E::custom)
    }

    fn visit_unit<E: Error>(self) -> Result<S::Ok, E> {
        self.0.serialize_unit().map_err(E::custom)
    }

    fn visit_none<E: Error>(self) -> Result<S::Ok, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Ok, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<S::Ok, A::Error> {
        // The length is only claimed: room is made for what comes.
        let mut writer = self.0.serialize_seq(None).map_err(A::Error::custom)?;
        while seq.next_element_seed(Element(&mut writer))?.is_some() {}
        writer.end().map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<S::Ok, A::Error> {
        let mut writer = self.0.serialize_map(None).map_err(A::Error::custom)?;
        while let Some(Key(key)) = map.next_key()? {
            writer.serialize_key(&key).map_err(A::Error::custom)?;
            map.next_value_seed(Entry(&mut writer))?;
        }
        writer.end().map_err(A::Error::custom)
    }
}

/// Writes the next element of a list.
struct Element<'a, W>(&'a mut W);

impl<'de, W: SerializeSeq> DeserializeSeed<'de> for Element<'_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.serialize_element(&Once::new(deserializer)).map_err(D::Error::custom)
    }
}

/// Writes the value of a map's key.
struct Entry<'a, W>(&'a mut W);

impl<'de, W: SerializeMap> DeserializeSeed<'de> for Entry<'_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.serialize_value(&Once::new(deserializer)).map_err(D::Error::custom)
    }
}

/// A map's key: JSON has texts alone, so another one is its JSON as a text.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::to_value(Once::new(deserializer)).map_err(D::Error::custom)? {
            Value::String(key) => Ok(Self(key)),
            other => key_text(&other).map(Self),
        }
    }
}

/// A value that is read while it is written; writing borrows it, and reading takes it.
struct Once<D>(Cell<Option<D>>);

impl<D> Once<D> {
    fn new(deserializer: D) -> Self {
        Self(Cell::new(Some(deserializer)))
    }
}

impl<'de, D: Deserializer<'de>> Serialize for Once<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let deserializer = self.0.take().ok_or_else(|| ser::Error::custom("a value is written once"))?;
        deserializer.deserialize_any(Transcoder(serializer)).map_err(ser::Error::custom)
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
        let bytes = encode(&metrics, "test").unwrap();
        let text = r#"{"losses":["NaN","Infinity","-Infinity",0.1],"step":18446744073709551615,"note":null}"#;
        assert_eq!(serde_json::to_string(&Encoded(&bytes)).unwrap(), text);
        assert_eq!(record(&bytes).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn every_key_is_a_text() {
        let text = |bytes: &[u8]| serde_json::to_string(&Encoded(bytes)).unwrap();
        let numbers = std::collections::BTreeMap::from([(-3_i32, 0.5_f32), (7, f32::NAN)]);
        assert_eq!(text(&encode(&numbers, "test").unwrap()), r#"{"-3":0.5,"7":"NaN"}"#);
        let pairs = std::collections::BTreeMap::from([((1, true), "a\"b"), ((2, false), "")]);
        assert_eq!(text(&encode(&pairs, "test").unwrap()), r#"{"[1,true]":"a\"b","[2,false]":""}"#);
        // A map of one entry, whose key is a byte string, or nothing.
        assert_eq!(text(&[0x81, 0xc4, 2, 8, 9, 0xc0]), r#"{"[8,9]":null}"#);
        assert_eq!(text(&[0x81, 0xc0, 0xc3]), r#"{"null":true}"#);
    }

    #[test]
    fn what_is_cut_short_or_goes_too_deep_is_an_error() {
        let whole = encode(&[1.0, 2.0], "test").unwrap();
        for cut in 0..whole.len() {
            record(&whole[..cut]).unwrap_err();
        }
        // A list of a list of a list …
        let error = record(&vec![0x91; 100_000]).unwrap_err().to_string();
        assert!(error.contains("depth limit exceeded"), "{error}");
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
        assert!(error.contains("read what a worker encoded"), "{error}");
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
