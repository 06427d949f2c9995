// The page's one style sheet, and how its Content-Security-Policy names it.
#pragma once

#include <string>
#include <string_view>

namespace mrs::html {

std::string_view StyleText();

// "sha256-" and the base64 of the SHA-256 of StyleText: https://www.w3.org/TR/CSP3/#grammardef-hash-source
std::string StyleHash();

}  // namespace mrs::html
