#include "formats/text/decoder.h"

#include <algorithm>
#include <utility>

#include "formats/text/byte_alphabet.h"
#include "formats/text/normalizer.h"
#include "formats/text/pre_tokenizer.h"
#include "formats/text/utf8.h"

namespace mrs::text {
namespace {

Status AppendSteps(const Json& json, const std::string& where, std::vector<DecoderStep>* steps) {
  MRS_ASSIGN_OR_RETURN(const std::string type, GetString(json, "type", where));
  DecoderStep step;
  step.fused = std::any_of(steps->begin(), steps->end(), [](const DecoderStep& earlier) {
    return earlier.kind == DecoderStep::kFuse || earlier.kind == DecoderStep::kByteLevel;
  });
  if (type == "ByteLevel") {
    step.kind = DecoderStep::kByteLevel;
  } else if (type == "Replace") {
    step.kind = DecoderStep::kReplace;
    MRS_ASSIGN_OR_RETURN(step.pattern, ParsePattern(json, "pattern", where));
    MRS_ASSIGN_OR_RETURN(step.content, GetString(json, "content", where));
  } else if (type == "ByteFallback") {
    step.kind = DecoderStep::kByteFallback;
  } else if (type == "Fuse") {
    step.kind = DecoderStep::kFuse;
  } else if (type == "Strip") {
    step.kind = DecoderStep::kStrip;
    MRS_ASSIGN_OR_RETURN(step.content, GetString(json, "content", where));
    if (step.content.empty() || ReadUtf8(step.content).length != static_cast<int>(step.content.size())) {
      return Refuse("{}: 'content': expected one character, got {}", where, DumpJson(Json(step.content)));
    }
    MRS_ASSIGN_OR_RETURN(const int64_t start, GetInt(json, "start", where, 0, 1024));
    MRS_ASSIGN_OR_RETURN(const int64_t stop, GetInt(json, "stop", where, 0, 1024));
    step.start_count = static_cast<size_t>(start);
    step.stop_count = static_cast<size_t>(stop);
  } else if (type == "Metaspace") {
    step.kind = DecoderStep::kMetaspace;
    auto prepend = PreTokenizerStep::kAlways;
    MRS_RETURN_IF_ERROR(ParseMetaspace(json, where, &step.content, &prepend));
    step.drop_first_marks = prepend != PreTokenizerStep::kNever;
  } else if (type == "Sequence") {
    MRS_ASSIGN_OR_RETURN(const Json* inner, GetArray(json, "decoders", where));
    for (const Json& one : *inner) MRS_RETURN_IF_ERROR(AppendSteps(one, where, steps));
    return {};
  } else {
    return Refuse(
        "{} type '{}' is not supported; supported: ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, Sequence",
        where, type);
  }
  if (step.fused && step.kind != DecoderStep::kFuse && step.kind != DecoderStep::kStrip) {
    return Refuse("{} type '{}' after Fuse or ByteLevel is not supported; supported there: Strip", where, type);
  }
  steps->push_back(std::move(step));
  return {};
}

std::string ReplaceLiteral(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t begin = 0;
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, begin)) {
    out.append(text.substr(begin, at - begin)).append(to);
    begin = at + from.size();
  }
  return out.append(text.substr(begin));
}

}  // namespace

int ByteOfToken(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int byte = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    byte = byte * 16 + digit;
  }
  return byte;
}

Result<Decoder> ParseDecoder(const Json& json, std::string_view where) {
  Decoder decoder;
  if (json.is_null()) {
    decoder.joins_with_space = true;
    return decoder;
  }
  MRS_RETURN_IF_ERROR(AppendSteps(json, std::string(where), &decoder.steps));
  return decoder;
}

DecodeStream::DecodeStream(const Decoder& decoder) : decoder_(&decoder), memory_(decoder.steps.size()) {}

Result<std::string> DecodeStream::Push(std::string_view token) {
  if (decoder_->joins_with_space && !first_) out_.push_back(' ');
  first_ = false;
  MRS_RETURN_IF_ERROR(Feed(0, token));
  return Take();
}

Result<std::string> DecodeStream::Finish() {
  for (size_t i = 0; i < decoder_->steps.size(); ++i) MRS_RETURN_IF_ERROR(Flush(i));
  return Take();
}

std::string DecodeStream::Take() { return std::exchange(out_, {}); }

// Before a Fuse each call is one token, after it any part of the text.
Status DecodeStream::Feed(size_t index, std::string_view text) {
  if (index == decoder_->steps.size()) {
    out_.append(text);
    return {};
  }
  const DecoderStep& step = decoder_->steps[index];
  Memory& memory = memory_[index];
  switch (step.kind) {
    case DecoderStep::kByteLevel: {
      memory.held.append(FromByteAlphabet(text).value_or(std::string(text)));
      std::string whole;
      TakeWholeCharacters(&memory.held, &whole);
      return whole.empty() ? Status() : Feed(index + 1, whole);
    }
    case DecoderStep::kReplace: {
      MRS_ASSIGN_OR_RETURN(const std::string replaced, ReplaceAll(*step.pattern, step.content, text));
      return Feed(index + 1, replaced);
    }
    case DecoderStep::kByteFallback: {
      // A run of byte tokens stands or falls as a whole, so none of it is certain before the run ends.
      if (const int byte = ByteOfToken(text); byte >= 0) {
        memory.held.push_back(static_cast<char>(byte));
        return {};
      }
      MRS_RETURN_IF_ERROR(FlushByteRun(index));
      return Feed(index + 1, text);
    }
    case DecoderStep::kFuse:
      return Feed(index + 1, text);
    case DecoderStep::kStrip:
      if (!step.fused) {
        memory = {};
        MRS_RETURN_IF_ERROR(Strip(index, text));
        memory.held.clear();
        return {};
      }
      return Strip(index, text);
    case DecoderStep::kMetaspace: {
      const bool first = !std::exchange(memory.started, true);
      return Feed(index + 1, ReplaceLiteral(text, step.content, first && step.drop_first_marks ? "" : " "));
    }
  }
  return {};
}

Status DecodeStream::Flush(size_t index) {
  const DecoderStep& step = decoder_->steps[index];
  if (step.kind == DecoderStep::kByteFallback) return FlushByteRun(index);
  if (step.kind == DecoderStep::kByteLevel && !memory_[index].held.empty()) {
    memory_[index].held.clear();
    return Feed(index + 1, kReplacementCharacter);
  }
  return {};  // what Strip holds is dropped: it is the end of the text
}

Status DecodeStream::FlushByteRun(size_t index) {
  const std::string run = std::exchange(memory_[index].held, {});
  if (run.empty()) return {};
  if (FindInvalidUtf8(run) == std::string::npos) return Feed(index + 1, run);
  // As Hugging Face: a run that is not UTF-8 is one U+FFFD a byte.
  for (size_t i = 0; i < run.size(); ++i) MRS_RETURN_IF_ERROR(Feed(index + 1, kReplacementCharacter));
  return {};
}

// Takes characters off the start, and holds back those that would be taken off the end if the text ended here.
Status DecodeStream::Strip(size_t index, std::string_view text) {
  const DecoderStep& step = decoder_->steps[index];
  Memory& memory = memory_[index];
  while (!memory.started && memory.stripped < step.start_count && text.starts_with(step.content)) {
    text.remove_prefix(step.content.size());
    ++memory.stripped;
  }
  if (text.empty()) return {};
  memory.started = true;
  std::string now = std::exchange(memory.held, {});
  now.append(text);
  size_t end = now.size();
  for (size_t i = 0; i < step.stop_count && std::string_view(now).substr(0, end).ends_with(step.content); ++i) {
    end -= step.content.size();
  }
  memory.held = now.substr(end);
  now.resize(end);
  return now.empty() ? Status() : Feed(index + 1, now);
}

Result<std::string> DecodeTokenBytes(const Decoder& decoder, std::string_view token) {
  std::string bytes(token);
  for (const DecoderStep& step : decoder.steps) {
    switch (step.kind) {
      case DecoderStep::kByteLevel:
        bytes = FromByteAlphabet(bytes).value_or(bytes);
        break;
      case DecoderStep::kReplace: {
        MRS_ASSIGN_OR_RETURN(bytes, ReplaceAll(*step.pattern, step.content, bytes));
        break;
      }
      case DecoderStep::kByteFallback:
        if (const int byte = ByteOfToken(bytes); byte >= 0) return std::string(1, static_cast<char>(byte));
        break;
      case DecoderStep::kMetaspace:
        bytes = ReplaceLiteral(bytes, step.content, " ");
        break;
      case DecoderStep::kFuse:
      case DecoderStep::kStrip:
        break;  // of the text, not of a token
    }
  }
  return bytes;
}

}  // namespace mrs::text
