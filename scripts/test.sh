#!/usr/bin/env bash
# Passes all tests: the release build with everything, then under asan+ubsan the unit and conformance tests without MLIR,
# half a minute of fuzzing, and under tsan what runs on several threads (cmake/mrs_options.cmake, mrs_test).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh test
jobs=$(nproc)
started=$SECONDS
step() { echo; echo "== $* [$((SECONDS - started)) s]"; }

# The openai client, for the test that drives the server with it.
venv=build/venv
if ! "$venv/bin/python" -c 'import openai' 2>/dev/null; then
  step "openai client"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check openai
fi

build() {
  step "build $1"
  cmake --preset "$1" >"build-$1.log" 2>&1 || { cat "build-$1.log"; exit 1; }
  cmake --build --preset "$1" >>"build-$1.log" 2>&1 || { grep -E -A 12 'error|FAILED' "build-$1.log" | head -100; exit 1; }
}

# All tests of a build, two at a time. Tests of whole processes have clocks, and a busy machine may fail one: up to two that
# fail are run again alone, and named at the end. Such a test is looked into all the same.
shaky=()
run_tests() {  # the build's folder, its name
  step "tests ($2)"
  ctest --no-tests=error --test-dir "$1" --output-on-failure -j "$jobs" && return
  local failed=()
  mapfile -t failed < <(cut -d: -f2 "$1/Testing/Temporary/LastTestsFailed.log")
  [ ${#failed[@]} -ge 1 ] && [ $((${#failed[@]} + ${#shaky[@]})) -le 2 ] || exit 8
  step "again, alone ($2)"
  ctest --test-dir "$1" --rerun-failed --output-on-failure || exit 8
  shaky+=("${failed[@]/#/$2: }")
}

# Without tests, as scripts/demo.sh builds: a line of CMake may need a target that is then not there.
step "configuring without tests"
cmake --preset release -DMRS_TESTS=OFF -B build-without-tests >build-without-tests.log 2>&1 ||
  { cat build-without-tests.log; exit 1; }

build release
run_tests build release

build asan
run_tests build-asan asan+ubsan

step "fuzzing"
# A share of what tests/fuzz/run.py is for, which keeps the input of a finding in build-asan/fuzz/findings.
tests/fuzz/run.py --inputs 200000 --seconds 30

build tsan
run_tests build-tsan tsan

step "all passed"
[ ${#shaky[@]} = 0 ] || printf 'passed only when run again, alone: %s\n' "${shaky[@]}"
