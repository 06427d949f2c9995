#include "runtime/world/hello.h"

#include <fmt/format.h>

#include <cstring>

#include "plans/contract.h"

namespace mrs {

wire::Hello MakeHello(const OpenedPlan& opened) {
  wire::Hello hello;
  hello.mrs_version = MRS_VERSION;
  hello.format_major = contract::kFormatMajor;
  hello.format_minor = contract::kFormatMinor;
  hello.numerics_revision = contract::kNumericsRevision;
  const auto digest = opened.bytes().last(hello.plan_sha256.size());
  std::memcpy(hello.plan_sha256.data(), digest.data(), digest.size());
  hello.world_size = opened.plan().ranks()->size();
  return hello;
}

Status CompareHello(const wire::Hello& supervisor, const wire::Hello& rank) {
  const auto differs = [&](const char* field, const auto& actual, const auto& expected, const char* hint) {
    return Refuse("rank {}: its {} is {}, its supervisor's is {}; {}", rank.first_rank, field, actual, expected, hint);
  };
  const char* same_program = "run the same mrs-exec everywhere";
  if (rank.mrs_version != supervisor.mrs_version) {
    return differs("mrs version", rank.mrs_version, supervisor.mrs_version, same_program);
  }
  if (rank.format_major != supervisor.format_major || rank.format_minor != supervisor.format_minor) {
    return differs("plan format", fmt::format("{}.{}", rank.format_major, rank.format_minor),
                   fmt::format("{}.{}", supervisor.format_major, supervisor.format_minor), same_program);
  }
  if (rank.numerics_revision != supervisor.numerics_revision) {
    return differs("numerics revision", rank.numerics_revision, supervisor.numerics_revision, same_program);
  }
  if (rank.plan_sha256 != supervisor.plan_sha256) {
    return differs("plan", Hex(rank.plan_sha256), Hex(supervisor.plan_sha256), "give every rank the same plan file");
  }
  if (rank.world_size != supervisor.world_size) {
    return differs("world size", rank.world_size, supervisor.world_size, "give every rank the same plan file");
  }
  return Status();
}

}  // namespace mrs
