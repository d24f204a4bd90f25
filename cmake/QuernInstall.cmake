# What `cmake --install` lays down: the library, its headers, the command, and how CMake and pkg-config find them.

include(CMakePackageConfigHelpers)

set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/quern")
install(TARGETS quern EXPORT quernTargets FILE_SET HEADERS)
install(EXPORT quernTargets NAMESPACE quern:: DESTINATION "${package_folder}")
if(TARGET quern_command)
  install(TARGETS quern_command)
endif()

# Only a static libquern leaves its dependencies to the program that links it.
get_target_property(library_type quern TYPE)
set(QUERN_STATIC OFF)
set(pc_requires "")
set(pc_libs "")
if(library_type STREQUAL "STATIC_LIBRARY")
  set(QUERN_STATIC ON)
  set(pc_requires "fmt, sqlite3")
  set(pc_libs "-ldl -pthread")
  if(QUERN_CPU)
    string(APPEND pc_requires ", tbb")
    string(PREPEND pc_libs "-L${LLVM_LIBRARY_DIRS} -lLLVM-${LLVM_VERSION_MAJOR} ")
  endif()
endif()

configure_package_config_file(cmake/quernConfig.cmake.in quernConfig.cmake INSTALL_DESTINATION "${package_folder}"
                              NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(quernConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/quernConfig.cmake" "${PROJECT_BINARY_DIR}/quernConfigVersion.cmake"
        DESTINATION "${package_folder}")

# The folder of quern.pc leads to the prefix, wherever that is moved to.
file(RELATIVE_PATH prefix_from_pc "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file(cmake/quern.pc.in quern.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/quern.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
