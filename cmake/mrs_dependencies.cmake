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
mrs_environment(CUDA_COMPUTE_CAP)
mrs_environment(NVCC_CCBIN)
mrs_environment(CUDA_NVCC_FLAGS)
mrs_environment(MISTRALRS_INSTALL_NCCL MISTRALRS_INSTALL_NO_NCCL)
foreach(option MRS_CUDA MRS_NCCL MRS_CUBLASLT)
  mrs_check_three_valued(${option})
endforeach()
if(NOT MRS_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit QUIET)
endif()
mrs_decide_libraries()
mrs_decide_cuda("${CUDAToolkit_FOUND}" "${CUDAToolkit_VERSION}" "${CUDAToolkit_NVCC_EXECUTABLE}")

if(MRS_PLANNER)
  list(APPEND CMAKE_PREFIX_PATH /usr/lib/llvm-22)
  find_package(MLIR 22.1 CONFIG REQUIRED)
endif()
