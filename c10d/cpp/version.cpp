#include "version.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/headeronly/version.h>

namespace trainloop_c10d {

uint64_t compiled_version() { return TORCH_ABI_VERSION; }

// A function of libtorch_cpu.so, which was compiled with the library; of all that libtorch exports it alone tells the version.
uint64_t loaded_version() { return aoti_torch_abi_version(); }

}  // namespace trainloop_c10d
