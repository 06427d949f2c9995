#include "cli/name_wait.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "host/output.h"
#include "runtime/comm/tcp_socket.h"

namespace mrs::cli {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLookAgain{500};
constexpr milliseconds kLookForAnswer{5};
constexpr milliseconds kSayEvery{5000};
constexpr uint16_t kAnyPort = 9;

// What is none will never be known: 10.0.0.300, fe80::1%eth7.
bool MayBeAName(const std::string& host) {
  return host.find(':') == std::string::npos && host.find_first_not_of("0123456789.") != std::string::npos;
}

}  // namespace

Result<std::string> WaitForName(const std::string& host, const std::string& field, const ExecOptions& options) {
  const auto as_duration = [](double seconds) { return milliseconds(static_cast<int64_t>(seconds * 1000)); };
  const Clock::time_point began = Clock::now();
  const Clock::time_point end = began + as_duration(options.node.start_timeout_s);
  Clock::time_point next_say = began + kSayEvery;
  std::string why = "no answer of the resolver yet";
  // A resolver may take longer than there is time: nobody waits for it.
  std::optional<Lookup> lookup(std::in_place, host, kAnyPort);
  for (;;) {
    if (lookup.has_value() && lookup->done()) {
      const Result<AddressList> list = lookup->Take();
      lookup.reset();
      if (list.ok()) return NumericHost(**list);
      why = list.message();
      if (!MayBeAName(host)) return Refuse("{}: {}", field, why);
    }
    const Clock::time_point now = Clock::now();
    if (now >= end) {
      return Unavailable("{}: not found within {} s (--start-timeout): {}", field, options.node.start_timeout_s, why);
    }
    if (now >= next_say && !options.quiet) {
      next_say += kSayEvery;
      Say("waiting for   {}, {:.0f} s: {}\n", field, std::chrono::duration<double>(now - began).count(), why);
    }
    std::this_thread::sleep_for(std::min<Clock::duration>(lookup.has_value() ? kLookForAnswer : kLookAgain, end - now));
    if (!lookup.has_value()) lookup.emplace(host, kAnyPort);
  }
}

}  // namespace mrs::cli
