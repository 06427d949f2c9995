// How messages are put together and taken apart: what wire.cc and node_wire.cc share.
//
//   std::string out = Begin(MessageType::kReady);  Append(&out, uint32_t{7});  return End(std::move(out));
//   Reader reader(MessageType::kReady, body);  const uint32_t seven = reader.GetBounded(9, "number");
//   MRS_RETURN_IF_ERROR(reader.Finish());   // "malformed ready message between supervisor and rank (3 bytes): ..."
#pragma once

#include <bit>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "plans/status.h"
#include "runtime/world/wire.h"

namespace mrs::wire {

static_assert(std::endian::native == std::endian::little, "the wire is little-endian, and so must the host be");

template <typename T>
void Append(std::string* out, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

inline void AppendText(std::string* out, const std::string& text) {
  Append(out, static_cast<uint32_t>(text.size()));
  out->append(text);
}

inline void AppendInts(std::string* out, const std::vector<int32_t>& values) {
  out->append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int32_t));
}

inline std::string Begin(MessageType type) {
  std::string out;
  Append(&out, kMagic);
  Append(&out, kVersion);
  Append(&out, static_cast<uint16_t>(type));
  Append(&out, uint32_t{0});  // set by End
  return out;
}

inline std::string End(std::string out, uint64_t payload_bytes = 0) {
  const uint64_t body_bytes = out.size() - kHeaderBytes + payload_bytes;
  MRS_CHECK(body_bytes <= UINT32_MAX);
  const uint32_t length = static_cast<uint32_t>(body_bytes);
  std::memcpy(out.data() + 8, &length, sizeof(length));
  return out;
}

// Walks a body; after the first failure everything reads as zero, and Finish tells.
class Reader {
 public:
  Reader(MessageType type, Body body) : type_(type), body_(body) {}

  template <typename T>
  T Get() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (Take(sizeof(T))) std::memcpy(&value, body_.data() + at_ - sizeof(T), sizeof(T));
    return value;
  }

  uint32_t GetBounded(uint32_t max, const char* what) {
    const uint32_t value = Get<uint32_t>();
    if (value > max) Fail(what);
    return failed_ == nullptr ? value : 0;
  }

  bool GetBool(const char* what) {
    const uint8_t value = Get<uint8_t>();
    if (value > 1) Fail(what);
    return value == 1;
  }

  std::string GetText(uint32_t max, const char* what) {
    const uint32_t size = GetBounded(max, what);
    if (!Take(size)) return "";
    const std::string text(reinterpret_cast<const char*>(body_.data()) + at_ - size, size);
    if (text.find('\0') != std::string::npos) Fail(what);
    return text;
  }

  std::vector<int32_t> GetInts(uint64_t count) {
    std::vector<int32_t> values;
    if (!Take(count * sizeof(int32_t))) return values;
    values.resize(count);
    if (count != 0) {
      std::memcpy(values.data(), body_.data() + at_ - count * sizeof(int32_t), count * sizeof(int32_t));
    }
    return values;
  }

  Body GetBytes(uint64_t count) {
    if (!Take(count)) return {};
    return body_.subspan(at_ - count, count);
  }

  bool ok() const { return failed_ == nullptr; }
  size_t left() const { return failed_ == nullptr ? body_.size() - at_ : 0; }

  void Fail(const char* what) {
    if (failed_ == nullptr) failed_ = what;
  }

  Status Finish() {
    if (failed_ == nullptr && at_ != body_.size()) Fail("bytes past its end");
    if (failed_ == nullptr) return Status();
    return Refuse("malformed {} message between supervisor and rank ({} bytes): {}", MessageTypeName(type_),
                  body_.size(), failed_);
  }

 private:
  bool Take(uint64_t count) {
    if (failed_ != nullptr) return false;
    if (count > body_.size() - at_) {
      Fail("ends too early");
      return false;
    }
    at_ += count;
    return true;
  }

  MessageType type_;
  Body body_;
  size_t at_ = 0;
  const char* failed_ = nullptr;
};

}  // namespace mrs::wire
