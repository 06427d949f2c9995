// A Status says why something was refused; a Result<T> is a T or that reason.
//
//   Result<Plan> plan = OpenPlan(path);
//   if (!plan) return plan.error();
//   Use(*plan);
//
// A user's mistake is a Status, made with Refuse("what {} where", ...): what, where, expected, actual, what to do next.
// A mistake of ours is MRS_CHECK, which aborts; bytes from outside must never reach one.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace mrs {

// What the caller does next, not where the error came from.
enum class ErrorKind {
  kRefused,      // the input cannot be accepted: fix it and run again (exit code 1)
  kUsage,        // the command line is wrong (exit code 2)
  kUnavailable,  // a peer, file or port is not there now: may work later
  kCancelled,    // the work was given up on purpose
  kTimedOut,     // a peer that should have answered said nothing: it may hang
};

struct Error {
  ErrorKind kind = ErrorKind::kRefused;
  std::string message;
};

// Ok, or an Error. Follows std::expected<void, Error>.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}
  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return *error_; }
  const std::string& message() const { return error_->message; }

 private:
  std::optional<Error> error_;
};

// A T or an Error. Follows std::expected<T, Error>; dereference only after a test.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  Result(Status status) : state_(std::in_place_index<1>, status.error()) {}
  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& operator*() & { return std::get<0>(state_); }
  const T& operator*() const& { return std::get<0>(state_); }
  T&& operator*() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  const Error& error() const { return std::get<1>(state_); }
  const std::string& message() const { return error().message; }
  Status status() const { return ok() ? Status() : Status(error()); }

 private:
  std::variant<T, Error> state_;
};

template <typename... Args>
Error Refuse(fmt::format_string<Args...> format, Args&&... args) {
  return Error{ErrorKind::kRefused, fmt::format(format, std::forward<Args>(args)...)};
}

template <typename... Args>
Error Unavailable(fmt::format_string<Args...> format, Args&&... args) {
  return Error{ErrorKind::kUnavailable, fmt::format(format, std::forward<Args>(args)...)};
}
template <typename... Args>
Error TimedOut(fmt::format_string<Args...> format, Args&&... args) {
  return Error{ErrorKind::kTimedOut, fmt::format(format, std::forward<Args>(args)...)};
}

}  // namespace mrs

// Returns the error of a Status or Result expression to the caller.
#define MRS_RETURN_IF_ERROR(expression)                       \
  do {                                                        \
    if (auto mrs_status_ = (expression); !mrs_status_.ok()) { \
      return mrs_status_.error();                             \
    }                                                         \
  } while (false)

#define MRS_CONCAT_INNER_(a, b) a##b
#define MRS_CONCAT_(a, b) MRS_CONCAT_INNER_(a, b)

// MRS_ASSIGN_OR_RETURN(const Plan plan, OpenPlan(path));
#define MRS_ASSIGN_OR_RETURN(declaration, expression) \
  MRS_ASSIGN_OR_RETURN_(MRS_CONCAT_(mrs_result_, __LINE__), declaration, expression)
#define MRS_ASSIGN_OR_RETURN_(result, declaration, expression) \
  auto result = (expression);                                  \
  if (!result.ok()) return result.error();                     \
  declaration = *std::move(result)

// For our own mistakes only.
#define MRS_CHECK(condition)                                                                             \
  do {                                                                                                   \
    if (!(condition)) {                                                                                  \
      std::fprintf(stderr, "%s:%d: internal error: %s does not hold\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                                      \
    }                                                                                                    \
  } while (false)
