//! What the ranks are about to do, told to one another before they do it: where they differ, every rank gets the same error,
//! and none waits for what does not come.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::Tensor;

use super::tensors::Tensors;
use crate::c10d::{self, ProcessGroup};
use crate::error::Result;

/// A hash of the words, then as many of the words as there is room for.
const HEADER_BYTES: usize = 256;
const HASH_BYTES: usize = 8;

/// An error on every rank if `what` is not the same on all: one small all-gather.
pub(super) fn agree(group: &ProcessGroup, operation: &'static str, what: &str) -> Result<()> {
    let words = format!("{operation} of {what}");
    let all = group.all_gather_into_tensor(&Tensor::from_slice(&header(&words)))?;
    let all = Vec::<u8>::try_from(&all)?;
    let headers: Vec<&[u8]> = all.chunks_exact(HEADER_BYTES).collect();
    if headers.windows(2).all(|pair| pair[0][..HASH_BYTES] == pair[1][..HASH_BYTES]) {
        return Ok(());
    }
    Err(differ(operation, &headers.iter().map(|header| text(header)).collect::<Vec<_>>()))
}

/// The error of ranks that are about to do different things, in the same words on each.
pub(super) fn differ(operation: &'static str, ranks: &[String]) -> crate::Error {
    const SHOWN: usize = 8;
    // Those that do the same, together, in the order of the first of them.
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for (rank, words) in ranks.iter().enumerate() {
        match groups.iter_mut().find(|(known, _)| known == words) {
            Some((_, members)) => members.push(rank),
            None => groups.push((words, vec![rank])),
        }
    }
    let listed = |members: &[usize]| {
        let shown: Vec<String> = members.iter().take(SHOWN).map(usize::to_string).collect();
        let more = members.len().saturating_sub(SHOWN);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("rank {}{more}", shown.join(", "))
    };
    let told = groups.iter().take(SHOWN).map(|(words, members)| format!("{}: {words}", listed(members)));
    let message = format!(
        "the ranks do not fit together: {}; let every rank make the same call, with tensors of one dtype and shape",
        told.collect::<Vec<_>>().join("; ")
    );
    c10d::Error::Desynchronised { operation, message }.into()
}

fn header(words: &str) -> [u8; HEADER_BYTES] {
    // With fixed keys: the same in every process of one binary.
    let mut hasher = DefaultHasher::new();
    words.hash(&mut hasher);
    let mut header = [0; HEADER_BYTES];
    let bytes = hasher.finish().to_le_bytes().into_iter().chain(words.bytes());
    header.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    header
}

fn text(header: &[u8]) -> String {
    String::from_utf8_lossy(&header[HASH_BYTES..]).trim_end_matches(['\0', '\u{fffd}']).to_owned()
}

/// A value of every rank, in their order.
pub(super) fn values<T: Serialize + DeserializeOwned>(group: Option<&ProcessGroup>, own: T) -> Result<Vec<T>> {
    match group {
        Some(group) => Ok(group.all_gather_object(&own)?),
        None => Ok(vec![own]),
    }
}

/// Every tensor's dtype and shape, for people and for [`agree`].
pub(super) fn layouts(tensors: &impl Tensors) -> String {
    words(tensors, |tensor| layout(tensor, &tensor.size()))
}

/// A tensor's dtype, these sizes, and what else a collective may refuse on one rank alone.
pub(super) fn layout(tensor: &Tensor, size: &[i64]) -> String {
    let sparse = if tensor.is_sparse() { ", sparse" } else { "" };
    let place = if tensor.device().is_cuda() { " on a GPU" } else { "" };
    format!("{:?} {size:?}{sparse}{place}", tensor.kind())
}

/// What `tell` says of each tensor.
pub(super) fn words(tensors: &impl Tensors, tell: impl Fn(&Tensor) -> String) -> String {
    let mut all = Vec::new();
    tensors.visit(&mut |tensor| all.push(tell(tensor)));
    if all.is_empty() { "no tensor".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_longer_than_a_header_still_differ() {
        let long = "Float [1], ".repeat(100);
        assert_ne!(header(&format!("{long}a"))[..HASH_BYTES], header(&format!("{long}b"))[..HASH_BYTES]);
        assert!(text(&header(&long)).starts_with("Float [1], Float [1]"));
        assert_eq!(text(&header("gather of Float [2]")), "gather of Float [2]");
    }

    #[test]
    fn the_error_names_the_ranks_by_what_they_do() {
        let ranks = ["gather of Float [2]", "gather of Float [3]", "gather of Float [2]"].map(str::to_owned);
        let text = differ("gather", &ranks).to_string();
        assert!(text.contains("rank 0, 2: gather of Float [2]; rank 1: gather of Float [3]"), "{text}");
    }
}
