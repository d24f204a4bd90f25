#pragma once
// Graphs of cuDNN's backend: tensors, the operations on them, and the plans that run them. Only for sources that are
// built where its header is. Every refusal throws Error naming the step, with the library's words.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/cudnn.h"

namespace quern::bench {

// The backend's functions.
struct CudnnBackend {
  explicit CudnnBackend(const Device& device);

  Cudnn dnn;
  decltype(&cudnnBackendCreateDescriptor) create = nullptr;
  decltype(&cudnnBackendDestroyDescriptor) destroy = nullptr;
  decltype(&cudnnBackendSetAttribute) set = nullptr;
  decltype(&cudnnBackendGetAttribute) get = nullptr;
  decltype(&cudnnBackendFinalize) finalize = nullptr;
  decltype(&cudnnBackendExecute) execute = nullptr;
};

// One descriptor: created, given attributes, finalized. `name` says in errors which one it is.
class CudnnDescriptor {
 public:
  CudnnDescriptor(std::shared_ptr<const CudnnBackend> backend, cudnnBackendDescriptorType_t type, std::string name);
  CudnnDescriptor(CudnnDescriptor&& other) noexcept;
  CudnnDescriptor& operator=(CudnnDescriptor&&) = delete;
  ~CudnnDescriptor();

  // One value or several, of the types that attributes have; descriptors are values too.
  template <typename T>
  void set(cudnnBackendAttributeName_t attribute, std::span<const T> values) {
    set(attribute, type_of(T{}), std::ssize(values), static_cast<const void*>(values.data()));
  }
  template <typename T>
  void set(cudnnBackendAttributeName_t attribute, T value) {
    set(attribute, std::span<const T>(&value, 1));
  }
  void set(cudnnBackendAttributeName_t attribute, const CudnnDescriptor& value) { set(attribute, value.descriptor_); }
  // A descriptor's type is a pointer too.
  void set_pointers(cudnnBackendAttributeName_t attribute, std::span<void* const> pointers) {
    set(attribute, CUDNN_TYPE_VOID_PTR, std::ssize(pointers), static_cast<const void*>(pointers.data()));
  }
  void finalize();

  std::int64_t integer(cudnnBackendAttributeName_t attribute) const;
  // Fills descriptors with what the attribute holds; how many it holds where there are none to fill, else how many are
  // filled.
  std::int64_t read(cudnnBackendAttributeName_t attribute, std::vector<cudnnBackendDescriptor_t> into) const;

  cudnnBackendDescriptor_t get() const { return descriptor_; }

 private:
  static cudnnBackendAttributeType_t type_of(std::int64_t) { return CUDNN_TYPE_INT64; }
  static cudnnBackendAttributeType_t type_of(bool) { return CUDNN_TYPE_BOOLEAN; }
  static cudnnBackendAttributeType_t type_of(float) { return CUDNN_TYPE_FLOAT; }
  static cudnnBackendAttributeType_t type_of(cudnnDataType_t) { return CUDNN_TYPE_DATA_TYPE; }
  static cudnnBackendAttributeType_t type_of(cudnnPointwiseMode_t) { return CUDNN_TYPE_POINTWISE_MODE; }
  static cudnnBackendAttributeType_t type_of(cudnnReduceTensorOp_t) { return CUDNN_TYPE_REDUCTION_OPERATOR_TYPE; }
  static cudnnBackendAttributeType_t type_of(cudnnBackendHeurMode_t) { return CUDNN_TYPE_HEUR_MODE; }
  static cudnnBackendAttributeType_t type_of(cudnnHandle_t) { return CUDNN_TYPE_HANDLE; }
  static cudnnBackendAttributeType_t type_of(cudnnBackendDescriptor_t) { return CUDNN_TYPE_BACKEND_DESCRIPTOR; }

  void set(cudnnBackendAttributeName_t attribute, cudnnBackendAttributeType_t type, std::int64_t count,
           const void* values);

  std::shared_ptr<const CudnnBackend> backend_;
  std::string name_;
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

using CudnnDims = std::vector<std::int64_t>;

// A graph that grows by tensors, which the operations name by their numbers, and by operations. A shared pointer owns
// it: its plans do too.
class CudnnGraph : public std::enable_shared_from_this<CudnnGraph> {
 public:
  explicit CudnnGraph(const Device& device);

  // In memory; plans take their pointers in the order of these calls.
  std::size_t tensor(const std::string& name, const CudnnDims& dims, const CudnnDims& strides, cudnnDataType_t type);
  // Between operations, in no memory; dense.
  std::size_t between(const std::string& name, const CudnnDims& dims, cudnnDataType_t type);
  // A number, for operations on tensors of `rank` dimensions.
  std::size_t constant(const std::string& name, float value, std::size_t rank);

  // Sums are f32.
  void matmul(const std::string& name, std::size_t a, std::size_t b, std::size_t c);
  void reduce(const std::string& name, cudnnReduceTensorOp_t reducer, std::size_t x, std::size_t y);
  // Of one to three inputs, computed in `type`; `axis` is that of an index.
  void pointwise(const std::string& name, cudnnPointwiseMode_t mode, std::span<const std::size_t> inputs, std::size_t y,
                 cudnnDataType_t type = CUDNN_DATA_FLOAT, std::int64_t axis = -1);

  // What the heuristics propose and can be run, the library's own choice first, at most `most`; call it once, at the
  // end. Throws Error where there is none.
  std::vector<Variant> plans(const Device& device, std::size_t most);

  const Cudnn& library() const { return backend_->dnn; }

 private:
  class Plan;
  struct Form;

  CudnnDescriptor create(cudnnBackendDescriptorType_t type, const std::string& name) const;
  std::size_t add(const Form& form);
  std::vector<CudnnDescriptor> configurations();

  std::shared_ptr<const CudnnBackend> backend_;
  std::vector<CudnnDescriptor> tensors_, operations_;
  std::deque<CudnnDescriptor> others_;        // that these refer to, or are referred to by
  std::vector<std::int64_t> ids_;             // of tensors in memory
  std::map<std::int64_t, float*> constants_;  // by id
  std::deque<float> values_;
};

}  // namespace quern::bench
