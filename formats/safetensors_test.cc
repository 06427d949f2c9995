#include "formats/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace mrs {
namespace {

// A file's bytes: length, JSON, `data_bytes` zeros.
std::string File(const std::string& json, size_t data_bytes) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(json.size() >> (8 * i));
  return bytes + json + std::string(data_bytes, '\0');
}

std::string Error(const std::string& bytes) {
  const Result<SafetensorsHeader> header = ParseSafetensorsHeader(bytes, bytes.size(), "x.safetensors");
  return header.ok() ? "accepted" : header.message();
}

std::string Error(const std::string& json, size_t data_bytes) { return Error(File(json, data_bytes)); }

TEST(Safetensors, ReadsTensorsInFileOrder) {
  const std::string json = R"({"__metadata__":{"format":"pt"},)"
                           R"("b":{"dtype":"F32","shape":[],"data_offsets":[16,20]},)"
                           R"("a":{"dtype":"BF16","shape":[2,4],"data_offsets":[0,16]},)"
                           R"("e":{"dtype":"I64","shape":[3,0],"data_offsets":[20,20]}}   )";
  const std::string bytes = File(json, 20);
  const Result<SafetensorsHeader> header = ParseSafetensorsHeader(bytes, bytes.size(), "x");
  ASSERT_TRUE(header.ok()) << header.message();
  EXPECT_EQ(header->file_bytes, bytes.size());
  EXPECT_EQ(header->header_bytes, 8 + json.size());
  EXPECT_EQ(header->sha256.size(), 32u);
  ASSERT_EQ(header->tensors.size(), 3u);
  EXPECT_EQ(header->tensors[0].name, "a");
  EXPECT_EQ(header->tensors[0].dtype, "BF16");
  EXPECT_EQ(header->tensors[0].shape, (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(header->tensors[0].begin, 8 + json.size());
  EXPECT_EQ(header->tensors[0].end, 24 + json.size());
  EXPECT_EQ(header->tensors[1].name, "b");
  EXPECT_EQ(header->tensors[2].name, "e");
}

TEST(Safetensors, HashesLengthAndJsonOnly) {
  // printf '\x02\0\0\0\0\0\0\0{}' | sha256sum
  const std::string bytes = File("{}", 0);
  const Result<SafetensorsHeader> header = ParseSafetensorsHeader(bytes, bytes.size(), "x");
  ASSERT_TRUE(header.ok()) << header.message();
  std::string hex;
  for (const char byte : header->sha256) hex += fmt::format("{:02x}", static_cast<uint8_t>(byte));
  EXPECT_EQ(hex, "411a485216e432ece6b9af94fa32154cf79a2a56d4f81266baa50063f45092bd");
}

TEST(Safetensors, RefusesFilesThatEndEarly) {
  EXPECT_EQ(Error(""),
            "x.safetensors: 0 bytes, but a safetensors file starts with an 8-byte header length; download it again");
  EXPECT_EQ(Error("1234567"),
            "x.safetensors: 7 bytes, but a safetensors file starts with an 8-byte header length; download it again");
  EXPECT_EQ(Error(File("{}", 0).substr(0, 9)),
            "x.safetensors: its first 8 bytes announce a header of 2 bytes, but only 1 bytes follow; the file is "
            "truncated or not safetensors: download it again");
  EXPECT_EQ(Error(std::string(8, '\xff')),
            "x.safetensors: its first 8 bytes announce a header of 18446744073709551615 bytes, but only 0 bytes "
            "follow; the file is truncated or not safetensors: download it again");
  const std::string whole = File(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", 16);
  EXPECT_EQ(Error(whole), "accepted");
  EXPECT_EQ(Error(whole.substr(0, whole.size() - 1)),
            "x.safetensors: expected 79 bytes by its header, the file has 78; it is truncated: download it again");
}

TEST(Safetensors, RefusesHeadersPastTheCap) {
  std::string start(8, '\0');
  start[3] = '\x06';  // 6 x 2^24
  EXPECT_EQ(ParseSafetensorsHeader(start, uint64_t{1} << 40, "x").message(),
            "x: header of 100663296 bytes; at most 100000000 are accepted");
}

TEST(Safetensors, RefusesMalformedHeaders) {
  EXPECT_EQ(Error("[1]", 0), "x.safetensors: header: expected an object, got an array of 1 values");
  EXPECT_EQ(Error(R"({"a":7})", 0), R"(x.safetensors: tensor "a": expected an object with 'dtype', got 7)");
  EXPECT_EQ(Error(R"({"a":{"dtype":"F7","shape":[],"data_offsets":[0,4]}})", 4),
            R"(x.safetensors: tensor "a": dtype "F7" is unknown)");
  EXPECT_EQ(Error(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4),
            R"(x.safetensors: tensor "a": 'shape' is missing; expected an array)");
  EXPECT_EQ(Error(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4),
            R"(x.safetensors: tensor "a": 'shape': expected integers from 0 to 9223372036854775807, got -1)");
  EXPECT_EQ(Error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4),
            R"(x.safetensors: tensor "a": 'data_offsets': expected 2 integers, got 1)");
  EXPECT_EQ(Error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4),
            R"(x.safetensors: tensor "a": 'data_offsets': begin 4 is past end 0)");
  EXPECT_EQ(Error(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4),
            R"(x.safetensors: tensor "a": 'shape': expected integers from 0 to 9223372036854775807, got 1.5)");
}

TEST(Safetensors, RefusesDuplicateNames) {
  EXPECT_EQ(
      Error(
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
          2),
      R"(x.safetensors: header: line 1, column 56: the key "a" appears twice in one object)");
}

TEST(Safetensors, RefusesSizesUnlikeTheirShapes) {
  EXPECT_EQ(Error(R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}})", 20),
            R"(x.safetensors: tensor "a": F32 [2, 3] is 24 bytes, but 'data_offsets' span 20)");
  EXPECT_EQ(Error(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2),
            R"(x.safetensors: tensor "a": F4 [3] is 2 bytes, but 'data_offsets' span 2)");
  EXPECT_EQ(Error(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0),
            R"(x.safetensors: tensor "a": shape [4611686018427387904, 4] is too large)");
}

TEST(Safetensors, RefusesOverlapsAndHoles) {
  EXPECT_EQ(
      Error(
          R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[4,12]}})",
          12),
      R"(x.safetensors: tensors "a" and "b" overlap: [4, 12) begins before 8)");
  EXPECT_EQ(
      Error(
          R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[9,17]}})",
          17),
      R"(x.safetensors: data [8, 9) before tensor "b" belongs to no tensor)");
  EXPECT_EQ(Error(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})", 10),
            "x.safetensors: expected 69 bytes by its header, the file has 71; the last 2 belong to no tensor");
}

TEST(Safetensors, ReadsOnlyTheHeaderOfAFile) {
  std::string folder = std::filesystem::temp_directory_path() / "mrs_safetensors_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/a.safetensors";
  EXPECT_EQ(
      ReadSafetensorsHeader(path).message(),
      path + ": cannot be opened: No such file or directory; the checkpoint is incomplete: download this file too");
  EXPECT_EQ(ReadSafetensorsHeader(folder).message(), folder + ": is a directory, expected a file");
  const std::string json = R"({"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}})";
  std::ofstream(path, std::ios::binary) << File(json, 0);
  // Sparse: four terabytes that nobody reads.
  if (truncate(path.c_str(), static_cast<off_t>(8 + json.size() + 4398046511104)) == 0) {
    const Result<SafetensorsHeader> header = ReadSafetensorsHeader(path);
    ASSERT_TRUE(header.ok()) << header.message();
    EXPECT_EQ(header->tensors.at(0).end, 8 + json.size() + 4398046511104);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace mrs
