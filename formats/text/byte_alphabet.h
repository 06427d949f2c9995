// GPT-2's way to write any byte as one printable character: token strings of byte-level models are written in it.
//
//   ToByteAlphabet(" hi\n")  // "ĠhiĊ"
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mrs::text {

std::string ToByteAlphabet(std::string_view bytes);

// The bytes, or nothing when some character is not of the alphabet.
std::optional<std::string> FromByteAlphabet(std::string_view text);

}  // namespace mrs::text
