# What Quern is built with, and the options QUERN_CUDA and QUERN_CPU, which default to what is found. The CUDA driver
# and NVRTC are opened at run time and never linked: only their headers are needed.

find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(Threads REQUIRED)
find_package(CLI11 REQUIRED)
find_path(QUERN_XXHASH_INCLUDE xxhash.h REQUIRED)

# --- CUDA headers ---------------------------------------------------------------------------------------------------
set(QUERN_CUDA_INCLUDE "" CACHE PATH "Folder of cuda.h and nvrtc.h (default: a toolkit, or what scripts/setup brought)")
set(cuda_hints "${QUERN_CUDA_INCLUDE}" "$ENV{CUDA_HOME}/include" "$ENV{CUDA_PATH}/include" /usr/local/cuda/include
               "${PROJECT_SOURCE_DIR}/build/_cuda/nvidia/cu13/include")
find_path(QUERN_CUDA_H cuda.h HINTS ${cuda_hints})
find_path(QUERN_NVRTC_H nvrtc.h HINTS ${cuda_hints})
mark_as_advanced(QUERN_CUDA_H QUERN_NVRTC_H)
set(have_cuda OFF)
if(QUERN_CUDA_H AND QUERN_NVRTC_H)
  set(have_cuda ON)
endif()
option(QUERN_CUDA "Compile for and run on NVIDIA GPUs" ${have_cuda})
set(quern_cuda "")
set(quern_runtime_left_out "")
if(QUERN_CUDA)
  if(NOT have_cuda)
    message(FATAL_ERROR "QUERN_CUDA needs cuda.h and nvrtc.h, which were looked for in ${cuda_hints} and the system's "
                        "folders: set QUERN_CUDA_INCLUDE to their folder, or run scripts/setup, which brings them")
  endif()
  add_library(quern_cuda_headers INTERFACE)
  target_include_directories(quern_cuda_headers SYSTEM INTERFACE
    $<BUILD_INTERFACE:${QUERN_CUDA_H}> $<BUILD_INTERFACE:${QUERN_NVRTC_H}>)
  set(quern_cuda quern_cuda_headers)
else()
  list(APPEND quern_runtime_left_out cuda/)
endif()

# --- LLVM and TBB ---------------------------------------------------------------------------------------------------
set(quern_llvm "")
set(quern_tbb "")
set(quern_codegen_left_out "")
if(NOT DEFINED QUERN_CPU OR QUERN_CPU)
  find_package(LLVM 19.1 CONFIG QUIET HINTS /usr/lib/llvm-19)
  find_package(TBB CONFIG QUIET)
endif()
set(have_cpu OFF)
if(LLVM_FOUND AND TBB_FOUND)
  set(have_cpu ON)
endif()
option(QUERN_CPU "Compile for and run on CPUs, through LLVM" ${have_cpu})
if(QUERN_CPU)
  if(NOT have_cpu)
    message(FATAL_ERROR "QUERN_CPU needs LLVM 19.1 (found: ${LLVM_FOUND}) and oneTBB (found: ${TBB_FOUND}): install "
                        "llvm-19-dev and libtbb-dev, or set -DQUERN_CPU=OFF")
  endif()
  add_library(quern_llvm INTERFACE)
  target_include_directories(quern_llvm SYSTEM INTERFACE $<BUILD_INTERFACE:${LLVM_INCLUDE_DIRS}>)
  separate_arguments(llvm_definitions UNIX_COMMAND "${LLVM_DEFINITIONS}")
  target_compile_definitions(quern_llvm INTERFACE ${llvm_definitions})
  target_link_libraries(quern_llvm INTERFACE LLVM)
  set(quern_llvm quern_llvm)
  set(quern_tbb TBB::tbb)
else()
  list(APPEND quern_codegen_left_out llvm/)
  list(APPEND quern_runtime_left_out cpu/)
endif()

# --- What every room sees -------------------------------------------------------------------------------------------
add_library(quern_common INTERFACE)
target_link_libraries(quern_common INTERFACE quern_flags fmt::fmt nlohmann_json::nlohmann_json Threads::Threads
                                             ${CMAKE_DL_LIBS})
target_include_directories(quern_common SYSTEM INTERFACE $<BUILD_INTERFACE:${QUERN_XXHASH_INCLUDE}>)
target_compile_definitions(quern_common INTERFACE
  QUERN_WITH_CUDA=$<BOOL:${QUERN_CUDA}> QUERN_WITH_CPU=$<BOOL:${QUERN_CPU}> QUERN_WITH_BENCH=$<BOOL:${QUERN_BUILD_BENCH}>
  QUERN_VERSION="${PROJECT_VERSION}" XXH_INLINE_ALL)

message(STATUS "quern ${PROJECT_VERSION}: CUDA ${QUERN_CUDA} (${QUERN_CUDA_H}), CPU ${QUERN_CPU}")
