#include "runtime/cpu/object.h"

#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/ExecutionUtils.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/Support/MemoryBuffer.h>

#include <atomic>

#include "base/error.h"

namespace quern::runtime::cpu {
namespace {

namespace orc = llvm::orc;

template <typename T>
T checked(llvm::Expected<T> result, const std::string& what) {
  if (!result) fail("{}: {}", what, llvm::toString(result.takeError()));
  return std::move(*result);
}

// Why linking on this thread failed, where a lookup itself only says that it did.
std::string& reported() {
  thread_local std::string text;
  return text;
}

// The one session of the process. It is never destroyed: code may run until the very end.
class Session {
 public:
  static Session& instance() {
    static Session* const session = new Session;
    return *session;
  }

  // A space of names for one object, that sees the system's libraries.
  orc::JITDylib& open() {
    orc::JITDylib& library = session_.createBareJITDylib("object" + std::to_string(count_++));
    library.addToLinkOrder(system_);
    return library;
  }

  void close(orc::JITDylib& library) {
    if (llvm::Error error = session_.removeJITDylib(library)) session_.reportError(std::move(error));
  }

  orc::ExecutionSession& session() { return session_; }
  orc::ObjectLinkingLayer& linker() { return linker_; }

 private:
  Session()
      : session_(
            checked(orc::SelfExecutorProcessControl::Create(nullptr, std::make_unique<orc::InPlaceTaskDispatcher>()),
                    "starting LLVM's linker")),
        linker_(session_, session_.getExecutorProcessControl().getMemMgr()),
        system_(session_.createBareJITDylib("system")) {
    // Linking happens in the thread that looks a kernel up.
    session_.setErrorReporter([](llvm::Error error) { reported() = llvm::toString(std::move(error)); });
    for (const char* name : {"libmvec.so.1", "libm.so.6", static_cast<const char*>(nullptr)}) {
      auto found = name ? orc::DynamicLibrarySearchGenerator::Load(name, '\0')
                        : orc::DynamicLibrarySearchGenerator::GetForCurrentProcess('\0');
      if (found) {
        system_.addGenerator(std::move(*found));
      } else {
        llvm::consumeError(found.takeError());  // what a kernel misses of it is named when it is loaded
      }
    }
  }

  orc::ExecutionSession session_;
  orc::ObjectLinkingLayer linker_;
  orc::JITDylib& system_;
  std::atomic<std::uint64_t> count_{0};
};

}  // namespace

struct LoadedObject::State {
  std::string name;
  orc::JITDylib& library;
  ~State() { Session::instance().close(library); }
};

LoadedObject::LoadedObject(std::span<const std::byte> bytes, const std::string& name) {
  Session& session = Session::instance();
  state_.reset(new State{name, session.open()});
  const llvm::StringRef text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  auto buffer = llvm::MemoryBuffer::getMemBufferCopy(text, name);
  if (llvm::Error error = session.linker().add(state_->library, std::move(buffer))) {
    fail("the CPU code of '{}' ({} bytes) can't be loaded: {}", name, bytes.size(), llvm::toString(std::move(error)));
  }
}

LoadedObject::LoadedObject(LoadedObject&&) noexcept = default;
LoadedObject::~LoadedObject() = default;

CpuKernelFunction LoadedObject::function(const std::string& kernel) const {
  orc::ExecutionSession& session = Session::instance().session();
  reported().clear();
  auto symbol = session.lookup({&state_->library}, session.intern(kernel));
  if (!symbol) {
    const std::string failure = llvm::toString(symbol.takeError());
    fail("kernel '{}' of '{}' can't be linked on this machine: {}; compile it here again", kernel, state_->name,
         reported().empty() ? failure : reported());
  }
  return symbol->getAddress().toPtr<CpuKernelFunction>();
}

}  // namespace quern::runtime::cpu
