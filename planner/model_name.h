// What clients call a model whose planner was given no --name: its folder's last component.
//
//   NameOfFolder("models/mini/")                                               ->  "mini"
//   NameOfFolder(".../models--Qwen--Qwen3-8B/snapshots/9c925d64d72725edaf89")  ->  "Qwen/Qwen3-8B"
#pragma once

#include <string>

namespace mrs {

// A snapshot of the Hugging Face hub is called by its repository. "model" where the path has no last component.
std::string NameOfFolder(const std::string& folder);

}  // namespace mrs
