#include "plans/structure.h"

#include <cstring>

#include "plans/contract.h"

namespace mrs {
namespace {

// Plan > Stage > vectors is as deep as it gets.
constexpr int kMaxDepth = 8;
constexpr int kMaxTables = 1 << 20;

}  // namespace

Result<SealedPlan> CheckStructure(std::span<const std::byte> bytes) {
  constexpr size_t kLeastBytes = 8 + contract::kTrailerBytes;  // root offset, identifier, trailer
  if (bytes.size() < kLeastBytes) {
    return Refuse("has {} bytes, a plan has at least {}; it was truncated", bytes.size(), kLeastBytes);
  }
  if (bytes.size() > contract::kMaxFileBytes) {
    return Refuse("has {} bytes, at most {} are accepted", bytes.size(), contract::kMaxFileBytes);
  }
  const auto body = bytes.first(bytes.size() - contract::kTrailerBytes);
  const auto* data = reinterpret_cast<const uint8_t*>(body.data());
  if (!flatbuffers::BufferHasIdentifier(data, plan::PlanIdentifier())) {
    return Refuse("is no plan (its identifier is not {})", plan::PlanIdentifier());
  }
  SealedPlan sealed{nullptr, Sha256(body)};
  if (std::memcmp(sealed.digest.data(), bytes.data() + body.size(), sealed.digest.size()) != 0) {
    return Refuse("its SHA-256 does not match its content: the file was changed or truncated");
  }
  flatbuffers::Verifier verifier(data, body.size(), kMaxDepth, kMaxTables);
  if (!plan::VerifyPlanBuffer(verifier)) {
    return Refuse("its structure is broken: an offset or a length leaves the file, or a required field is missing");
  }
  sealed.plan = plan::GetPlan(data);
  const uint32_t major = sealed.plan->format_major();
  const uint32_t minor = sealed.plan->format_minor();
  if (major != contract::kFormatMajor || minor > contract::kFormatMinor) {
    return Refuse("has format {}.{}, this version reads {}.0 to {}.{}", major, minor, contract::kFormatMajor,
                  contract::kFormatMajor, contract::kFormatMinor);
  }
  return sealed;
}

}  // namespace mrs
