// The names that somebody may have meant.
//
//   Nearest("model.layers.0.q_proj.weight", names)  ->  {"model.layers.0.self_attn.q_proj.weight", ...}
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mrs {

// At most `count` of `names`, each once: those that contain the text first, then by the letters that must change. Long
// names and, past a second of work, late ones are passed over.
std::vector<std::string> Nearest(std::string_view text, const std::vector<std::string_view>& names, size_t count = 3);

}  // namespace mrs
