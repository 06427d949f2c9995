// Are these RING_CONFIG files one ring? Each on its own (formats/ring_config.h), then all of them together.
//
//   rank 0: port 9001, right 9002; rank 1: port 9002, right 9003   ->  rank 1: 'right_port' 9003: the right neighbour,
//                                                                      rank 0, listens on 9001 (ring.not-closed)
//
// No file says where its own rank runs. Others do: the left neighbour's right_ip and everybody's master_ip name a host,
// and an address that is left out, or is 0.0.0.0, says that two ranks share one. Two ports clash where that makes one
// host of two listeners; where it says nothing, nothing is claimed.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "formats/ring_config.h"
#include "planner/check/diagnostic.h"

namespace mrs::check {

struct RingFile {
  std::string path;
  std::string text;
  RingReading reading;
};

// What is wrong with each alone.
std::vector<Diagnostic> CheckRingFile(const RingFile& file);

// What is wrong between them. Files with broken fields take no part, and no rank is missed while there are such.
// `whole`: these are meant to be all files of the ring; else there is one, and that it was checked alone is noted.
std::vector<Diagnostic> CheckRing(std::span<const RingFile> files, bool whole);

}  // namespace mrs::check
