#include "api/executable.h"

#include "api/device.h"
#include "api/host.h"
#include "base/error.h"
#include "ir/bind.h"
#include "runtime/simulator/report.h"

namespace quern {

runtime::LoadedProgram& Executable::State::program() const {
  if (loaded == nullptr) [[unlikely]] {
    fail("{} is compiled for {} without a device; save it, and load it where one is", compiled.program.name(),
         to_text(compiled.target));
  }
  return *loaded;
}

void Executable::launch(std::span<void* const> arguments, std::span<const std::int64_t> sizes, void* stream,
                        void* workspace) const {
  runtime::LoadedProgram& program = state_->program();
  if (reinterpret_cast<std::uintptr_t>(workspace) % kWorkspaceAlignment != 0) [[unlikely]] {
    fail("the workspace of '{}' at {} is not aligned to {} bytes", this->program().name(), fmt::ptr(workspace),
         kWorkspaceAlignment);
  }
  program.launch(arguments, sizes, stream, workspace);
  const auto simulated = program.simulation();
  if (simulated && !simulated->clean()) fail("{}", findings_text(*simulated));
}

void Executable::prepare(std::span<void* const> arguments, std::span<const std::int64_t> sizes, void* stream) const {
  state_->program().prepare(arguments, sizes, stream);
}

void Executable::forget_constants() const { state_->program().forget_constants(); }

std::size_t Executable::workspace_bytes(std::span<const std::int64_t> sizes) const {
  return state_->program().workspace_bytes(sizes);
}

std::vector<std::int64_t> Executable::size_values(const Sizes& sizes) const {
  for (const auto& [name, size] : sizes) ir::require_symbol(program().ir(), name);
  const api::SymbolValues symbols(program().ir(), sizes);
  return {symbols.values().begin(), symbols.values().end()};
}

const Program& Executable::program() const { return state_->compiled.program; }

std::string Executable::schedule() const { return state_->compiled.schedule; }

std::string Executable::target() const { return to_text(state_->compiled.target); }

std::optional<Device> Executable::device() const {
  if (state_->device == nullptr) return std::nullopt;
  return Device(*state_->device);
}

std::string Executable::emit(Stage stage) const { return api::emit(state_->compiled, stage, state_->nvrtc); }

Report Executable::report(const Sizes& sizes) const {
  Report report = api::report(state_->compiled, sizes);
  if (state_->loaded == nullptr || report.operations < 0) return report;
  report.workspace_bytes = static_cast<std::int64_t>(workspace_bytes(size_values(sizes)));
  return report;
}

void Executable::save(const std::string& path) const { api::write_artifact(state_->compiled, path); }

Executable Executable::load(const std::string& path, std::string_view device) {
  api::Compiled compiled = api::read_artifact(path);
  const std::string kind = compiled.target.kind == TargetKind::sim ? to_text(compiled.target)
                           : compiled.target.is_gpu()              ? "cuda"
                                                                   : "cpu";
  runtime::Device& on = api::open_device(device.empty() ? kind : device);
  return Executable(std::make_shared<const State>(std::move(compiled), &on, ""));
}

}  // namespace quern
