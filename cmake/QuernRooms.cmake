# A room is a top-level folder: one OBJECT library of all its sources, found by a glob, so adding a file needs no edit
# here. A room without sources is skipped.

# quern_room(name [DEPENDS room...] [SOURCES file...] [LINK target...] [EXCLUDE prefix...])
# EXCLUDE lists what is left out: files or folders (ending in /) relative to the room.
function(quern_room name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "DEPENDS;SOURCES;LINK;EXCLUDE")
  set(closure "")
  foreach(dependency IN LISTS ARG_DEPENDS)
    quern_room_closure(${dependency} below)
    list(APPEND closure ${below})
  endforeach()
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${name}/*.cpp")
  foreach(prefix IN LISTS ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "^${PROJECT_SOURCE_DIR}/${name}/${prefix}")
  endforeach()
  list(APPEND sources ${ARG_SOURCES})
  if(sources)
    add_library(quern_${name} OBJECT ${sources})
    set_target_properties(quern_${name} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
                                                   POSITION_INDEPENDENT_CODE ON CXX_EXTENSIONS OFF)
    target_link_libraries(quern_${name} PUBLIC quern_common ${ARG_LINK})
    list(APPEND closure quern_${name})
  endif()
  list(REMOVE_DUPLICATES closure)
  set_property(GLOBAL PROPERTY QUERN_CLOSURE_${name} "${closure}")
endfunction()

# The targets of room `name` and of all the rooms below it.
function(quern_room_closure name result)
  get_property(closure GLOBAL PROPERTY QUERN_CLOSURE_${name})
  set(${result} "${closure}" PARENT_SCOPE)
endfunction()

# The library of ROOM and all the rooms below it, under the alias quern::<name>.
function(quern_library name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "ROOM" "LINK")
  quern_room_closure(${ARG_ROOM} rooms)
  list(TRANSFORM rooms REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE objects)
  file(GLOB headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/quern/*.h")
  add_library(${name} ${objects})
  add_library(quern::${name} ALIAS ${name})
  target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${headers})
  target_compile_features(${name} PUBLIC cxx_std_20)
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION}
                                           SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
endfunction()

# The command OUTPUT of room ROOM, which uses the library quern as any program does.
function(quern_command name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "ROOM;MAIN;OUTPUT" "")
  if(NOT EXISTS "${PROJECT_SOURCE_DIR}/${ARG_MAIN}")
    return()
  endif()
  quern_room_closure(${ARG_ROOM} rooms)
  add_executable(${name} ${ARG_MAIN})
  target_link_libraries(${name} PRIVATE quern_common ${rooms} quern::quern)
  set_target_properties(${name} PROPERTIES OUTPUT_NAME ${ARG_OUTPUT} CXX_EXTENSIONS OFF
                                           INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}"
                                           RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
endfunction()

# Embeds the texts of <folder>/*.<extension>: sets `result` to a generated source that defines what
# codegen/cuda/embedded.h declares.
function(quern_embed folder extension result)
  file(GLOB files CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${folder}/*.${extension}")
  quern_generate(embed.cmake embedded_prelude.cpp "${files}")
  set(${result} "${PROJECT_BINARY_DIR}/generated/embedded_prelude.cpp" PARENT_SCOPE)
endfunction()

# Digests the sources of the named rooms, which decide what a program is compiled to: sets `result` to a generated
# source that defines what pipeline/build_digest.h declares.
function(quern_digest result)
  list(TRANSFORM ARGN REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/\\1" OUTPUT_VARIABLE folders)
  set(patterns "")
  foreach(extension cpp h cuh)
    list(TRANSFORM folders APPEND "/*.${extension}" OUTPUT_VARIABLE more)
    list(APPEND patterns ${more})
  endforeach()
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${patterns})
  quern_generate(digest.cmake build_digest.cpp "${files}")
  set(${result} "${PROJECT_BINARY_DIR}/generated/build_digest.cpp" PARENT_SCOPE)
endfunction()

# Makes generated/<output> by cmake/<script> from `files`, anew whenever one of them changes. Their names go through a
# file, for a command line may not be that long.
function(quern_generate script output files)
  set(comment "Generating ${output}")
  set(output "${PROJECT_BINARY_DIR}/generated/${output}")
  file(CONFIGURE OUTPUT "${output}.files" CONTENT "@files@" @ONLY)
  set(script "${PROJECT_SOURCE_DIR}/cmake/${script}")
  add_custom_command(OUTPUT "${output}" DEPENDS ${files} "${output}.files" "${script}" VERBATIM COMMENT "${comment}"
    COMMAND ${CMAKE_COMMAND} "-DROOT=${PROJECT_SOURCE_DIR}" "-DFILES=${output}.files" "-DOUTPUT=${output}" -P "${script}")
endfunction()
