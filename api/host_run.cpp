// Running a compiled program on host arrays.

#include <algorithm>
#include <memory>

#include "api/executable.h"
#include "api/host.h"
#include "api/simulation.h"
#include "base/error.h"
#include "base/strided_layout.h"
#include "quern/host.h"

namespace quern {
namespace {

std::size_t bytes_of(const HostArray& array) { return array.data.size(); }

StridedLayout layout_of(const ir::Tensor& tensor, const api::SymbolValues& symbols) {
  std::vector<std::int64_t> strides;
  for (const ir::Expr& stride : ir::element_strides(tensor)) strides.push_back(symbols.value(stride));
  return {symbols.shape(tensor), std::move(strides)};
}

// One argument on the device, laid out as the program says.
class DeviceArgument {
 public:
  DeviceArgument(const Device& device, const ir::Tensor& tensor, const api::SymbolValues& symbols)
      : tensor_(&tensor),
        layout_(layout_of(tensor, symbols)),
        buffer_(device, static_cast<std::size_t>(layout_.size() * element_bytes())) {
    if (!dense()) image_.resize(buffer_.size());
  }

  // Error where the array has another length, or elements differ that share an address.
  void upload(const Device& device, const HostArray& array) {
    api::require_data(array, "input " + tensor_->name);
    if (dense()) {
      device.upload(buffer_.data(), array.data.data(), bytes_of(array));
      return;
    }
    each([&](std::size_t dense, std::size_t strided) { copy(&image_[strided], &array.data[dense]); });
    each([&](std::size_t dense, std::size_t strided) {
      if (std::equal(&image_[strided], &image_[strided] + element_bytes(), &array.data[dense])) return;
      fail(
          "element {} of input {} shares its address with another by the strides ({}), but differs from it; make them "
          "equal",
          dense / static_cast<std::size_t>(element_bytes()), tensor_->name, fmt::join(layout_.strides(), ", "));
    });
    device.upload(buffer_.data(), image_.data(), image_.size());
  }

  HostArray download(const Device& device) {
    HostArray array(tensor_->dtype, layout_.shape());
    if (dense()) {
      device.download(array.data.data(), buffer_.data(), bytes_of(array));
      return array;
    }
    device.download(image_.data(), buffer_.data(), image_.size());
    each([&](std::size_t dense, std::size_t strided) { copy(&array.data[dense], &image_[strided]); });
    return array;
  }

  // Outputs are poisoned, so that what a kernel leaves out shows.
  void poison(const Device& device) const { device.fill(buffer_.data(), 0xff, buffer_.size()); }

  void* pointer() const { return static_cast<std::byte*>(buffer_.data()) + layout_.origin() * element_bytes(); }

 private:
  bool dense() const { return tensor_->strides.empty(); }
  std::int64_t element_bytes() const { return byte_size(tensor_->dtype); }
  void copy(std::byte* to, const std::byte* from) const { std::copy_n(from, element_bytes(), to); }

  // Calls `function` with the byte offsets of each element in a dense array and in the device's image.
  template <typename F>
  void each(const F& function) const {
    const std::int64_t bytes = element_bytes();
    layout_.each([&](std::int64_t number, std::int64_t place) {
      function(static_cast<std::size_t>(number * bytes), static_cast<std::size_t>(place * bytes));
    });
  }

  const ir::Tensor* tensor_;
  StridedLayout layout_;
  std::vector<std::byte> image_;  // on the host, of what is not dense
  DeviceBuffer buffer_;
};

double median(std::vector<double> samples) {
  if (samples.empty()) return 0;
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

// A loaded program for one run alone: what it keeps of const arguments goes by their addresses, which a later run's
// arguments may have.
std::unique_ptr<runtime::LoadedProgram> load_own(const Executable& executable) {
  const Executable::State& state = executable.state();
  return state.device->load(state.compiled.plan, state.compiled.binary);
}

// The arguments of one program on one device, and what runs programs on them.
class HostRun {
 public:
  HostRun(const Executable& executable, const Device& device, std::span<const HostArray> inputs, const Sizes& sizes)
      : program_(executable.program().ir()), device_(device), inputs_(inputs), symbols_(program_, sizes) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      arguments_.emplace_back(device_, *program_.inputs[i], symbols_);
      arguments_.back().upload(device_, inputs[i]);
    }
    for (const DeviceArgument& argument : arguments_) pointers_.push_back(argument.pointer());
    for (const ir::Output& output : program_.outputs) {
      if (output.updates) {
        places_.push_back(input_of(output));
      } else {
        places_.push_back(arguments_.size());
        arguments_.emplace_back(device_, *output.tensor, symbols_);
      }
      pointers_.push_back(arguments_[places_.back()].pointer());
    }
  }

  const api::SymbolValues& symbols() const { return symbols_; }

  std::vector<HostArray> run(runtime::LoadedProgram& program) {
    for (std::size_t i = 0; i < program_.outputs.size(); ++i) start(i);
    const DeviceBuffer workspace(device_, program.workspace_bytes(symbols_.values()));
    program.launch(pointers_, symbols_.values(), nullptr, workspace.data());
    device_.synchronize();
    std::vector<HostArray> outputs;
    outputs.reserve(program_.outputs.size());
    for (const std::size_t place : places_) outputs.push_back(arguments_[place].download(device_));
    return outputs;
  }

  std::vector<double> measure(runtime::LoadedProgram& program, const RunOptions& options) {
    const DeviceBuffer workspace(device_, program.workspace_bytes(symbols_.values()));
    program.prepare(pointers_, symbols_.values(), nullptr);
    int launched = 0;
    bool interrupted = false;
    std::vector<double> seconds = device_.measure(
        [&](void* stream) {
          interrupted = interrupted || (options.interrupted && options.interrupted());
          if (interrupted) return;
          program.launch(pointers_, symbols_.values(), stream, workspace.data());
          ++launched;
        },
        options.warmup, options.samples);
    seconds.resize(static_cast<std::size_t>(std::max(launched - options.warmup, 0)));
    return seconds;
  }

 private:
  std::size_t input_of(const ir::Output& output) const {
    const auto updated = std::find(program_.inputs.begin(), program_.inputs.end(), output.updates);
    return static_cast<std::size_t>(updated - program_.inputs.begin());
  }

  void start(std::size_t output) {
    DeviceArgument& argument = arguments_[places_[output]];
    if (program_.outputs[output].updates) {
      argument.upload(device_, inputs_[places_[output]]);
    } else {
      argument.poison(device_);
    }
  }

  const ir::Program& program_;
  Device device_;
  std::span<const HostArray> inputs_;
  api::SymbolValues symbols_;
  std::vector<DeviceArgument> arguments_;
  std::vector<std::size_t> places_;  // of the outputs, among the arguments: what they update, or their own
  std::vector<void*> pointers_;
};

// The outputs by another schedule, where the reference does not compute every element.
std::vector<HostArray> by_another_schedule(const Executable& executable, HostRun& run) {
  const std::optional<std::string> schedule = api::another_schedule(executable.state().compiled);
  if (!schedule) return {};
  const Executable other = compile(executable.program(), {.device = executable.device()->info().id,
                                                          .schedule = *schedule,
                                                          .use_store = false,
                                                          .nvrtc = executable.state().nvrtc});
  return run.run(*load_own(other));
}

}  // namespace

RunReport run_host(const Executable& executable, std::span<const HostArray> inputs, const Sizes& sizes,
                   const RunOptions& options) {
  const std::optional<Device> device = executable.device();
  if (!device) fail("{} is compiled for {} without a device", executable.program().name(), executable.target());
  if (options.warmup < 0 || options.samples < 0) {
    fail("{} launches to warm up and {} samples; give 0 or more of each", options.warmup, options.samples);
  }
  const Sizes all = infer_sizes(executable.program(), inputs, sizes);
  HostRun run(executable, *device, inputs, all);
  const ir::Program& program = executable.program().ir();
  api::check_inputs(program, run.symbols(), inputs);
  const bool whole = options.check_all && api::checks_everything(program, run.symbols());
  std::vector<api::Expected> expected;
  if (options.check) expected = api::expect_outputs(program, run.symbols(), inputs, options.seed, whole);
  const std::unique_ptr<runtime::LoadedProgram> loaded = load_own(executable);
  RunReport report;
  report.outputs = run.run(*loaded);
  if (const auto simulated = loaded->simulation()) report.simulation = api::simulation_of(*simulated);
  if (options.check) {
    report.checks = api::compare_outputs(program, run.symbols(), inputs, report.outputs, expected,
                                         whole ? std::vector<HostArray>() : by_another_schedule(executable, run));
  }
  if (options.samples > 0) report.samples = run.measure(*loaded, options);
  report.seconds = median(report.samples);
  report.report = executable.report(all);
  return report;
}

}  // namespace quern
