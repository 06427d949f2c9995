// Long values, shown by the part in which they differ.
//
//   "xxx...x1yyy", "xxx...x2yyy", 40 bytes   ->   "...xxxxxxxxxx1yyy (2000 bytes)", "...xxxxxxxxxx2yyy (2000 bytes)"
#pragma once

#include <cstddef>
#include <string>

namespace mrs::diff {

// At most `bytes` of each, from a little before the first that differ, cut between characters. Short ones stay.
void Shorten(std::string* before, std::string* after, size_t bytes);

}  // namespace mrs::diff
