//! A score that survives JSON.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A checkpoint's score: any float. JSON has no word for some, which are strings there, as in the run's other records.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score(pub f64);

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_nan() => serializer.serialize_str("NaN"),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            value => serializer.serialize_f64(value),
        }
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScoreVisitor)
    }
}

struct ScoreVisitor;

impl Visitor<'_> for ScoreVisitor {
    type Value = Score;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"NaN\", \"Infinity\" or \"-Infinity\"")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Score, E> {
        Ok(Score(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Score, E> {
        Ok(Score(value as f64))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Score, E> {
        Ok(Score(value as f64))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Score, E> {
        match value {
            "NaN" => Ok(Score(f64::NAN)),
            "Infinity" => Ok(Score(f64::INFINITY)),
            "-Infinity" => Ok(Score(f64::NEG_INFINITY)),
            other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float_survives_json() {
        for (value, text) in [
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
            (-0.0, "-0.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        ] {
            assert_eq!(serde_json::to_string(&Score(value)).unwrap(), text);
            let Score(read) = serde_json::from_str(text).unwrap();
            assert!(read.to_bits() == value.to_bits() || (read.is_nan() && value.is_nan()), "{text}");
        }
        assert_eq!(serde_json::from_str::<Score>("-3").unwrap(), Score(-3.0));
        for wrong in ["\"nan\"", "null", "[1]", "true"] {
            serde_json::from_str::<Score>(wrong).unwrap_err();
        }
    }
}
