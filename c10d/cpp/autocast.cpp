#include <ATen/autocast_mode.h>

#include "aten.h"
#include "trainloop-c10d/src/bridge.rs.h"

namespace trainloop_c10d {

AutocastBefore enter_autocast(bool cuda, bool half) {
  const auto device = cuda ? at::kCUDA : at::kCPU;
  const AutocastBefore before{
      cuda, at::autocast::is_autocast_enabled(device),
      static_cast<int8_t>(at::autocast::get_autocast_dtype(device))};
  at::autocast::set_autocast_dtype(device, half ? at::kHalf : at::kBFloat16);
  at::autocast::set_autocast_enabled(device, true);
  at::autocast::increment_nesting();
  return before;
}

void leave_autocast(const AutocastBefore& before) {
  const auto device = before.cuda ? at::kCUDA : at::kCPU;
  // The casts of parameters are kept until the outermost region ends.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device, before.enabled);
  at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(before.dtype));
}

}  // namespace trainloop_c10d
