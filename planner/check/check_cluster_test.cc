// What is wrong with a cluster, as mrs-plan check says it.
#include "planner/check/check_cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "planner/check/run_check.h"
#include "planner/check/write_report.h"
#include "planner/cluster/cluster_file.h"
#include "planner/cluster/planted_faults_for_test.h"

namespace mrs::check {
namespace {

// Every finding with its whole line: file, severity, place, message, cost, what to do, id.
TEST(CheckCluster, FindingsAreToldExactly) {
  const std::string path = testing::TempDir() + "/mrs_check_cluster_test.yaml";
  for (const cluster::PlantedFault& fault : cluster::PlantedFaults()) {
    SCOPED_TRACE(fault.id);
    std::ofstream(path) << cluster::CanonicalText(fault.cluster);
    const Report report = RunCheck({.paths = {path}, .plans = {}});
    std::string expected;
    bool fails = false;
    for (const std::string& diagnostic : fault.diagnostics) {
      expected += fmt::format("{}: {}\n", path, diagnostic);
      fails = fails || !diagnostic.starts_with("note");
    }
    EXPECT_EQ(TextReport(report, {.version = "1", .colour = false, .verbose = false, .warnings_pass = false})
                  .substr(0, expected.size()),
              expected);
    EXPECT_EQ(report.diagnostics.size(), fault.diagnostics.size());
    EXPECT_EQ(ExitCode(report, false), fails ? 1 : 0);
  }
  std::remove(path.c_str());
}

// AllRules has each finding's id, and RuleOf its severity.
TEST(CheckCluster, EveryFindingIsARule) {
  for (const cluster::PlantedFault& fault : cluster::PlantedFaults()) EXPECT_EQ(RuleOf(fault.id).id, fault.id);
}

}  // namespace
}  // namespace mrs::check
