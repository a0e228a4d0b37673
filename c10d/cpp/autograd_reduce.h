// A sum over ranks that a backward pass goes through.
#pragma once
#include "process_group.h"

namespace trainloop_c10d {

// A new tensor; its gradient on each rank is the sum of all ranks' gradients.
std::unique_ptr<Tensor> all_reduce_with_grad(const ProcessGroup& group, const Tensor& tensor);

}  // namespace trainloop_c10d
