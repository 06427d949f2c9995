# The kernels for devices, by nvcc: of sm_80, 90, 100 and 120, and PTX for what comes after, or of what
# CMAKE_CUDA_ARCHITECTURES or CUDA_COMPUTE_CAP names.
include(mrs_nvcc)
# Sums must be what the source says: no contraction into FMAs, denormals flushed as on the CPU.
set(own_flags -std=c++20 -O3 -fmad=false -ftz=true -I${PROJECT_SOURCE_DIR} -Werror all-warnings -Xfatbin=-compress-all)
# What each kernel takes is kept beside its object, for testing/budget.py; one architecture after another, so that what
# is said of a kernel stands together.
list(APPEND own_flags -Xptxas -v)
mrs_nvcc_flags(${CUDAToolkit_NVCC_EXECUTABLE} "${own_flags}" nvcc_flags)

# Where the object of a source goes, into `object`.
function(device_object source object)
  set(made ${CMAKE_CURRENT_BINARY_DIR}/${source}.device.o)
  add_custom_command(OUTPUT ${made} ${made}.ptxas
    COMMAND sh -c [["$@" 2> "$0" || { cat "$0" >&2; exit 1; }]] ${made}.ptxas
            ${CMAKE_CXX_COMPILER_LAUNCHER} ${CUDAToolkit_NVCC_EXECUTABLE} ${nvcc_flags} -MD -MF ${made}.d -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${made}
    DEPENDS ${source} DEPFILE ${made}.d COMMENT "Building CUDA object ${source}" VERBATIM)
  set_source_files_properties(${made} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  set(${object} ${made} PARENT_SCOPE)
endfunction()
set(objects)
foreach(kernel ${kernels} ${fast_kernels})
  device_object(${kernel} object)
  list(APPEND objects ${object})
endforeach()

mrs_library(mrs_cuda_kernels SOURCES exact.cc fast.cc ${objects} LINK mrs_kernels CUDA::cudart_static)

# On a machine with a GPU: `cmake --build build --target cuda_check && build/kernels/cuda/cuda_check`.
if(MRS_TESTS)
  # Not among the kernels, so budget.py does not see it.
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/testing)
  device_object(testing/wrappers.cu wrappers)
  add_executable(cuda_check EXCLUDE_FROM_ALL testing/cuda_check.cc testing/cuda_bench.cc testing/peer_check.cc testing/wrapper_checks.cc ${wrappers})
  target_link_libraries(cuda_check PRIVATE mrs_cuda_fused_cases mrs_kernel_testing mrs_cuda_kernels -static-libstdc++ -static-libgcc)
  mrs_warnings(cuda_check)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  file(STRINGS ${CMAKE_CURRENT_SOURCE_DIR}/budget.txt budgeted REGEX "^kernel ")
  string(REGEX MATCHALL "sm_[0-9]+[af]?" budgeted "${budgeted}")
  set(in_budget OFF)
  foreach(device ${nvcc_flags_devices})
    if(device IN_LIST budgeted)
      set(in_budget ON)
    endif()
  endforeach()
  if(in_budget)
    add_test(NAME kernels_cuda_budget
      COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/testing/budget.py --built ${CMAKE_CURRENT_BINARY_DIR})
  else()
    list(JOIN budgeted ", " budgeted)
    message(STATUS "mrs: kernels_cuda_budget is skipped: budget.txt is of ${budgeted}, and none of them is built")
  endif()
endif()
