#include "formats/checkpoint_file.h"

#include <gtest/gtest.h>
#include <openssl/sha.h>
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

const std::string kJson = R"({"a":{"dtype":"BF16","shape":[4,6],"data_offsets":[0,48]},)"
                          R"("e":{"dtype":"F32","shape":[2,3,4],"data_offsets":[48,144]},)"
                          R"("s":{"dtype":"F32","shape":[],"data_offsets":[144,148]},)"
                          R"("v":{"dtype":"F16","shape":[8],"data_offsets":[148,164]},)"
                          R"("w":{"dtype":"F16","shape":[8,1],"data_offsets":[164,180]}})";
const uint64_t kData = 8 + kJson.size();

// What a plan of that file says.
struct Recorded {
  std::string bytes = File(kJson, 180);
  std::string sha256 = ParseSafetensorsHeader(bytes, bytes.size(), "x")->sha256;
  RecordedFile file{.name = "x.safetensors",
                    .size_bytes = bytes.size(),
                    .header_bytes = kData,
                    .header_sha256 = {reinterpret_cast<const uint8_t*>(sha256.data()), sha256.size()},
                    .tensors = {{"a", "BF16", kData, 4, 6},
                                {"e", "F32", kData + 48, 6, 4},
                                {"s", "F32", kData + 144, 1, 1},
                                {"v", "F16", kData + 148, 8, 1},
                                {"w", "F16", kData + 164, 8, 1},
                                {"a", "BF16", kData, 4, 6}}};
};

// The message about one tensor that the plan has instead of those above.
std::string Error(const RecordedTensor& tensor) {
  Recorded recorded;
  recorded.file.tensors = {tensor};
  const Result<SafetensorsHeader> header = ParseSafetensorsHeader(recorded.bytes, recorded.bytes.size(), "x");
  const Status status = CheckRecordedTensors(*header, recorded.file, "x.safetensors");
  return status.ok() ? "accepted" : status.message();
}

TEST(CheckpointFile, AcceptsWhatTheHeaderSays) {
  const Recorded recorded;
  const Result<SafetensorsHeader> header = ParseSafetensorsHeader(recorded.bytes, recorded.bytes.size(), "x");
  const Status status = CheckRecordedTensors(*header, recorded.file, "x");
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(CheckpointFile, RefusesTensorsUnlikeTheHeader) {
  EXPECT_EQ(Error({"b", "BF16", kData, 4, 6}),
            "x.safetensors: the plan reads tensor \"b\", which the file's header has not; this plan is not this "
            "checkpoint's: rebuild it with mrs-plan build");
  EXPECT_EQ(Error({"a", "F16", kData, 4, 6}),
            "x.safetensors: tensor \"a\": the plan reads it as F16, the file's header says BF16; this plan is not this "
            "checkpoint's: rebuild it with mrs-plan build");
  EXPECT_EQ(Error({"a", "BF16", kData, 6, 4}),
            "x.safetensors: tensor \"a\": the plan reads it as 6 x 4, the file's header says [4, 6]; this plan is not "
            "this checkpoint's: rebuild it with mrs-plan build");
  EXPECT_EQ(Error({"a", "BF16", kData + 48, 4, 6}),
            fmt::format("x.safetensors: tensor \"a\": the plan reads it at byte {}, by the file's header it begins at "
                        "{}; this plan is not this checkpoint's: rebuild it with mrs-plan build",
                        kData + 48, kData));
}

// As many elements are not the same shape; a vector has one column, and leading dimensions are rows.
TEST(CheckpointFile, ComparesRowsAndColumnsWithEveryShape) {
  for (const auto& [name, at, rows, columns] : std::vector<std::tuple<std::string, uint64_t, uint64_t, uint64_t>>{
           {"e", 48, 2, 12}, {"e", 48, 24, 1}, {"e", 48, 3, 8}, {"e", 48, 12, 2}}) {
    EXPECT_EQ(
        Error({name, "F32", kData + at, rows, columns}),
        fmt::format("x.safetensors: tensor \"e\": the plan reads it as {} x {}, the file's header says [2, 3, 4]; "
                    "this plan is not this checkpoint's: rebuild it with mrs-plan build",
                    rows, columns));
  }
  EXPECT_NE(Error({"v", "F16", kData + 148, 1, 8}), "accepted");
  EXPECT_NE(Error({"w", "F16", kData + 164, 1, 8}), "accepted");
  EXPECT_NE(Error({"s", "F32", kData + 144, 2, 1}), "accepted");
}

class CheckpointFileOnDisk : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(mkdtemp(folder_.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& bytes) { std::ofstream(path(), std::ios::binary | std::ios::trunc) << bytes; }
  std::string path() const { return folder_ + "/x.safetensors"; }
  std::string OpenError(const RecordedFile& recorded) {
    const Result<int> file = OpenCheckpointFile(path(), recorded);
    if (!file.ok()) return file.message();
    close(*file);
    return "accepted";
  }

  std::string folder_ = std::filesystem::temp_directory_path() / "mrs_checkpoint_file_XXXXXX";
};

TEST_F(CheckpointFileOnDisk, GivesOutTheDescriptorThatWasChecked) {
  const Recorded recorded;
  Write(recorded.bytes);
  const Result<int> file = OpenCheckpointFile(path(), recorded.file);
  ASSERT_TRUE(file.ok()) << file.message();
  // Another file in its place changes nothing for who has the first one open.
  std::filesystem::remove(path());
  Write("other");
  std::string start(kData, '\0');
  EXPECT_EQ(pread(*file, start.data(), start.size(), 0), static_cast<ssize_t>(kData));
  EXPECT_EQ(start, recorded.bytes.substr(0, kData));
  close(*file);
}

TEST_F(CheckpointFileOnDisk, RefusesAnotherHeaderThenAnotherSizeThenOtherTensors) {
  Recorded recorded;
  recorded.file.tensors[1].rows = 24;
  recorded.file.tensors[1].columns = 1;
  Write(File(std::string(kJson.size() - 2, ' ') + "{}", 7));
  EXPECT_EQ(OpenError(recorded.file).find(path() + ": its header does not match the plan (expected sha256 "), 0);
  Write(recorded.bytes + "x");
  EXPECT_EQ(OpenError(recorded.file),
            fmt::format("{}: the plan expects {} bytes, the file has {}; copy it again, or rebuild the plan with "
                        "mrs-plan build",
                        path(), recorded.bytes.size(), recorded.bytes.size() + 1));
  Write(recorded.bytes);
  EXPECT_EQ(OpenError(recorded.file),
            path() +
                ": tensor \"e\": the plan reads it as 24 x 1, the file's header says [2, 3, 4]; this plan is not "
                "this checkpoint's: rebuild it with mrs-plan build");
}

// A hash of less than the header, or of more, is not the header's.
TEST_F(CheckpointFileOnDisk, RefusesAHashOfAnotherLength) {
  Recorded recorded;
  Write(recorded.bytes);
  const auto error_of = [&](uint64_t header_bytes) {
    std::string digest(SHA256_DIGEST_LENGTH, '\0');
    SHA256(reinterpret_cast<const uint8_t*>(recorded.bytes.data()), header_bytes,
           reinterpret_cast<uint8_t*>(digest.data()));
    recorded.file.header_bytes = header_bytes;
    recorded.file.header_sha256 = {reinterpret_cast<const uint8_t*>(digest.data()), digest.size()};
    return OpenError(recorded.file);
  };
  EXPECT_EQ(error_of(kData), "accepted");
  EXPECT_EQ(error_of(kData + 10),
            fmt::format("{}: the plan expects a header of {} bytes, the file has {}; rebuild the plan with mrs-plan "
                        "build",
                        path(), kData + 10, kData));
  EXPECT_EQ(error_of(kData - 1), fmt::format("{}: header of {} bytes, {} given", path(), kData, kData - 1));
  EXPECT_EQ(error_of(0),
            fmt::format("{}: {} bytes, but a safetensors file starts with an 8-byte header length; download it again",
                        path(), recorded.bytes.size()));
  recorded.file.header_bytes = 100'000'009;
  EXPECT_EQ(OpenError(recorded.file),
            path() + ": the plan expects a header of 100000009 bytes; at most 100000008 are accepted");
}

}  // namespace
}  // namespace mrs
