#include "plans/reader.h"

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "plans/contract.h"
#include "plans/mapped_file.h"
#include "plans/sha256.h"
#include "plans/structure.h"
#include "plans/verify.h"

namespace mrs {

struct OpenedPlan::State {
  std::optional<MappedFile> file;  // of OpenPlan
  std::vector<uint64_t> copy;      // of OpenPlanBytes
  std::span<const std::byte> bytes;
  const plan::Plan* plan = nullptr;
  std::string name;

  Status Check(std::string_view where) {
    const Result<SealedPlan> sealed = CheckStructure(bytes);
    if (!sealed) return Wrong(where, sealed.error());
    if (const Status verified = VerifyPlan(*sealed->plan); !verified.ok()) return Wrong(where, verified.error());
    plan = sealed->plan;
    name = Hex(sealed->digest);
    return Status();
  }

  static Error Wrong(std::string_view where, const Error& error) {
    return Error{error.kind, fmt::format("plan {}: {}; rebuild it with mrs-plan", where, error.message)};
  }
};

OpenedPlan::OpenedPlan(std::unique_ptr<State> state) : state_(std::move(state)) {}
OpenedPlan::OpenedPlan(OpenedPlan&&) noexcept = default;
OpenedPlan& OpenedPlan::operator=(OpenedPlan&&) noexcept = default;
OpenedPlan::~OpenedPlan() = default;

const plan::Plan& OpenedPlan::plan() const { return *state_->plan; }
const std::string& OpenedPlan::name() const { return state_->name; }
std::span<const std::byte> OpenedPlan::bytes() const { return state_->bytes; }

Result<OpenedPlan> OpenPlan(const std::string& path) {
  auto state = std::make_unique<OpenedPlan::State>();
  Result<MappedFile> file = MappedFile::Open(path, contract::kMaxFileBytes);
  if (!file) return Error{file.error().kind, fmt::format("plan {}", file.message())};
  state->file = *std::move(file);
  state->bytes = state->file->bytes();
  MRS_RETURN_IF_ERROR(state->Check(path));
  return OpenedPlan(std::move(state));
}

Result<OpenedPlan> OpenPlanBytes(std::span<const std::byte> bytes, std::string_view where) {
  auto state = std::make_unique<OpenedPlan::State>();
  if (bytes.size() > contract::kMaxFileBytes) {
    return Refuse("plan {}: has {} bytes, at most {} are accepted", where, bytes.size(), contract::kMaxFileBytes);
  }
  state->copy.resize((bytes.size() + 7) / 8);
  if (!bytes.empty()) std::memcpy(state->copy.data(), bytes.data(), bytes.size());
  state->bytes = {reinterpret_cast<const std::byte*>(state->copy.data()), bytes.size()};
  MRS_RETURN_IF_ERROR(state->Check(where));
  return OpenedPlan(std::move(state));
}

}  // namespace mrs
