// What every fuzz target of messages asks: whatever a decoder takes is encoded to the same bytes again.
#pragma once

#include <cstdlib>
#include <cstring>
#include <string>

#include "plans/status.h"
#include "runtime/world/wire.h"

template <typename T>
void ExpectSame(const mrs::Result<T>& decoded, mrs::wire::Body body) {
  if (!decoded.ok()) return;
  const std::string again = Encode(*decoded);  // of the message's own namespace
  if (again.size() != mrs::wire::kHeaderBytes + body.size() ||
      std::memcmp(again.data() + mrs::wire::kHeaderBytes, body.data(), body.size()) != 0) {
    std::abort();
  }
}
