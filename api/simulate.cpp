// The simulator behind the public face.

#include <fmt/ranges.h>

#include <set>
#include <string>
#include <vector>

#include "api/simulation.h"
#include "autotune/random_inputs.h"
#include "base/error.h"
#include "codegen/cuda/module.h"
#include "compiler/expand_tiles.h"
#include "compiler/hoist.h"
#include "compiler/peel_checks.h"
#include "ir/intrinsics.h"
#include "ir/kernel_parser.h"
#include "ir/kernel_rewrite.h"
#include "ir/kernel_verify.h"
#include "quern/program.h"
#include "quern/simulation.h"
#include "runtime/device.h"
#include "runtime/simulator/kernel_run.h"

namespace quern {
namespace api {

Simulation simulation_of(const runtime::simulator::Report& report) {
  return {.findings = static_cast<std::int64_t>(report.findings.size()),
          .findings_text = findings_text(report),
          .counts_text = counts_text(report),
          .json = to_json(report)};
}

namespace {

// What a user's kernel program makes of `body` fail is the user's to mend.
template <typename Body>
auto on_users_kernel(const Body& body) {
  try {
    return body();
  } catch (const InternalError& e) {
    fail("{}", e.message());
  }
}

bool is_tensor_program(std::string_view text) {
  try {
    Program::parse(text);
    return true;
  } catch (const Error&) {
    return false;
  }
}

ir::Kernel parse(std::string_view text) {
  try {
    return ir::parse_kernel(text);
  } catch (const Error&) {
    if (!is_tensor_program(text)) throw;
    fail(
        "this is a tensor program, and kernel programs are simulated here; run it on a simulated device (quern run "
        "--target sim:sm_90a), or simulate what it compiles to (quern compile --target sim:sm_90a --emit tile)");
  }
}

ir::Kernel thread_form(std::string_view text) {
  ir::Kernel kernel = parse(text);
  ir::verify(kernel);
  if (kernel.form == ir::Form::thread) return kernel;
  return compiler::hoist(compiler::peel_checks(compiler::expand_tiles(kernel)));
}

struct Written {
  std::set<const ir::Tensor*> stored, added;
};

// The parameters that the kernel writes, and those of them that it adds to.
Written written_by(const ir::Kernel& kernel) {
  Written written;
  ir::visit(kernel.body, [&](const ir::Stmt& stmt, const ir::Enclosing&) {
    if (const auto* store = ir::get_if<ir::Store>(stmt)) {
      (store->atomic ? written.added : written.stored).insert(store->buffer.get());
    } else if (const auto* move = ir::get_if<ir::Move>(stmt)) {
      written.stored.insert(move->to.get());
    } else if (const auto* intrinsic = ir::get_if<ir::Intrinsic>(stmt)) {
      const bool adds = intrinsic->id == ir::IntrinsicId::tma_reduce_add;
      if (adds || intrinsic->id == ir::IntrinsicId::tma_store) {
        const auto map = static_cast<std::size_t>(*ir::as_integer(intrinsic->args[0]));
        (adds ? written.added : written.stored).insert(kernel.maps[map].buffer.get());
      }
    }
    return true;
  });
  return written;
}

// The values of the kernel's symbols, in their order.
std::vector<std::int64_t> values_of(const ir::Kernel& kernel, const Sizes& sizes) {
  std::vector<std::int64_t> values;
  std::set<std::string> known;
  for (const ir::VarRef& symbol : kernel.symbols) {
    const auto size = sizes.find(symbol->name);
    if (size == sizes.end()) {
      fail("symbol {} of {} has no value; give it one, as in -D {}=1024 or Sizes{{{{\"{}\", 1024}}}}", symbol->name,
           kernel.name, symbol->name, symbol->name);
    }
    values.push_back(size->second);
    known.insert(symbol->name);
  }
  for (const auto& [name, size] : sizes) {
    if (known.contains(name)) continue;
    fail("kernel {} has no symbol {}; its symbols: {}", kernel.name, name,
         known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
  }
  return values;
}

}  // namespace
}  // namespace api

Simulation simulate(std::string_view text, const Sizes& sizes, const SimulateOptions& options) {
  namespace simulator = runtime::simulator;
  const ir::Kernel kernel = api::on_users_kernel([&] { return api::thread_form(text); });
  if (options.target != "sim" && !options.target.starts_with("sim:")) {
    fail("target '{}' is no simulator; kernel programs run on one, such as sim:sm_90a", options.target);
  }
  runtime::Device& device = runtime::open_device(options.target);
  const Target& target = device.info().target;
  const std::vector<std::int64_t> symbols = api::values_of(kernel, sizes);
  const api::Written written = api::written_by(kernel);
  std::vector<runtime::Buffer> memory;
  std::vector<simulator::KernelArgument> arguments;
  for (std::size_t p = 0; p < kernel.params.size(); ++p) {
    const ir::Buffer* param = kernel.params[p].get();
    const bool stored = written.stored.contains(param), added = written.added.contains(param);
    const bool unwritten = stored && !added;
    const auto bytes = static_cast<std::size_t>(simulator::parameter_bytes(kernel, p, symbols));
    const runtime::Buffer& buffer = memory.emplace_back(device, bytes);
    if (stored || added) {
      device.fill(buffer.data(), added ? 0 : 0xff, bytes, nullptr);
    } else {
      ir::Program one;
      one.inputs = {
          ir::make_tensor(param->name, param->dtype, {static_cast<std::int64_t>(bytes) / byte_size(param->dtype)})};
      device.upload(buffer.data(), autotune::random_inputs(one, options.seed + p)[0].data(), bytes, nullptr);
    }
    arguments.push_back({{static_cast<std::byte*>(buffer.data()), bytes}, !unwritten, unwritten});
  }
  const codegen::CudaModule module =
      api::on_users_kernel([&] { return codegen::print_module(std::vector<ir::Kernel>{kernel}, target); });
  return api::simulation_of(
      simulator::run_kernel(kernel, symbols, arguments, target, {options.checks, options.seed}, module.lines.at(0)));
}

}  // namespace quern
