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

# Without tests, as scripts/demo.sh builds: a line of CMake may need a target that is then not there.
step "configuring without tests"
cmake --preset release -DMRS_TESTS=OFF -B build-without-tests >build-without-tests.log 2>&1 ||
  { cat build-without-tests.log; exit 1; }

build release
step "tests (release)"
ctest --no-tests=error --test-dir build --output-on-failure -j "$jobs"

build asan
step "tests (asan+ubsan)"
ctest --no-tests=error --test-dir build-asan --output-on-failure -j "$jobs"

step "fuzzing"
# A share of what tests/fuzz/run.py is for, which keeps the input of a finding in build-asan/fuzz/findings.
tests/fuzz/run.py --inputs 200000 --seconds 30

build tsan
step "tests (tsan)"
ctest --no-tests=error --test-dir build-tsan --output-on-failure -j "$jobs"

step "all passed"
