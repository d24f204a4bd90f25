# The language, warnings, and what makes two cores go further: ccache and mold where they are present.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

add_library(quern_flags INTERFACE)
target_compile_features(quern_flags INTERFACE cxx_std_20)
target_include_directories(quern_flags INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
target_compile_options(quern_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wundef -Wvla
  -Wno-missing-field-initializers  # designated initialisers name the fields that matter
  -Wno-restrict                    # false alarms on std::string in GCC 12 (GCC bug 105329)
  # False alarms of GCC 12's optimiser on std::vector and std::optional (GCC bugs 105562, 80635).
  $<$<NOT:$<CONFIG:Debug>>:-Wno-stringop-overflow> $<$<NOT:$<CONFIG:Debug>>:-Wno-maybe-uninitialized>
  $<$<BOOL:${QUERN_WERROR}>:-Werror>
  # Texts with a file name (std::source_location) and debug information do not depend on where the clone lies.
  -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)

if(QUERN_SANITIZE)
  add_compile_options(-fsanitize=${QUERN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${QUERN_SANITIZE})
endif()

if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
  find_program(QUERN_CCACHE ccache)
  find_program(QUERN_MOLD mold)
  mark_as_advanced(QUERN_CCACHE QUERN_MOLD)
  if(QUERN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    # A second clone, or a second build folder, finds what the first one compiled.
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1
                                    ${QUERN_CCACHE})
  endif()
  if(QUERN_MOLD)
    add_link_options(-fuse-ld=mold)
  endif()
endif()

if(QUERN_PORTABLE)
  add_link_options(-static-libgcc -static-libstdc++ -s)
endif()
