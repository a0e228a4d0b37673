// Named by ProcessGroupGloo.hpp; nothing of it is needed.
#pragma once
