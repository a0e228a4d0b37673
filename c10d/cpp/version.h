// Which libtorch this is compiled for, and which the program has loaded.
#pragma once
#include <cstdint>

namespace trainloop_c10d {

// As TORCH_ABI_VERSION: one byte each for major, minor and patch number, from the highest.
uint64_t compiled_version();
uint64_t loaded_version();

}  // namespace trainloop_c10d
