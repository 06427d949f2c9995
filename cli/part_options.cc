#include "cli/part_options.h"

#include "host/output.h"
#include "host/process.h"
#include "plans/part.h"

namespace mrs::cli {

void PartOptions::Register(CommandLine& line, CLI::App& verb) {
  AddNumber<uint32_t>(line, verb, "--rank", &rank, 0, UINT32_MAX, "What this rank holds, reads and does");
  AddNumber<uint32_t>(line, verb, "--layer", &layer, 0, UINT32_MAX, "This layer's steps, weights, buffers and KV");
  AddText(line, verb, "--tensor", &tensor, "the name of a tensor",
          "Which part of this tensor of the checkpoint each rank reads; the three combine");
}

int PartOptions::Run(const OpenedPlan& plan, const std::string& path, bool json) const {
  const auto part = SelectPart(
      plan.plan(), {.rank = rank, .layer = layer, .tensor = tensor.empty() ? std::nullopt : std::optional(tensor)});
  if (!part) return Fail({part.error().kind, fmt::format("plan {}: {}", path, part.message())});
  const Status printed = Print(json ? PartJson(plan.plan(), plan.name(), *part) : PartText(plan.plan(), *part));
  return printed ? 0 : Fail(printed.error());
}

}  // namespace mrs::cli
