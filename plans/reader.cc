#include "plans/reader.h"

#include <cstring>
#include <utility>
#include <vector>

#include "plans/contract.h"
#include "plans/sha256.h"
#include "plans/structure.h"
#include "plans/verify.h"
#include "plans/whole_file.h"

namespace mrs {

struct OpenedPlan::State {
  WholeFile file;
  const plan::Plan* plan = nullptr;
  std::string name;

  Status Check(std::string_view where) {
    // A checkout without git-lfs has a few lines of text in its place: rebuilding would be no help.
    constexpr std::string_view kPointer = "version https://git-lfs.github.com/spec/";
    if (std::string_view(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size())
            .starts_with(kPointer)) {
      return Refuse(
          "plan {}: is a git-lfs pointer, not the plan that it stands for; run 'git lfs pull' where it was cloned",
          where);
    }
    const Result<SealedPlan> sealed = CheckStructure(file.bytes());
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
std::span<const std::byte> OpenedPlan::bytes() const { return state_->file.bytes(); }

namespace {

Result<WholeFile> OfPlan(Result<WholeFile> file) {
  if (!file) return Error{file.error().kind, fmt::format("plan {}", file.message())};
  return file;
}

}  // namespace

Result<OpenedPlan> OpenPlan(const std::string& path) {
  MRS_ASSIGN_OR_RETURN(WholeFile file, OfPlan(ReadWholeFile(path, contract::kMaxFileBytes)));
  return OpenedPlan::Verify(std::move(file), path);
}

Result<OpenedPlan> OpenPlanDescriptor(int descriptor, std::string_view where) {
  MRS_ASSIGN_OR_RETURN(WholeFile file, OfPlan(ReadWholeDescriptor(descriptor, where, contract::kMaxFileBytes)));
  return OpenedPlan::Verify(std::move(file), where);
}

Result<OpenedPlan> OpenPlanBytes(std::span<const std::byte> bytes, std::string_view where) {
  if (bytes.size() > contract::kMaxFileBytes) {
    return Refuse("plan {}: has {} bytes, at most {} are accepted", where, bytes.size(), contract::kMaxFileBytes);
  }
  WholeFile copy{.words = std::vector<uint64_t>((bytes.size() + 7) / 8), .size_bytes = bytes.size()};
  if (!bytes.empty()) std::memcpy(copy.words.data(), bytes.data(), bytes.size());
  return OpenedPlan::Verify(std::move(copy), where);
}

Result<OpenedPlan> OpenedPlan::Verify(WholeFile file, std::string_view where) {
  auto state = std::make_unique<State>();
  state->file = std::move(file);
  MRS_RETURN_IF_ERROR(state->Check(where));
  return OpenedPlan(std::move(state));
}

}  // namespace mrs
