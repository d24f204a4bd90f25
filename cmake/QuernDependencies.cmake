# What Quern is built with, and the options QUERN_CUDA and QUERN_CPU, which default to what is found. The CUDA driver
# and NVRTC are opened at run time and never linked: only their headers are needed.

if(QUERN_PORTABLE)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
endif()
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(Threads REQUIRED)
find_package(CLI11 REQUIRED)
find_path(QUERN_XXHASH_INCLUDE xxhash.h REQUIRED)
mark_as_advanced(QUERN_XXHASH_INCLUDE)

set(quern_fmt fmt::fmt)
if(QUERN_PORTABLE)
  set(quern_fmt fmt::fmt-header-only)  # the distribution has no static libfmt
endif()

# --- CUDA headers ---------------------------------------------------------------------------------------------------
set(QUERN_CUDA_INCLUDE "" CACHE PATH "Folder of cuda.h and nvrtc.h; empty: a toolkit, or what scripts/setup brought")
set(cuda_hints "${QUERN_CUDA_INCLUDE}" "$ENV{CUDA_HOME}/include" "$ENV{CUDA_PATH}/include" /usr/local/cuda/include
               "${PROJECT_SOURCE_DIR}/build/_cuda/nvidia/cu13/include")
list(REMOVE_ITEM cuda_hints "" "/include")
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
    list(JOIN cuda_hints ", " looked)
    message(FATAL_ERROR "QUERN_CUDA=ON needs cuda.h and nvrtc.h, looked for in ${looked} and the system's folders. "
                        "Set QUERN_CUDA_INCLUDE to their folder, or run scripts/setup, which brings them.")
  endif()
  set(quern_cuda quern_cuda_headers)
  add_library(quern_cuda_headers INTERFACE)
  target_include_directories(quern_cuda_headers SYSTEM INTERFACE ${QUERN_CUDA_H} ${QUERN_NVRTC_H})
  # What runs from the build folder opens the NVRTC that lies beside the headers, whatever the loader's own folders hold.
  file(REAL_PATH "${QUERN_NVRTC_H}/../lib" nvrtc_folder)
  if(EXISTS "${nvrtc_folder}/libnvrtc.so.13" AND NOT QUERN_PORTABLE)
    list(APPEND CMAKE_BUILD_RPATH "${nvrtc_folder}")
  endif()
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
    message(FATAL_ERROR "QUERN_CPU=ON needs LLVM 19.1 (found: ${LLVM_FOUND}) and oneTBB (found: ${TBB_FOUND}). "
                        "Install llvm-19-dev and libtbb-dev, or set QUERN_CPU=OFF.")
  endif()
  # The one shared library, under the name that an installed quern looks it up by; its headers warn a lot.
  find_library(QUERN_LLVM_LIBRARY NAMES LLVM-${LLVM_VERSION_MAJOR} HINTS ${LLVM_LIBRARY_DIRS} REQUIRED)
  mark_as_advanced(QUERN_LLVM_LIBRARY)
  add_library(quern::llvm UNKNOWN IMPORTED GLOBAL)
  set_target_properties(quern::llvm PROPERTIES IMPORTED_LOCATION "${QUERN_LLVM_LIBRARY}"
                                               INTERFACE_INCLUDE_DIRECTORIES "${LLVM_INCLUDE_DIRS}")
  set(quern_llvm quern::llvm)
  set(quern_tbb TBB::tbb)
else()
  list(APPEND quern_codegen_left_out llvm/)
  list(APPEND quern_runtime_left_out cpu/)
endif()

# What libquern is linked with, and so what a program that links a static libquern needs.
set(quern_link_libraries ${quern_fmt} SQLite::SQLite3 ${quern_tbb} ${quern_llvm} Threads::Threads ${CMAKE_DL_LIBS})

# --- What every room sees -------------------------------------------------------------------------------------------
add_library(quern_common INTERFACE)
target_link_libraries(quern_common INTERFACE quern_flags ${quern_fmt} nlohmann_json::nlohmann_json Threads::Threads
                                             ${CMAKE_DL_LIBS})
target_include_directories(quern_common SYSTEM INTERFACE ${QUERN_XXHASH_INCLUDE})
target_compile_definitions(quern_common INTERFACE
  QUERN_WITH_CUDA=$<BOOL:${QUERN_CUDA}> QUERN_WITH_CPU=$<BOOL:${QUERN_CPU}>
  QUERN_WITH_BENCH=$<BOOL:${QUERN_BUILD_BENCH}> QUERN_VERSION="${PROJECT_VERSION}" XXH_INLINE_ALL)

# quern_peer(SOURCE HEADER): SOURCE's QUERN_HAS_PEER says whether HEADER is found. It is looked for at each configuring,
# and is part of the command line: a compiler cache does not notice what __has_include would find since.
function(quern_peer source header)
  find_path(folder ${header} HINTS ${QUERN_CUDA_H} NO_CACHE)
  set(found 1)
  if(NOT folder)
    set(found 0)
  endif()
  set_source_files_properties(${source} PROPERTIES COMPILE_DEFINITIONS QUERN_HAS_PEER=${found})
endfunction()

message(STATUS "quern ${PROJECT_VERSION}: QUERN_CUDA=${QUERN_CUDA} QUERN_CPU=${QUERN_CPU}")
