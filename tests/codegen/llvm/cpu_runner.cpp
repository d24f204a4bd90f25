#include "tests/codegen/llvm/cpu_runner.h"

#include <llvm/ExecutionEngine/Orc/ExecutionUtils.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "codegen/llvm/llvm.h"
#include "ir/shared_layout.h"

namespace quern::codegen {

namespace orc = llvm::orc;

struct CpuRunner::Session {
  Session()
      : session(llvm::cantFail(orc::SelfExecutorProcessControl::Create())),
        linker(session, session.getExecutorProcessControl().getMemMgr()),
        library(session.createBareJITDylib("test")) {
    for (const char* name : {"libmvec.so.1", "libm.so.6", "libc.so.6", "libgcc_s.so.1"}) {
      library.addGenerator(llvm::cantFail(orc::DynamicLibrarySearchGenerator::Load(name, '\0')));
    }
  }
  ~Session() { llvm::cantFail(session.endSession()); }

  orc::ExecutionSession session;
  orc::ObjectLinkingLayer linker;
  orc::JITDylib& library;
};

CpuRunner::CpuRunner(const ir::Kernel& kernel, const Target& target)
    : session_(std::make_unique<Session>()), scratch_bytes_(ir::shared_layout(kernel).bytes) {
  const ObjectCode code = compile_cpu(std::span(&kernel, 1), target);
  const llvm::StringRef bytes(reinterpret_cast<const char*>(code.bytes.data()), code.bytes.size());
  llvm::cantFail(session_->linker.add(session_->library, llvm::MemoryBuffer::getMemBufferCopy(bytes)));
  auto symbol = session_->session.lookup({&session_->library}, session_->session.intern(kernel.name));
  if (!symbol) throw InternalError(llvm::toString(symbol.takeError()));
  function_ = symbol->getAddress().toPtr<CpuKernelFunction>();
}

CpuRunner::~CpuRunner() = default;

void CpuRunner::run(std::vector<void*> buffers, std::vector<std::int64_t> scalars,
                    std::array<std::int64_t, 3> grid) const {
  const std::int64_t size = (scratch_bytes_ / kCpuScratchAlignment + 1) * kCpuScratchAlignment;
  const std::unique_ptr<void, decltype(&std::free)> scratch(
      std::aligned_alloc(kCpuScratchAlignment, static_cast<std::size_t>(size)), std::free);
  const CpuKernelArguments arguments{.buffers = buffers.data(),
                                     .scalars = scalars.data(),
                                     .begin = 0,
                                     .end = grid[0] * grid[1] * grid[2],
                                     .grid = {grid[0], grid[1], grid[2]},
                                     .scratch = scratch.get()};
  function_(&arguments);
}

std::vector<Target> runnable_targets() {
  const Target host = host_cpu_target();
  std::vector<Target> targets = {host};
  bool below = false;
  for (const std::string& text : known_targets()) {
    const Target target = parse_target(text);
    if (target.kind != TargetKind::cpu) continue;
    if (below) targets.push_back(target);
    below = below || target.arch == host.arch;
  }
  return targets;
}

std::string test_name(const Target& target) {
  std::string name = target.arch;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

int native_lanes(const Target& target) { return target.cpu.vector_bytes / 4; }

ir::Kernel thread_kernel(std::string name, int lanes, std::vector<ir::Expr> grid) {
  ir::Kernel kernel;
  kernel.name = std::move(name);
  kernel.form = ir::Form::thread;
  kernel.lanes = lanes;
  kernel.lane = ir::make_var("lane");
  kernel.warp = ir::make_var("warp");
  for (std::size_t i = 0; i < grid.size(); ++i) kernel.block.push_back(ir::make_var("block" + std::to_string(i)));
  kernel.grid = std::move(grid);
  return kernel;
}

ir::BufferRef global_buffer(std::string name, DType dtype) {
  return ir::make_global(ir::make_tensor(std::move(name), dtype, {ir::Expr(std::int64_t{1} << 40)}));
}

ir::BufferRef fragment(std::string name, DType dtype, std::int64_t size) {
  return ir::make_buffer(std::move(name), dtype, ir::Space::fragment, ir::row_major(std::span(&size, 1)));
}

ir::BufferRef shared_buffer(std::string name, DType dtype, std::int64_t size) {
  return ir::make_buffer(std::move(name), dtype, ir::Space::shared, ir::row_major(std::span(&size, 1)), 64);
}

GuardedMemory::GuardedMemory(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t usable = (bytes + page - 1) / page * page;
  mapped_ = usable + 2 * page;
  pages_ = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ensure(pages_ != MAP_FAILED, "pages can be mapped");
  char* first = static_cast<char*>(pages_) + page;
  ensure(mprotect(first, usable, PROT_READ | PROT_WRITE) == 0, "pages can be opened");
  data_ = first + (usable - bytes);
}

GuardedMemory::~GuardedMemory() { munmap(pages_, mapped_); }

}  // namespace quern::codegen
