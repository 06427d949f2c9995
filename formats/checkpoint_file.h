// A file of a checkpoint held against what a plan recorded of it: the header, and each tensor's name, place, shape,
// type.
//
//   {"l0.q", "BF16", at 8312, 64 x 32}  against  "l0.q": BF16 [64, 32], data at 8312     ok
//                                       against  "l0.q": BF16 [32, 64]                   refused: the shape
//
// What was hashed is what is parsed: the header's bytes are read once. A file is opened once: the descriptor that was
// checked is the one to read from. Ranks do this before they read anything, `mrs-plan verify --model` for all files.
#pragma once

#include <string>
#include <string_view>

#include "formats/input_file.h"
#include "formats/safetensors.h"
#include "plans/recorded_file.h"
#include "plans/status.h"

namespace mrs {

// Opens `path` and checks it. The descriptor is the caller's to close.
Result<int> OpenCheckpointFile(const std::string& path, const RecordedFile& recorded);

// The same of a file that is open. Refuses another header, then another size, then tensors unlike the header's.
Status CheckCheckpointFile(const InputFile& file, const std::string& path, const RecordedFile& recorded);

// Each recorded tensor is one of the header, begins where it does and has its type. Shapes: [rows, columns] is the
// same, [n] is n x 1, and more dimensions are (the product of all but the last) x the last; [] is 1 x 1.
Status CheckRecordedTensors(const SafetensorsHeader& header, const RecordedFile& recorded, std::string_view where);

}  // namespace mrs
