#pragma once
// What the GPU tests share: a device or a reason to skip, programs from CUDA text, and host copies.

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "runtime/cuda/nvrtc.h"
#include "runtime/device.h"

namespace quern::runtime {

class Gpu : public testing::Test {
 protected:
  void SetUp() override {
    try {
      device_ = &open_device("cuda");
      cuda::Nvrtc::get();
    } catch (const Error& e) {
      GTEST_SKIP() << e.what();
    }
  }

  Device& device() const { return *device_; }

  std::unique_ptr<LoadedProgram> load(Plan plan, const std::string& source) const {
    plan.target = to_text(device().info().target);
    const auto code = cuda::Nvrtc::get().compile(source, plan.name + ".cu", device().info().target.arch);
    return device().load(plan, {plan.target, code.cubin});
  }

  Buffer upload(const std::vector<float>& values) const {
    Buffer buffer(device(), values.size() * sizeof(float));
    device().upload(buffer.data(), values.data(), buffer.size(), nullptr);
    return buffer;
  }

  std::vector<float> download(const Buffer& buffer) const {
    std::vector<float> values(buffer.size() / sizeof(float));
    device().download(values.data(), buffer.data(), buffer.size(), nullptr);
    return values;
  }

  // first, first + 1, ...
  static std::vector<float> counting(std::size_t count, float first) {
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), first);
    return values;
  }

 private:
  Device* device_ = nullptr;
};

}  // namespace quern::runtime
