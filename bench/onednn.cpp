// oneDNN: matmul and convolution of f32 on the CPU. Its second version's C API; built where its headers are.

#include "bench/peer.h"

#if QUERN_HAS_PEER
#include <oneapi/dnnl/dnnl.h>
#endif

#include "base/error.h"

#if defined(DNNL_VERSION_MAJOR) && DNNL_VERSION_MAJOR == 2

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>

#include "bench/library.h"

namespace quern::bench {
namespace {

using Dims = std::vector<std::int64_t>;

struct Functions {
  decltype(&dnnl_version) version;
  decltype(&dnnl_engine_create) engine_create;
  decltype(&dnnl_engine_destroy) engine_destroy;
  decltype(&dnnl_stream_create) stream_create;
  decltype(&dnnl_stream_destroy) stream_destroy;
  decltype(&dnnl_stream_wait) stream_wait;
  decltype(&dnnl_memory_desc_init_by_strides) by_strides;
  decltype(&dnnl_memory_desc_init_by_tag) by_tag;
  decltype(&dnnl_memory_desc_equal) equal;
  decltype(&dnnl_memory_create) memory_create;
  decltype(&dnnl_memory_destroy) memory_destroy;
  decltype(&dnnl_memory_set_data_handle) set_data;
  decltype(&dnnl_matmul_desc_init) matmul_init;
  decltype(&dnnl_dilated_convolution_forward_desc_init) convolution_init;
  decltype(&dnnl_primitive_desc_create) description_create;
  decltype(&dnnl_primitive_desc_destroy) description_destroy;
  decltype(&dnnl_primitive_desc_query) query;
  decltype(&dnnl_primitive_desc_query_md) query_memory;
  decltype(&dnnl_reorder_primitive_desc_create) reorder_create;
  decltype(&dnnl_primitive_create) primitive_create;
  decltype(&dnnl_primitive_destroy) primitive_destroy;
  decltype(&dnnl_primitive_execute) execute;
};

void check(dnnl_status_t status, std::string_view what) {
  if (status != dnnl_success) fail("onednn: {} failed with status {}", what, static_cast<int>(status));
}

// The library with an engine and a stream.
struct OneDnn {
  Library library = Library::open("onednn", "libdnnl.so.2", "Install libdnnl2");
  Functions f{};
  dnnl_engine_t engine = nullptr;
  dnnl_stream_t stream = nullptr;

  OneDnn() {
    library.find(f.version, "dnnl_version");
    library.find(f.engine_create, "dnnl_engine_create");
    library.find(f.engine_destroy, "dnnl_engine_destroy");
    library.find(f.stream_create, "dnnl_stream_create");
    library.find(f.stream_destroy, "dnnl_stream_destroy");
    library.find(f.stream_wait, "dnnl_stream_wait");
    library.find(f.by_strides, "dnnl_memory_desc_init_by_strides");
    library.find(f.by_tag, "dnnl_memory_desc_init_by_tag");
    library.find(f.equal, "dnnl_memory_desc_equal");
    library.find(f.memory_create, "dnnl_memory_create");
    library.find(f.memory_destroy, "dnnl_memory_destroy");
    library.find(f.set_data, "dnnl_memory_set_data_handle");
    library.find(f.matmul_init, "dnnl_matmul_desc_init");
    library.find(f.convolution_init, "dnnl_dilated_convolution_forward_desc_init");
    library.find(f.description_create, "dnnl_primitive_desc_create");
    library.find(f.description_destroy, "dnnl_primitive_desc_destroy");
    library.find(f.query, "dnnl_primitive_desc_query");
    library.find(f.query_memory, "dnnl_primitive_desc_query_md");
    library.find(f.reorder_create, "dnnl_reorder_primitive_desc_create");
    library.find(f.primitive_create, "dnnl_primitive_create");
    library.find(f.primitive_destroy, "dnnl_primitive_destroy");
    library.find(f.execute, "dnnl_primitive_execute");
    check(f.engine_create(&engine, dnnl_cpu, 0), "creating an engine");
    check(f.stream_create(&stream, engine, dnnl_stream_default_flags), "creating a stream");
  }
  OneDnn(const OneDnn&) = delete;
  OneDnn& operator=(const OneDnn&) = delete;
  ~OneDnn() {
    f.stream_destroy(stream);
    f.engine_destroy(engine);
  }

  dnnl_memory_desc_t memory(const Dims& dims, const Dims& strides) const {
    dnnl_memory_desc_t result;
    check(f.by_strides(&result, static_cast<int>(dims.size()), dims.data(), dnnl_f32, strides.data()),
          "describing memory");
    return result;
  }

  // Its layout is the primitive's choice.
  dnnl_memory_desc_t any_layout(const Dims& dims) const {
    dnnl_memory_desc_t result;
    check(f.by_tag(&result, static_cast<int>(dims.size()), dims.data(), dnnl_f32, dnnl_format_tag_any),
          "describing memory");
    return result;
  }
};

using Shared = std::shared_ptr<const OneDnn>;

// A tensor on memory that is given call by call.
class Memory {
 public:
  Memory(Shared dnn, const dnnl_memory_desc_t& description) : dnn_(std::move(dnn)) {
    check(dnn_->f.memory_create(&memory_, &description, dnn_->engine, DNNL_MEMORY_NONE), "creating memory");
  }
  // With bytes of its own.
  static std::unique_ptr<Memory> owning(const Shared& dnn, const dnnl_memory_desc_t& description) {
    auto result = std::make_unique<Memory>(dnn, description);
    dnn->f.memory_destroy(result->memory_);
    check(dnn->f.memory_create(&result->memory_, &description, dnn->engine, DNNL_MEMORY_ALLOCATE), "creating memory");
    return result;
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { dnn_->f.memory_destroy(memory_); }

  dnnl_memory_t get() const { return memory_; }
  dnnl_memory_t at(void* data) const {
    check(dnn_->f.set_data(memory_, data), "setting a pointer");
    return memory_;
  }

 private:
  Shared dnn_;
  dnnl_memory_t memory_ = nullptr;
};

// What runs, from its description; takes the description over.
class Primitive {
 public:
  Primitive(Shared dnn, dnnl_primitive_desc_t description) : dnn_(std::move(dnn)), description_(description) {
    check(dnn_->f.primitive_create(&primitive_, description_), "creating a primitive");
  }
  Primitive(const Primitive&) = delete;
  Primitive& operator=(const Primitive&) = delete;
  ~Primitive() {
    dnn_->f.primitive_destroy(primitive_);
    dnn_->f.description_destroy(description_);
  }

  void run(std::span<const dnnl_exec_arg_t> arguments) const {
    check(dnn_->f.execute(primitive_, dnn_->stream, static_cast<int>(arguments.size()), arguments.data()), "running");
    check(dnn_->f.stream_wait(dnn_->stream), "waiting");
  }
  const dnnl_memory_desc_t& weights() const { return *dnn_->f.query_memory(description_, dnnl_query_weights_md, 0); }
  std::string implementation() const {
    const char* text = nullptr;
    dnn_->f.query(description_, dnnl_query_impl_info_str, 0, static_cast<void*>(&text));
    return text != nullptr ? text : "";
  }

 private:
  Shared dnn_;
  dnnl_primitive_desc_t description_;
  dnnl_primitive_t primitive_ = nullptr;
};

// source and weights in, destination out. Weights in a layout of the primitive's own are packed once per pointer.
class Operation {
 public:
  Operation(Shared dnn, const_dnnl_op_desc_t operation, const dnnl_memory_desc_t& source,
            const dnnl_memory_desc_t& weights, const dnnl_memory_desc_t& destination)
      : dnn_(std::move(dnn)),
        plain_(weights),
        primitive_(dnn_, describe(operation)),
        source_(dnn_, source),
        weights_(dnn_, weights),
        destination_(dnn_, destination),
        packs_(dnn_->f.equal(&plain_, &primitive_.weights()) == 0) {}

  void run(std::span<void* const> arguments) {
    dnnl_memory* weights = packs_ ? packed(arguments[1]) : weights_.at(arguments[1]);
    const std::array<dnnl_exec_arg_t, 3> all = {{{DNNL_ARG_SRC, source_.at(arguments[0])},
                                                 {DNNL_ARG_WEIGHTS, weights},
                                                 {DNNL_ARG_DST, destination_.at(arguments[2])}}};
    primitive_.run(all);
  }

  // Loops that nobody has made fast, for what no other implementation takes.
  bool is_reference() const { return primitive_.implementation().starts_with("ref"); }

  std::string name(std::string_view weights) const {
    return fmt::format("{} weights, {}", weights, primitive_.implementation());
  }

 private:
  dnnl_primitive_desc_t describe(const_dnnl_op_desc_t operation) const {
    dnnl_primitive_desc_t description = nullptr;
    check(dnn_->f.description_create(&description, operation, nullptr, dnn_->engine, nullptr), "choosing a primitive");
    return description;
  }

  dnnl_memory_t packed(void* weights) {
    std::unique_ptr<Memory>& kept = packed_[weights];
    if (kept) return kept->get();
    kept = Memory::owning(dnn_, primitive_.weights());
    dnnl_primitive_desc_t description = nullptr;
    check(dnn_->f.reorder_create(&description, &plain_, dnn_->engine, &primitive_.weights(), dnn_->engine, nullptr),
          "choosing a reorder");
    const std::array<dnnl_exec_arg_t, 2> all = {{{DNNL_ARG_FROM, weights_.at(weights)}, {DNNL_ARG_TO, kept->get()}}};
    Primitive(dnn_, description).run(all);
    return kept->get();
  }

  Shared dnn_;
  dnnl_memory_desc_t plain_;
  Primitive primitive_;
  Memory source_, weights_, destination_;
  bool packs_;
  std::map<void*, std::unique_ptr<Memory>> packed_;
};

Variant variant_of(const std::shared_ptr<Operation>& operation, std::string_view weights) {
  return {operation->name(weights),
          [operation](std::span<void* const> arguments, void*) { operation->run(arguments); }};
}

PeerCase make_product(const Shared& dnn, const Product& p) {
  // Row strides of [rows, columns], or those of the transposed matrix read as it.
  const auto matrix = [&](std::int64_t rows, std::int64_t columns, bool transposed) {
    return dnn->memory({p.batch, rows, columns},
                       {rows * columns, transposed ? 1 : columns, transposed ? rows : std::int64_t{1}});
  };
  const dnnl_memory_desc_t a = matrix(p.m, p.k, p.a_transposed);
  const dnnl_memory_desc_t b = matrix(p.k, p.n, p.b_transposed);
  const dnnl_memory_desc_t c = matrix(p.m, p.n, false);
  dnnl_matmul_desc_t description;
  check(dnn->f.matmul_init(&description, &a, &b, nullptr, &c), "describing a matmul");
  return {.library = {}, .variants = {variant_of(std::make_shared<Operation>(dnn, &description, a, b, c), "plain")}};
}

// Dimensions in the order of images (n, c, h, w), with the strides of NCHW or NHWC.
dnnl_memory_desc_t image(const OneDnn& dnn, const Dims& d, bool nhwc) {
  if (nhwc) return dnn.memory(d, {d[1] * d[2] * d[3], 1, d[3] * d[1], d[1]});
  return dnn.memory(d, {d[1] * d[2] * d[3], d[2] * d[3], d[3], 1});
}

PeerCase make_convolution(const Shared& dnn, const Convolution& c) {
  const std::int64_t per_group = c.c / c.groups;
  const dnnl_memory_desc_t x = image(*dnn, {c.n, c.c, c.h, c.w}, c.nhwc);
  const dnnl_memory_desc_t y = image(*dnn, {c.n, c.k, c.out_rows(), c.out_columns()}, c.nhwc);
  Dims dims = {c.k, per_group, c.r, c.s};
  const std::int64_t filter = per_group * c.r * c.s;
  Dims strides = c.nhwc ? Dims{filter, 1, c.s * per_group, per_group} : Dims{filter, c.r * c.s, c.s, 1};
  if (c.groups > 1) {
    dims[0] = c.k / c.groups;
    dims.insert(dims.begin(), c.groups);
    strides.insert(strides.begin(), dims[1] * filter);
  }
  const dnnl_memory_desc_t plain = dnn->memory(dims, strides);
  const Dims steps = {c.stride[0], c.stride[1]};
  const Dims dilation = {c.dilation[0] - 1, c.dilation[1] - 1};
  const Dims before = {c.padding[0], c.padding[2]};
  const Dims after = {c.padding[1], c.padding[3]};
  PeerCase result;
  const auto add = [&](const dnnl_memory_desc_t& weights, std::string_view name) {
    dnnl_convolution_desc_t description;
    check(dnn->f.convolution_init(&description, dnnl_forward_inference, dnnl_convolution_auto, &x, &weights, nullptr,
                                  &y, steps.data(), dilation.data(), before.data(), after.data()),
          "describing a convolution");
    const auto operation = std::make_shared<Operation>(dnn, &description, x, plain, y);
    if (!result.variants.empty() && operation->is_reference()) return;
    result.variants.push_back(variant_of(operation, name));
  };
  add(dnn->any_layout(dims), "packed");
  add(plain, "plain");
  return result;
}

// It runs on as many threads as OpenMP gives the calling thread; primitives are made for that number.
void set_openmp_threads(const dnnl_version_t& version, int threads) {
  void* openmp = version.cpu_runtime == DNNL_RUNTIME_OMP ? dlopen("libgomp.so.1", RTLD_LAZY | RTLD_NOLOAD) : nullptr;
  if (openmp == nullptr) fail("onednn: its threads cannot be set: it is built for another runtime than GNU's OpenMP");
  reinterpret_cast<void (*)(int)>(dlsym(openmp, "omp_set_num_threads"))(threads);
}

}  // namespace

std::optional<PeerCase> make_onednn(const Task& task) {
  if (!task.call || task.device.info().is_gpu) return std::nullopt;
  const auto is_taken = [](const auto& form) {
    return form && form->dtype == DType::f32 && form->out == DType::f32 && form->after.nothing();
  };
  const std::optional<Product> product = as_product(*task.call);
  const std::optional<Convolution> convolution = as_convolution(*task.call);
  if (!is_taken(product) && !is_taken(convolution)) return std::nullopt;
  const auto dnn = std::make_shared<const OneDnn>();
  const dnnl_version_t& version = *dnn->f.version();
  set_openmp_threads(version, cpu_threads());
  PeerCase result = product ? make_product(dnn, *product) : make_convolution(dnn, *convolution);
  result.library = fmt::format("{}, {}.{}.{}", dnn->library.path(), version.major, version.minor, version.patch);
  return result;
}

}  // namespace quern::bench

#else

namespace quern::bench {

std::optional<PeerCase> make_onednn(const Task&) {
  fail(
      "onednn cannot be compared with: this build found no oneapi/dnnl/dnnl.h of version 2. Install libdnnl-dev and "
      "build again");
}

}  // namespace quern::bench

#endif
