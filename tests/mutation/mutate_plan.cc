// mutate_plan x.mrsplan FOLDER [SEED [NAME]]: writes each mutant of a plan that can be made of it to
// FOLDER/NAME.mrsplan, sealed and unverified, and prints a line "NAME<tab>what it does" for each; with a name, that one
// alone. Of several stages, each mutant changes the first that has what it changes, beginning with a drawn one.
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
  const size_t stage_count = unpacked().stages.size();
  // The control: the same plan taken apart and put together again, stage by stage.
  std::string none;
  for (size_t stage = 0; stage < stage_count; ++stage) {
    plan::PlanT plan;
    if (stage == 0) {
      plan = unpacked();
    } else {
      plan::GetPlan(none.data())->UnPackTo(&plan);
    }
    none = PlanEdit(std::move(plan), seed, stage).Seal();
  }
  if (only.empty() && !Write(folder + "/none.mrsplan", none)) {
    std::fprintf(stderr, "mutate_plan: cannot write to %s\n", folder.c_str());
    return 1;
  }
  size_t number = 0;
  for (const PlanMutant& mutant : Mutants()) {
    ++number;  // which stage it is tried on first
    if (!only.empty() && only != mutant.name) continue;
    for (size_t tries = 0; tries < stage_count; ++tries) {
      PlanEdit edit(unpacked(), seed, (seed + number + tries) % stage_count);
      if (!mutant.apply(edit)) continue;
      if (!Write(folder + "/" + mutant.name + ".mrsplan", edit.Seal())) {
        std::fprintf(stderr, "mutate_plan: cannot write to %s\n", folder.c_str());
        return 1;
      }
      std::printf("%s\t%s\n", mutant.name, mutant.what);
      break;
    }
  }
  return 0;
}

}  // namespace
}  // namespace mrs::mutation

int main(int argc, char** argv) { return mrs::mutation::Main(argc, argv); }
