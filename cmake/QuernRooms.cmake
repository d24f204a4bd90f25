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

# The library of all the rooms up to `ROOM`, under the alias quern::<name>.
function(quern_library name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "ROOM" "")
  quern_room_closure(${ARG_ROOM} rooms)
  add_library(${name})
  add_library(quern::${name} ALIAS ${name})
  foreach(room IN LISTS rooms)
    target_sources(${name} PRIVATE $<TARGET_OBJECTS:${room}>)
    target_link_libraries(${name} PRIVATE $<TARGET_PROPERTY:${room},INTERFACE_LINK_LIBRARIES>)
  endforeach()
  file(GLOB headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/quern/*.h")
  target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${headers})
  target_compile_features(${name} PUBLIC cxx_std_20)
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION}
                                           SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
endfunction()

# The command of room ROOM, built as bin/OUTPUT once its MAIN exists.
function(quern_command name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "ROOM;OUTPUT;MAIN" "")
  if(NOT EXISTS "${PROJECT_SOURCE_DIR}/${ARG_MAIN}")
    return()
  endif()
  quern_room_closure(${ARG_ROOM} rooms)
  quern_room_closure(api library_rooms)
  list(REMOVE_ITEM rooms ${library_rooms})
  add_executable(${name} ${ARG_MAIN})
  target_link_libraries(${name} PRIVATE quern_common CLI11::CLI11 ${rooms} quern::quern)
  set_target_properties(${name} PROPERTIES OUTPUT_NAME ${ARG_OUTPUT} CXX_EXTENSIONS OFF)
endfunction()

# Embeds the files <folder>/*.<extension> as text: sets `result` to a generated source that defines
# quern::codegen::embedded_prelude() (codegen/cuda/embedded.h).
function(quern_embed folder extension result)
  file(GLOB files CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${folder}/*.${extension}")
  set(output "${PROJECT_BINARY_DIR}/generated/embedded_prelude.cpp")
  add_custom_command(
    OUTPUT "${output}"
    COMMAND ${CMAKE_COMMAND} "-DFILES=${files}" "-DOUTPUT=${output}" -P "${PROJECT_SOURCE_DIR}/cmake/embed.cmake"
    DEPENDS ${files} "${PROJECT_SOURCE_DIR}/cmake/embed.cmake"
    COMMENT "Embedding ${folder}" VERBATIM)
  set(${result} "${output}" PARENT_SCOPE)
endfunction()
