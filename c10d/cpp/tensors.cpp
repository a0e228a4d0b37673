#include "tensors.h"

namespace trainloop_c10d {

std::unique_ptr<TensorList> new_tensor_list() { return std::make_unique<TensorList>(); }

}  // namespace trainloop_c10d
