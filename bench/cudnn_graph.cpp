#include "bench/cuda.h"

#if QUERN_BENCH_CUDA && QUERN_HAS_PEER

#include <array>
#include <utility>

#include "base/error.h"
#include "bench/cudnn_graph.h"

namespace quern::bench {

CudnnBackend::CudnnBackend(const Device& device) : dnn(device) {
  dnn.find(create, "cudnnBackendCreateDescriptor");
  dnn.find(destroy, "cudnnBackendDestroyDescriptor");
  dnn.find(set, "cudnnBackendSetAttribute");
  dnn.find(get, "cudnnBackendGetAttribute");
  dnn.find(finalize, "cudnnBackendFinalize");
  dnn.find(execute, "cudnnBackendExecute");
}

// --- descriptors

CudnnDescriptor::CudnnDescriptor(std::shared_ptr<const CudnnBackend> backend, cudnnBackendDescriptorType_t type,
                                 std::string name)
    : backend_(std::move(backend)), name_(std::move(name)) {
  backend_->dnn.check(backend_->create(type, &descriptor_), name_ + ": creating its descriptor");
}

CudnnDescriptor::CudnnDescriptor(CudnnDescriptor&& other) noexcept
    : backend_(std::move(other.backend_)),
      name_(std::move(other.name_)),
      descriptor_(std::exchange(other.descriptor_, nullptr)) {}

CudnnDescriptor::~CudnnDescriptor() {
  if (descriptor_ != nullptr) backend_->destroy(descriptor_);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t attribute, cudnnBackendAttributeType_t type, std::int64_t count,
                          const void* values) {
  const cudnnStatus_t status = backend_->set(descriptor_, attribute, type, count, values);
  if (status == CUDNN_STATUS_SUCCESS) return;
  backend_->dnn.check(status, fmt::format("{}: setting attribute {}", name_, static_cast<int>(attribute)));
}

void CudnnDescriptor::finalize() { backend_->dnn.check(backend_->finalize(descriptor_), name_ + ": finalizing"); }

std::int64_t CudnnDescriptor::integer(cudnnBackendAttributeName_t attribute) const {
  std::int64_t count = 0, value = 0;
  backend_->dnn.check(backend_->get(descriptor_, attribute, CUDNN_TYPE_INT64, 1, &count, &value),
                      fmt::format("{}: reading attribute {}", name_, static_cast<int>(attribute)));
  return value;
}

std::int64_t CudnnDescriptor::read(cudnnBackendAttributeName_t attribute,
                                   std::vector<cudnnBackendDescriptor_t> into) const {
  std::int64_t count = 0;
  backend_->dnn.check(backend_->get(descriptor_, attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, std::ssize(into), &count,
                                    into.empty() ? nullptr : static_cast<void*>(into.data())),
                      fmt::format("{}: reading attribute {}", name_, static_cast<int>(attribute)));
  return count;
}

// --- tensors

namespace {

// How arguments name the tensor of that number.
std::int64_t id_of(std::size_t number) { return static_cast<std::int64_t>(number) + 1; }

}  // namespace

struct CudnnGraph::Form {
  std::string name;
  CudnnDims dims, strides;
  cudnnDataType_t type;
  bool is_virtual = false;
  bool is_value = false;
};

CudnnGraph::CudnnGraph(const Device& device) : backend_(std::make_shared<const CudnnBackend>(device)) {}

CudnnDescriptor CudnnGraph::create(cudnnBackendDescriptorType_t type, const std::string& name) const {
  return {backend_, type, name};
}

std::size_t CudnnGraph::add(const Form& form) {
  constexpr std::int64_t kAlignment = 16;  // bytes; device memory has more
  CudnnDescriptor& tensor = tensors_.emplace_back(create(CUDNN_BACKEND_TENSOR_DESCRIPTOR, "tensor " + form.name));
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, form.type);
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const std::int64_t>(form.dims));
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const std::int64_t>(form.strides));
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id_of(tensors_.size() - 1));
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment);
  if (form.is_virtual) tensor.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
  if (form.is_value) tensor.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
  tensor.finalize();
  return tensors_.size() - 1;
}

std::size_t CudnnGraph::tensor(const std::string& name, const CudnnDims& dims, const CudnnDims& strides,
                               cudnnDataType_t type) {
  const std::size_t number = add({.name = name, .dims = dims, .strides = strides, .type = type});
  ids_.push_back(id_of(number));
  return number;
}

std::size_t CudnnGraph::between(const std::string& name, const CudnnDims& dims, cudnnDataType_t type) {
  CudnnDims strides(dims.size(), 1);
  for (std::size_t d = dims.size() - 1; d-- > 0;) strides[d] = strides[d + 1] * dims[d + 1];
  return add({.name = name, .dims = dims, .strides = strides, .type = type, .is_virtual = true});
}

std::size_t CudnnGraph::constant(const std::string& name, float value, std::size_t rank) {
  const CudnnDims ones(rank, 1);
  const std::size_t number =
      add({.name = name, .dims = ones, .strides = ones, .type = CUDNN_DATA_FLOAT, .is_value = true});
  constants_[id_of(number)] = &values_.emplace_back(value);
  return number;
}

// --- operations

void CudnnGraph::matmul(const std::string& name, std::size_t a, std::size_t b, std::size_t c) {
  CudnnDescriptor& kind = others_.emplace_back(create(CUDNN_BACKEND_MATMUL_DESCRIPTOR, "kind of " + name));
  kind.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT);
  kind.finalize();
  CudnnDescriptor& operation =
      operations_.emplace_back(create(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, "operation " + name));
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, tensors_.at(a));
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, tensors_.at(b));
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, tensors_.at(c));
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, kind);
  operation.finalize();
}

void CudnnGraph::reduce(const std::string& name, cudnnReduceTensorOp_t reducer, std::size_t x, std::size_t y) {
  CudnnDescriptor& kind = others_.emplace_back(create(CUDNN_BACKEND_REDUCTION_DESCRIPTOR, "kind of " + name));
  kind.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  kind.set(CUDNN_ATTR_REDUCTION_OPERATOR, reducer);
  kind.finalize();
  CudnnDescriptor& operation =
      operations_.emplace_back(create(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, "operation " + name));
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, kind);
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, tensors_.at(x));
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, tensors_.at(y));
  operation.finalize();
}

void CudnnGraph::pointwise(const std::string& name, cudnnPointwiseMode_t mode, std::span<const std::size_t> inputs,
                           std::size_t y, cudnnDataType_t type, std::int64_t axis) {
  static constexpr std::array kInputs = {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                                         CUDNN_ATTR_OPERATION_POINTWISE_TDESC};
  CudnnDescriptor& kind = others_.emplace_back(create(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "kind of " + name));
  kind.set(CUDNN_ATTR_POINTWISE_MODE, mode);
  kind.set(CUDNN_ATTR_POINTWISE_MATH_PREC, type);
  if (axis >= 0) kind.set(CUDNN_ATTR_POINTWISE_AXIS, axis);
  kind.finalize();
  CudnnDescriptor& operation =
      operations_.emplace_back(create(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "operation " + name));
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind);
  for (std::size_t i = 0; i < inputs.size(); ++i) operation.set(kInputs.at(i), tensors_.at(inputs[i]));
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, tensors_.at(y));
  operation.finalize();
}

// --- plans

// A way to run a graph, with the memory that it takes. What a launch hands over is kept by its pointers.
class CudnnGraph::Plan {
 public:
  Plan(std::shared_ptr<const CudnnGraph> graph, const Device& device, const CudnnDescriptor& configuration)
      : graph_(std::move(graph)),
        plan_(graph_->create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "plan")),
        workspace_(device, finalized(configuration)) {}

  void run(std::span<void* const> arguments, void* stream) {
    const CudnnBackend& backend = *graph_->backend_;
    cudnnHandle_t handle = backend.dnn.on(stream);
    backend.dnn.check(backend.execute(handle, plan_.get(), pack(arguments).get()), "running the plan");
  }

 private:
  std::size_t finalized(const CudnnDescriptor& configuration) {
    plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
    plan_.finalize();
    return static_cast<std::size_t>(plan_.integer(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
  }

  const CudnnDescriptor& pack(std::span<void* const> arguments) {
    std::vector<void*> pointers(arguments.begin(), arguments.end());
    if (const auto kept = packs_.find(pointers); kept != packs_.end()) return kept->second;
    CudnnDescriptor made = graph_->create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "arguments");
    std::vector<void*> all = pointers;
    std::vector<std::int64_t> ids = graph_->ids_;
    for (const auto& [id, value] : graph_->constants_) {
      ids.push_back(id);
      all.push_back(value);
    }
    made.set_pointers(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, std::array{workspace_.data()});
    made.set_pointers(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, all);
    made.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const std::int64_t>(ids));
    made.finalize();
    return packs_.emplace(std::move(pointers), std::move(made)).first->second;
  }

  std::shared_ptr<const CudnnGraph> graph_;
  CudnnDescriptor plan_;
  DeviceBuffer workspace_;
  std::map<std::vector<void*>, CudnnDescriptor> packs_;
};

// What the heuristics propose for the graph so far.
std::vector<CudnnDescriptor> CudnnGraph::configurations() {
  std::vector<cudnnBackendDescriptor_t> operations;
  operations.reserve(operations_.size());
  for (const CudnnDescriptor& operation : operations_) operations.push_back(operation.get());
  CudnnDescriptor& graph = others_.emplace_back(create(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "the graph"));
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, std::span<const cudnnBackendDescriptor_t>(operations));
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, backend_->dnn.handle());
  graph.finalize();
  CudnnDescriptor& heuristics = others_.emplace_back(create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "the heuristics"));
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_HEUR_MODE_A);
  heuristics.finalize();
  const std::int64_t count = heuristics.read(CUDNN_ATTR_ENGINEHEUR_RESULTS, {});
  if (count == 0) fail("cudnn: the heuristics propose no engine for this graph");
  std::vector<CudnnDescriptor> found;
  std::vector<cudnnBackendDescriptor_t> into;
  for (std::int64_t i = 0; i < count; ++i) {
    found.push_back(create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "an engine's configuration"));
    into.push_back(found.back().get());
  }
  // Those that can be run come first.
  const std::int64_t good = heuristics.read(CUDNN_ATTR_ENGINEHEUR_RESULTS, into);
  while (std::ssize(found) > good) found.pop_back();
  if (good == 0) {
    fail(
        "cudnn: none of the {} engines that the heuristics propose can be run; with CUDNN_LOGLEVEL_DBG=2 and "
        "CUDNN_LOGDEST_DBG=stderr in the environment the library says why",
        count);
  }
  return found;
}

std::vector<Variant> CudnnGraph::plans(const Device& device, std::size_t most) {
  const std::vector<CudnnDescriptor> proposed = configurations();
  std::vector<Variant> variants;
  std::string refusal;
  for (std::size_t i = 0; i < proposed.size() && variants.size() < most; ++i) {
    try {
      const auto plan = std::make_shared<Plan>(shared_from_this(), device, proposed[i]);
      variants.push_back({fmt::format("plan {}", i + 1),
                          [plan](std::span<void* const> arguments, void* stream) { plan->run(arguments, stream); }});
    } catch (const Error& error) {
      refusal = error.what();
    }
  }
  if (variants.empty()) fail("none of {} plans can be run: {}", proposed.size(), refusal);
  return variants;
}

}  // namespace quern::bench

#endif
