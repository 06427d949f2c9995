# Everything from outside, found once. Each is a Debian package; scripts/install.sh lists them.
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(fmt REQUIRED)
if(MRS_SANITIZE)  # what runs only here may link the shared library
  add_library(mrs_fmt INTERFACE)
  target_link_libraries(mrs_fmt INTERFACE fmt::fmt)
else()
  add_library(mrs_fmt STATIC ${CMAKE_CURRENT_LIST_DIR}/fmt_static.cc)
  target_include_directories(mrs_fmt SYSTEM PUBLIC $<TARGET_PROPERTY:fmt::fmt,INTERFACE_INCLUDE_DIRECTORIES>)
endif()
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)

# Cluster descriptions come as YAML, NCCL's topologies as XML. Their static libraries, where there
# are any, keep mrs-plan free of packages at run time.
foreach(parser yaml-cpp pugixml)
  find_package(${parser} REQUIRED)
  string(REPLACE -cpp "" short ${parser})
  find_library(${short}_static lib${parser}.a)
  add_library(mrs_${short} INTERFACE)
  if(${short}_static)
    target_link_libraries(mrs_${short} INTERFACE ${${short}_static})
  else()
    target_link_libraries(mrs_${short} INTERFACE ${parser})
  endif()
endforeach()

# XXH3, for digests of weights; the static library, as above.
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
find_library(XXHASH_LIBRARY NAMES libxxhash.a xxhash REQUIRED)
add_library(mrs_xxhash INTERFACE)
target_include_directories(mrs_xxhash SYSTEM INTERFACE ${XXHASH_INCLUDE_DIR})
target_link_libraries(mrs_xxhash INTERFACE ${XXHASH_LIBRARY})

# libflatbuffers-dev ships headers; the compiler comes from flatbuffers-compiler.
find_path(FLATBUFFERS_INCLUDE_DIR flatbuffers/flatbuffers.h REQUIRED)
find_program(FLATC flatc REQUIRED)

if(MRS_TESTS)
  find_package(GTest REQUIRED)
endif()

# CUDA is used when it is here and never missed when it is not.
set(MRS_HAVE_CUDA OFF)
if(NOT MRS_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit QUIET)
  if(CUDAToolkit_FOUND)
    set(MRS_HAVE_CUDA ON)
  elseif(MRS_CUDA STREQUAL "ON")
    message(FATAL_ERROR "MRS_CUDA=ON, but no CUDA toolkit was found; install it or configure with -DMRS_CUDA=AUTO")
  endif()
endif()
message(STATUS "mrs: CUDA toolkit found: ${MRS_HAVE_CUDA}")

if(MRS_PLANNER)
  list(APPEND CMAKE_PREFIX_PATH /usr/lib/llvm-22)
  find_package(MLIR 22.1 CONFIG REQUIRED)
endif()
