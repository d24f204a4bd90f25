#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"

namespace quern::cli {
namespace {

int run_devices(bool json) {
  const DeviceList list = devices();
  if (json) {
    Json all;
    all["devices"] = Json::array();
    for (const DeviceInfo& d : list.devices) {
      all["devices"].push_back({{"id", d.id},
                                {"name", d.name},
                                {"uuid", d.uuid},
                                {"target", d.target},
                                {"memory_bytes", d.memory_bytes},
                                {"l2_bytes", d.l2_bytes},
                                {"processors", d.processors},
                                {"bandwidth", d.rates.bandwidth},
                                {"f32", d.rates.f32}});
    }
    all["why_no_gpu"] = list.why_no_gpu;
    all["targets"] = targets();
    print_json(all);
    return 0;
  }
  Table table({"device", "name", "target", "memory", "processors"});
  for (const DeviceInfo& d : list.devices) {
    table.add({d.id, d.name, d.target, bytes_text(static_cast<double>(d.memory_bytes)), std::to_string(d.processors)});
  }
  fmt::print("{}", table.text());
  fmt::print(
      "simulator: --device sim (sim:sm_90a, or another GPU architecture) runs, checks and counts GPU kernels on the "
      "host\n");
  if (!list.why_no_gpu.empty()) fmt::print("no GPU: {}\n", list.why_no_gpu);
  return 0;
}

}  // namespace

void add_devices(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("devices", "the devices to run on");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "print one JSON document instead of text");
  command->callback([json, &code] { code = run_devices(*json); });
}

}  // namespace quern::cli
