// Opens a plan: reads it once and whole, checks seal, format and structure, proves it sound (verify.h), then gives out
// those very bytes: what becomes of the file meanwhile or later changes nothing.
//
//   MRS_ASSIGN_OR_RETURN(const OpenedPlan opened, OpenPlan("x.mrsplan"));
//   opened.plan().stages()->Get(0)->steps()->size();   opened.name();   // the 64 hex digits of its SHA-256
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs {

struct WholeFile;

// A verified plan and the bytes it lies in. Moving it leaves plan() where it was.
class OpenedPlan {
 public:
  OpenedPlan(OpenedPlan&&) noexcept;
  OpenedPlan& operator=(OpenedPlan&&) noexcept;
  ~OpenedPlan();

  const plan::Plan& plan() const;
  const std::string& name() const;           // hex SHA-256 of all before the trailer
  std::span<const std::byte> bytes() const;  // the whole file, trailer included

 private:
  struct State;
  explicit OpenedPlan(std::unique_ptr<State> state);
  static Result<OpenedPlan> Verify(WholeFile file, std::string_view where);
  friend Result<OpenedPlan> OpenPlan(const std::string& path);
  friend Result<OpenedPlan> OpenPlanDescriptor(int descriptor, std::string_view where);
  friend Result<OpenedPlan> OpenPlanBytes(std::span<const std::byte> bytes, std::string_view where);
  std::unique_ptr<State> state_;
};

// Errors read "plan x.mrsplan: ...; rebuild it with mrs-plan".
Result<OpenedPlan> OpenPlan(const std::string& path);

// The same of an open file, which stays the caller's; `where` is what errors call it.
Result<OpenedPlan> OpenPlanDescriptor(int descriptor, std::string_view where);

// The same for bytes in memory, which are copied; `where` stands for the path in errors.
Result<OpenedPlan> OpenPlanBytes(std::span<const std::byte> bytes, std::string_view where = "in memory");

}  // namespace mrs
