#include "plans/sha256.h"

#include <gtest/gtest.h>

#include <string>

namespace mrs {
namespace {

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

// FIPS 180-2, appendix B.
TEST(Sha256, GivesTheStandardsAnswers) {
  EXPECT_EQ(Hex(Sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Hex(Sha256(Bytes("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Hex(Sha256(Bytes(std::string(1'000'000, 'a')))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, OfPiecesIsThatOfTheWhole) {
  Sha256Stream stream;
  stream.Update(Bytes("a"));
  stream.Update({});
  stream.Update(Bytes("bc"));
  EXPECT_EQ(stream.Finish(), Sha256(Bytes("abc")));
  EXPECT_EQ(stream.Finish(), Sha256({})) << "Finish starts anew";
}

}  // namespace
}  // namespace mrs
