// mutate_plan x.mrsplan FOLDER [SEED [NAME]]: writes each mutant of a plan that can be made of it to
// FOLDER/NAME.mrsplan, sealed and unverified, and prints a line "NAME<tab>what it does" for each; with a name, that one
// alone.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "plans/reader.h"
#include "plans/writer.h"
#include "tests/mutation/plan_mutants.h"

namespace mrs::mutation {
namespace {

bool Write(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return static_cast<bool>(file.flush());
}

int Main(int argc, char** argv) {
  if (argc < 3 || argc > 5) {
    std::fprintf(stderr, "usage: mutate_plan x.mrsplan FOLDER [SEED [NAME]]\n");
    return 2;
  }
  const std::string folder = argv[2], only = argc > 4 ? argv[4] : "";
  const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  const auto opened = OpenPlan(argv[1]);
  if (!opened) {
    std::fprintf(stderr, "mutate_plan: %s\n", opened.error().message.c_str());
    return 1;
  }
  const auto unpacked = [&] {
    plan::PlanT plan;
    opened->plan().UnPackTo(&plan);
    return plan;
  };
  // The control: the same plan taken apart and put together again.
  PlanEdit none(unpacked(), seed);
  if (only.empty() && !Write(folder + "/none.mrsplan", none.Seal())) {
    std::fprintf(stderr, "mutate_plan: cannot write to %s\n", folder.c_str());
    return 1;
  }
  for (const PlanMutant& mutant : Mutants()) {
    if (!only.empty() && only != mutant.name) continue;
    PlanEdit edit(unpacked(), seed);
    if (!mutant.apply(edit)) continue;
    if (!Write(folder + "/" + mutant.name + ".mrsplan", edit.Seal())) {
      std::fprintf(stderr, "mutate_plan: cannot write to %s\n", folder.c_str());
      return 1;
    }
    std::printf("%s\t%s\n", mutant.name, mutant.what);
  }
  return 0;
}

}  // namespace
}  // namespace mrs::mutation

int main(int argc, char** argv) { return mrs::mutation::Main(argc, argv); }
