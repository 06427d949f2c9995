// A text from outside, written so that whoever reads the file has that text again, whatever it is: one function for
// each language that exports are written in. Texts are UTF-8 without control characters (CheckText says so first).
//
//   ShellWord("it's")           ->  'it'\''s'
//   YamlText("a: #b\"")         ->  "a: #b\""
//   SystemdWord("100% of $x")   ->  "100%% of $$x"
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "plans/status.h"

namespace mrs::deploy {

// Well-formed UTF-8 in which every character is seen: else "--model: byte 7 is \x0a, a character that is not seen;
// ...".
Status CheckText(std::string_view what, std::string_view text);
// The same, and "/...": what a service starts with no folder of its own.
Status CheckPath(std::string_view what, std::string_view path);

std::string ShellWord(std::string_view text);                     // POSIX
std::string ShellWords(std::span<const std::string> words);       // between spaces
std::string YamlText(std::string_view text);                      // a double-quoted scalar, of YAML 1.1 and 1.2
std::string KubernetesWords(std::span<const std::string> words);  // of command: a flow sequence, without $(NAME)
std::string SystemdWord(std::string_view text);                   // of ExecStart=, but for the first
std::string SystemdText(std::string_view text);                   // of a whole value: specifiers alone
// After '#': text for people, which stays on its line.
std::string Comment(std::string_view text);

// A name of RFC 1123 (lower case letters, digits and hyphens, at most kMaxLabel) that is like `text`.
std::string LabelLike(std::string_view text);
bool IsLabel(std::string_view text);
inline constexpr size_t kMaxLabel = 40;  // of 63, as Kubernetes appends to it

}  // namespace mrs::deploy
