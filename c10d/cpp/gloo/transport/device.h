// Held by shared pointer in ProcessGroupGloo::Options, made by ProcessGroupGloo::createDeviceForHostname.
#pragma once

namespace gloo::transport {
class Device;
class UnboundBuffer;
}  // namespace gloo::transport
