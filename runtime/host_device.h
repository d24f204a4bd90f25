#pragma once
// A device whose memory is the host's, whose streams are none and whose calls return when the work is done.

#include <utility>

#include "runtime/device.h"

namespace quern::runtime {

class HostDevice : public Device {
 public:
  explicit HostDevice(DeviceInfo info) : info_(std::move(info)) {}

  const DeviceInfo& info() const override { return info_; }

  void* allocate(std::size_t bytes) override;
  void release(void* memory) noexcept override;
  void upload(void* to, const void* from, std::size_t bytes, void* stream) override;
  void download(void* to, const void* from, std::size_t bytes, void* stream) override;
  void fill(void* memory, std::uint8_t value, std::size_t bytes, void* stream) override;

  void* create_stream() override { return nullptr; }
  void destroy_stream(void*) noexcept override {}
  void synchronize(void*) override {}

 private:
  DeviceInfo info_;
};

}  // namespace quern::runtime
