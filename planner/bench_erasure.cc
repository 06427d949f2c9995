// What the erasure check costs, against the build that it is part of.
//
//   tests/planner/big_headers.py --bin build/cli --write /tmp/headers
//   bench_erasure /tmp/headers/405B 8
//   405B, tp 8: build 45.6 ms, of it erasure 6.8 ms: adds 0.17 of the rest (bar 0.5)
//
// Medians of 9 rounds, each a whole build and then both halves of the check alone; exit code 1 past the bar.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <vector>

#include "planner/build.h"
#include "planner/compiler.h"
#include "planner/erasure.h"
#include "planner/model_facts.h"
#include "plans/reader.h"

namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

mrs::Status Measure(const mrs::planner::BuildOptions& options) {
  using namespace mrs;
  using namespace mrs::planner;
  constexpr int kRounds = 9;
  constexpr double kBar = 0.5;
  MRS_ASSIGN_OR_RETURN(const ModelFacts facts, ReadModelFacts(options));
  std::vector<double> builds, checks;
  for (int round = 0; round < kRounds; ++round) {
    Clock::time_point begin = Clock::now();
    MRS_ASSIGN_OR_RETURN(const Built built, Build(options));
    builds.push_back(MillisecondsSince(begin));
    MRS_ASSIGN_OR_RETURN(const OpenedPlan opened, OpenPlanBytes(std::as_bytes(std::span(built.plan_bytes))));
    Compiler compiler;
    auto graph = UnshardedModule(compiler.context(), facts);
    begin = Clock::now();
    MRS_ASSIGN_OR_RETURN(UnshardedModel model, ReadUnsharded(*graph));
    MRS_RETURN_IF_ERROR(CheckErasure(model, opened.plan()));
    checks.push_back(MillisecondsSince(begin));
  }
  const double build = Median(builds), check = Median(checks), added = check / (build - check);
  std::printf("%s, tp %ld: build %.1f ms, of it erasure %.1f ms: adds %.2f of the rest (bar %.1f)\n",
              options.model_dir.c_str(), static_cast<long>(options.tp.value_or(1)), build, check, added, kBar);
  if (added > kBar) return Refuse("past the bar");
  return Status();
}

}  // namespace

int main(int argc, char** argv) {
  mrs::planner::BuildOptions options;
  if (argc == 3) {
    const std::string_view tp = argv[2];
    options.model_dir = argv[1];
    std::from_chars(tp.data(), tp.data() + tp.size(), options.tp.emplace(1));
  }
  if (options.model_dir.empty()) {
    std::fputs("usage: bench_erasure MODEL_FOLDER TP\n", stderr);
    return 2;
  }
  options.numerics = "pair2";
  options.memory = uint64_t{400} << 30;
  const mrs::Status status = Measure(options);
  if (!status.ok()) std::fprintf(stderr, "bench_erasure: %s\n", status.message().c_str());
  return status.ok() ? 0 : 1;
}
