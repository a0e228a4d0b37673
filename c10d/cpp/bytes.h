// The memory of tensors.
#pragma once
#include "tensors.h"

namespace trainloop_c10d {

// Copies a part of the memory of a contiguous CPU tensor.
void copy_bytes(const Tensor& tensor, size_t offset, rust::Slice<uint8_t> target);

// Reads from a file into the memory of a contiguous CPU tensor, from `offset` on, as much as comes at once: how many bytes,
// or the system's error number with a minus.
int64_t read_bytes(const Tensor& tensor, size_t offset, int32_t file);

// The values of `source` into `target`, of the same shape and dtype, wherever they lie.
void copy_values(const Tensor& target, const Tensor& source);

}  // namespace trainloop_c10d
