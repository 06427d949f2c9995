// A refusal names its file and the key; this finds where that stands.
//
//   "config.json: rope_scaling: 'factor': expected a number"  in folder m
//     ->  m/config.json, the line and column of "factor" within "rope_scaling"; "rope_scaling: 'factor': expected ..."
#pragma once

#include <string>
#include <string_view>

#include "planner/check/diagnostic.h"

namespace mrs::check {

// The file of a folder that a message is about.
struct MessageFile {
  std::string name;  // "config.json", "checkpoint" for the tensors of all files, "": the folder itself
  std::string path;
  std::string rest;  // the message without it
};
MessageFile FileOfMessage(const std::string& folder, std::string_view message);

// The deepest value of JSON `text` whose keys the message names, one after the other; its line 1 where it names none.
// "layer_types[3]" is entry 3, and "architecture" stands for "architectures".
Place PlaceOfMessage(const std::string& path, std::string_view text, std::string_view message);

}  // namespace mrs::check
