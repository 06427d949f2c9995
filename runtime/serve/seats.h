// Whose connection is closed when a client waits and all seats are taken.
//
//   const Seat seats[] = {{SeatUse::kAnswered, noon}, {SeatUse::kSilent, one}, {SeatUse::kBusy, morning}};
//   SeatToGive(seats)   // 1: it has not said anything, so nothing is lost with it
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>

namespace mrs::serve {

// In the order in which they give way. Among equals the one that has been at it longest goes: a client that has just
// come in has its time to speak.
enum class SeatUse {
  kSilent,    // has never said anything
  kAnswered,  // between requests, or only closing
  kAsking,    // part of a request's head is here
  kSending,   // its body is on its way
  kTaking,    // its answer is complete, but not all of it is taken
  kBusy,      // something is computed for it: never gives way
};

struct Seat {
  SeatUse use = SeatUse::kSilent;
  std::chrono::steady_clock::time_point since;
};

// The index of the one that gives way; nothing where all are busy.
std::optional<size_t> SeatToGive(std::span<const Seat> seats);

}  // namespace mrs::serve
