// SHA-256, the name of a plan and the seal on it.
//
//   Hex(Sha256(bytes))  ->  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" for no bytes
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace mrs {

using Sha256Digest = std::array<uint8_t, 32>;

// Takes bytes in pieces: Sha256Stream s; s.Update(a); s.Update(b); s.Finish() == Sha256(a + b).
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;

  void Update(std::span<const std::byte> bytes);
  Sha256Digest Finish();  // and starts anew

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Sha256Digest Sha256(std::span<const std::byte> bytes);
std::string Hex(std::span<const uint8_t> bytes);  // lower case

}  // namespace mrs
