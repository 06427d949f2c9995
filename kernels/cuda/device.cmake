# The kernels for devices, by nvcc: of sm_80, 90, 100 and 120, and PTX for what comes after; CMAKE_CUDA_ARCHITECTURES
# names others.
set(architectures ${CMAKE_CUDA_ARCHITECTURES})
if(NOT architectures)
  set(architectures 80 90 100 120)
endif()
# Sums must be what the source says: no contraction into FMAs, denormals flushed as on the CPU.
set(nvcc_flags -std=c++20 -O3 -fmad=false -ftz=true -I${PROJECT_SOURCE_DIR} -Werror all-warnings -Xfatbin=-compress-all)
# What each kernel takes is kept beside its object, for testing/budget.py; one architecture after another, so that what
# is said of a kernel stands together.
list(APPEND nvcc_flags -Xptxas -v)
foreach(architecture ${architectures})
  list(APPEND nvcc_flags -gencode arch=compute_${architecture},code=sm_${architecture})
endforeach()
list(GET architectures -1 last)
list(APPEND nvcc_flags -gencode arch=compute_${last},code=compute_${last})

set(objects)
foreach(kernel ${kernels} ${fast_kernels})
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${kernel}.device.o)
  add_custom_command(OUTPUT ${object} ${object}.ptxas
    COMMAND sh -c [["$@" 2> "$0" || { cat "$0" >&2; exit 1; }]] ${object}.ptxas
            ${CMAKE_CXX_COMPILER_LAUNCHER} ${CUDAToolkit_NVCC_EXECUTABLE} ${nvcc_flags} -MD -MF ${object}.d -c ${CMAKE_CURRENT_SOURCE_DIR}/${kernel} -o ${object}
    DEPENDS ${kernel} DEPFILE ${object}.d COMMENT "Building CUDA object ${kernel}" VERBATIM)
  list(APPEND objects ${object})
endforeach()

set_source_files_properties(${objects} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
mrs_library(mrs_cuda_kernels SOURCES exact.cc fast.cc ${objects} LINK mrs_kernels CUDA::cudart_static)

# On a machine with a GPU: `cmake --build build --target cuda_check && build/kernels/cuda/cuda_check`.
if(MRS_TESTS)
  add_executable(cuda_check EXCLUDE_FROM_ALL testing/cuda_check.cc)
  target_link_libraries(cuda_check PRIVATE mrs_kernel_testing mrs_cuda_kernels -static-libstdc++ -static-libgcc)
  mrs_warnings(cuda_check)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  add_test(NAME kernels_cuda_budget
    COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/testing/budget.py --built ${CMAKE_CURRENT_BINARY_DIR})
endif()
