// The `decoder` of tokenizer.json, run as a stream: tokens go in, text comes out as soon as nothing can change it.
//
//   ByteLevel: "Ġcaf" -> " caf", "Ã" -> "" (half a character), "©" -> "é"
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "formats/text/regex.h"
#include "plans/status.h"

namespace mrs::text {

struct DecoderStep {
  enum Kind { kByteLevel, kReplace, kByteFallback, kFuse, kStrip, kMetaspace };
  Kind kind = kByteLevel;
  std::optional<Regex> pattern;   // kReplace
  std::string content;            // kReplace: what takes its place; kStrip, kMetaspace: one character
  bool drop_first_marks = false;  // kMetaspace: the marks of the first token vanish
  size_t start_count = 0;         // kStrip: at most so many characters off the start
  size_t stop_count = 0;          // and off the end
  bool fused = false;             // all before is one token: text flows on without borders
};

struct Decoder {
  std::vector<DecoderStep> steps;
  bool joins_with_space = false;  // no decoder in the file: tokens are words
};

// "<0x0A>" -> 10; -1 for any other token.
int ByteOfToken(std::string_view token);

Result<Decoder> ParseDecoder(const Json& json, std::string_view where);

// One text being decoded. The parts that Push and Finish return make up the whole text: there is no other decoder.
class DecodeStream {
 public:
  explicit DecodeStream(const Decoder& decoder);  // borrowed
  // The text that is certain after this token: whole characters.
  Result<std::string> Push(std::string_view token);
  // What was held back; half characters become U+FFFD.
  Result<std::string> Finish();

 private:
  // What a step keeps between tokens.
  struct Memory {
    std::string held;      // bytes of a character, a run of byte tokens, or characters that Strip may drop
    size_t stripped = 0;   // kStrip: characters already taken off the start
    bool started = false;  // kStrip: other characters came; kMetaspace: the first token is past
  };

  Status Feed(size_t index, std::string_view text);
  Status Flush(size_t index);
  Status FlushByteRun(size_t index);
  Status Strip(size_t index, std::string_view text);
  std::string Take();

  const Decoder* decoder_;
  std::vector<Memory> memory_;
  std::string out_;
  bool first_ = true;
};

// The bytes that one token stands for, as `bytes` of a logprob has them; half characters stay as they are.
Result<std::string> DecodeTokenBytes(const Decoder& decoder, std::string_view token);

}  // namespace mrs::text
