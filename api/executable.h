#pragma once
// What an Executable holds.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/plan.h"
#include "base/target.h"
#include "pipeline/compile.h"
#include "pipeline/schedule_program.h"
#include "quern/compile.h"
#include "runtime/device.h"

namespace quern {

namespace api {

// How a file with one begins.
inline constexpr std::string_view kExecutableMagic = "QUERNEXE";

// A program compiled for a target, wherever it comes from: compiled now, out of the store, or out of a file.
struct Compiled {
  Program program;
  Target target;
  std::string schedule;              // of the kernels of the partition, separated by "; "
  std::vector<std::string> origins;  // of each of these schedules
  Plan plan;
  runtime::Binary binary;
  std::vector<pipeline::Resources> resources;  // where they are known
  pipeline::CompileTimes times;
  bool from_store = false;
};

// Schedules as one text, separated by "; ".
std::string joined(const std::vector<std::string>& schedules);

// The kernels that a program was scheduled as, and the schedules of the partition's kernels that they come from.
struct Scheduled {
  pipeline::ScheduledProgram program;
  std::vector<std::string> schedules;
};

Scheduled schedule_program(const Program& program, const Target& target, const pipeline::ChooseSchedule& choose);
// With the schedules of `text`, separated by ';'. Error where there are more than kernels.
Scheduled schedule_program(const Program& program, const Target& target, std::string_view text);

// Another legal schedule of the same program, to compare results with; nothing where there is none.
std::optional<std::string> another_schedule(const Compiled& compiled);

// An artifact's file (ahead of time): see the layout in artifact_file.cpp. Errors name the path.
void write_artifact(const Compiled& compiled, const std::string& path);
Compiled read_artifact(const std::string& path);

// What nvdisasm or cuobjdump prints. Error saying where they were looked for.
std::string disassemble(const std::vector<std::byte>& cubin);

// One stage of a compiled program.
std::string emit(const Compiled& compiled, Stage stage, const std::string& nvrtc);

// Costs and resources; numbers that need sizes are -1 where one is missing.
Report report(const Compiled& compiled, const Sizes& sizes);

}  // namespace api

class Executable::State {
 public:
  // `device` is null where it was compiled for a target alone.
  State(api::Compiled what, runtime::Device* on, std::string nvrtc_path)
      : compiled(std::move(what)), device(on), nvrtc(std::move(nvrtc_path)) {
    if (device != nullptr) loaded = device->load(compiled.plan, compiled.binary);
  }

  // Error where there is no device.
  runtime::LoadedProgram& program() const;

  api::Compiled compiled;
  runtime::Device* device;
  std::string nvrtc;
  std::unique_ptr<runtime::LoadedProgram> loaded;
};

}  // namespace quern
