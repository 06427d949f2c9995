# Flags that every target of the project shares.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# One cache serves all checkouts: what a source is compiled to does not depend on where it lies.
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

# Sums must be what the source says: no contraction into FMAs, no reassociation.
add_compile_options(-ffp-contract=off)
if(MRS_SANITIZE)
  # -O1: instrumented kernels take minutes to optimize, and the tests are small.
  string(REPLACE "-O3" "-O1" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
  add_compile_options(-fsanitize=${MRS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g1)
  add_link_options(-fsanitize=${MRS_SANITIZE})
endif()

# A libFuzzer target: mrs_fuzz(name SOURCES ... LINK ...). scripts/test.sh runs each for a moment.
function(mrs_fuzz name)
  if(NOT MRS_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
  mrs_warnings(${name})
endfunction()

# A build under sanitizers is for its tests: what none of them needs is built there only when asked for by name.
function(mrs_on_demand_if_sanitized target)
  if(MRS_SANITIZE)
    set_target_properties(${target} PROPERTIES EXCLUDE_FROM_ALL TRUE)
  endif()
endfunction()

# Libraries of the project: mrs_library(name SOURCES ... LINK ...), includes from the repository root, warnings are errors.
function(mrs_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Werror)
endfunction()

function(mrs_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  mrs_on_demand_if_sanitized(${name})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
  mrs_warnings(${name})
endfunction()

# What only tests run: -O1 takes a sixth less time than -O3 and warns alike; under sanitizers, -O0 takes two fifths less
# than -O1.
function(mrs_only_tested target)
  set(level -O1)
  if(MRS_SANITIZE)
    set(level -O0)
  endif()
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:${level}>)
endfunction()

# One GoogleTest binary (its main: host/testing/test_main.cc), registered with CTest as one test: mrs_test(name SOURCES ... LINK ... LABELS ...).
# LABELS say where it runs beside the plain build, which has every test: `sanitize` under asan+ubsan; `threads` under
# tsan, which sees nothing in a test that runs on one thread.
function(mrs_test name)
  if(NOT MRS_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} mrs_test_main mrs_source_dir GTest::gtest GTest::gmock)
  mrs_warnings(${name})
  mrs_only_tested(${name})
  set(needs "")
  if(MRS_SANITIZE MATCHES "thread")
    set(needs threads)
  elseif(MRS_SANITIZE)
    set(needs sanitize)
  endif()
  if(needs AND NOT needs IN_LIST ARG_LABELS)
    mrs_on_demand_if_sanitized(${name})
    return()
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS "${ARG_LABELS}")
endfunction()
