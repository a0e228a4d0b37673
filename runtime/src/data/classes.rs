//! Texts as classes.

use std::collections::{BTreeMap, BTreeSet};

use tch::Tensor;

use crate::error::Result;

/// The number of each text's class, `[texts]` of int64, and the classes' names, sorted.
pub(super) fn classes_of(texts: &[&str]) -> Result<(Tensor, Vec<String>)> {
    let names: BTreeSet<&str> = texts.iter().copied().collect();
    let numbers: BTreeMap<&str, i64> = names.iter().copied().zip(0..).collect();
    let classes: Vec<i64> = texts.iter().map(|text| numbers[text]).collect();
    Ok((Tensor::f_from_slice(&classes)?, names.into_iter().map(str::to_owned).collect()))
}
