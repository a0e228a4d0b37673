#include "tensors.h"

namespace trainloop_c10d {

std::unique_ptr<TensorList> new_tensor_list() { return std::make_unique<TensorList>(); }

bool is_sole_owner(const Tensor& tensor) {
  return tensor.use_count() == 1 && tensor.has_storage() && tensor.storage().use_count() == 1;
}

}  // namespace trainloop_c10d
