#include "planner/weight_index.h"

#include <gmock/gmock.h>

#include "planner/model_folder_for_test.h"

namespace mrs {
namespace {

std::string Error(const ModelFolder& folder) {
  const Result<Checkpoint> checkpoint = ReadCheckpoint(folder.path());
  return checkpoint.ok() ? "accepted" : checkpoint.message();
}

TEST(WeightIndex, ReadsOneFile) {
  ModelFolder folder;
  folder.Write("model.safetensors", SafetensorsFile({{"b", "BF16", {2, 4}}, {"a", "F32", {}}, {"q", "F8_E4M3", {3}}}));
  const Result<Checkpoint> checkpoint = ReadCheckpoint(folder.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.message();
  ASSERT_EQ(checkpoint->files.size(), 1u);
  const CheckpointFile& file = checkpoint->files[0];
  EXPECT_EQ(file.name, "model.safetensors");
  EXPECT_EQ(file.size_bytes, file.header_bytes + 16 + 4 + 3);
  EXPECT_EQ(file.header_sha256.size(), 32u);
  ASSERT_EQ(checkpoint->tensors.size(), 2u);
  const TensorInfo& b = checkpoint->tensors.at("b");
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.dtype, ElementType::kBf16);
  EXPECT_EQ(b.shape, (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(b.file, 0u);
  EXPECT_EQ(b.file_offset, file.header_bytes);
  EXPECT_EQ(b.bytes, 16u);
  EXPECT_EQ(checkpoint->tensors.at("a").file_offset, file.header_bytes + 16);
  EXPECT_EQ(checkpoint->other_dtypes, (std::map<std::string, std::string>{{"q", "F8_E4M3"}}));
}

TEST(WeightIndex, ReadsTheFilesOfAnIndexSorted) {
  ModelFolder folder;
  folder.Write("m-2.safetensors", SafetensorsFile({{"b", "F16", {5}}, {"stray", "F16", {1}}}));
  folder.Write("m-1.safetensors", SafetensorsFile({{"b", "F16", {7}}, {"a", "F16", {3}}}));
  folder.Write("model.safetensors.index.json",
               R"({"metadata": {}, "weight_map": {"b": "m-2.safetensors", "a": "m-1.safetensors"}})");
  const Result<Checkpoint> checkpoint = ReadCheckpoint(folder.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.message();
  ASSERT_EQ(checkpoint->files.size(), 2u);
  EXPECT_EQ(checkpoint->files[0].name, "m-1.safetensors");
  EXPECT_EQ(checkpoint->files[1].name, "m-2.safetensors");
  EXPECT_EQ(checkpoint->tensors.size(), 2u);  // the index decides: neither m-1's "b" nor "stray"
  EXPECT_EQ(checkpoint->tensors.at("a").file, 0u);
  EXPECT_EQ(checkpoint->tensors.at("b").file, 1u);
  EXPECT_EQ(checkpoint->tensors.at("b").shape, (std::vector<int64_t>{5}));
}

TEST(WeightIndex, PrefersTheSingleFile) {
  ModelFolder folder;
  folder.Write("model.safetensors", SafetensorsFile({{"a", "F32", {1}}}));
  folder.Write("model.safetensors.index.json", "broken");
  EXPECT_EQ(Error(folder), "accepted");
}

TEST(WeightIndex, SaysWhatFolderItNeeds) {
  EXPECT_EQ(ReadCheckpoint("/nonexistent/model").message(),
            "/nonexistent/model: is not a folder; give the folder of a Hugging Face checkpoint");
  ModelFolder folder;
  EXPECT_EQ(Error(folder), folder.path() +
                               ": has neither model.safetensors nor model.safetensors.index.json; give the folder of a "
                               "Hugging Face checkpoint in safetensors format");
}

TEST(WeightIndex, NamesTheFileThatIsMissingOrTruncated) {
  ModelFolder folder;
  folder.Write("model.safetensors.index.json", R"({"weight_map": {"a": "m.safetensors"}})");
  EXPECT_EQ(Error(folder), folder.path() +
                               ": lacks m.safetensors, which model.safetensors.index.json names (1 of its 1 files are "
                               "missing); download what is missing");
  const std::string whole = SafetensorsFile({{"a", "F32", {4}}});
  folder.Write("m.safetensors", whole.substr(0, whole.size() - 3));
  EXPECT_EQ(Error(folder),
            fmt::format("{}/m.safetensors: expected {} bytes by its header, the file has {}; it is truncated: download "
                        "it again",
                        folder.path(), whole.size(), whole.size() - 3));
}

TEST(WeightIndex, NamesAFileThatTheIndexKnowsAndTheFolderLacks) {
  ModelFolder folder;
  folder.Write("model.safetensors.index.json", R"({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors",
                                                   "c": "m-3.safetensors"}})");
  folder.Write("m-1.safetensors", SafetensorsFile({{"a", "F32", {4}}}));
  folder.Write("m-3.safetensors", SafetensorsFile({{"c", "F32", {4}}}));
  EXPECT_EQ(Error(folder), folder.path() +
                               ": lacks m-2.safetensors, which model.safetensors.index.json names (1 of its 3 files "
                               "are missing); download what is missing");
}

TEST(WeightIndex, ATensorThatOnlyTheIndexKnowsIsListedApart) {
  ModelFolder folder;
  folder.Write("m.safetensors", SafetensorsFile({{"a", "F32", {4}}, {"q", "F8_E4M3", {1}}}));
  folder.Write("model.safetensors.index.json",
               R"({"weight_map": {"a": "m.safetensors", "q": "m.safetensors", "b": "m.safetensors"}})");
  const Result<Checkpoint> checkpoint = ReadCheckpoint(folder.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.message();
  EXPECT_EQ(checkpoint->only_in_index, (std::map<std::string, std::string>{{"b", "m.safetensors"}}));
}

TEST(WeightIndex, AnIndexIsReadByItself) {
  ModelFolder folder;
  const auto total = [&](const char* metadata) {
    folder.Write("model.safetensors.index.json",
                 fmt::format(R"({{"metadata": {}, "weight_map": {{"b": "m-2.safetensors", "a": "m-1.safetensors"}}}})",
                             metadata));
    const Result<WeightIndex> index = ReadWeightIndex(folder.path());
    EXPECT_TRUE(index.ok()) << index.message();
    EXPECT_EQ(index->file_of, (std::map<std::string, std::string>{{"a", "m-1.safetensors"}, {"b", "m-2.safetensors"}}));
    EXPECT_EQ(index->file_names.size(), 2u);
    return index->total_bytes;
  };
  EXPECT_EQ(total(R"({"total_size": 141107412992})"), 141107412992);
  EXPECT_EQ(total(R"({"total_size": 16060522496.0})"), 16060522496);
  for (const char* none : {"{}", "null", "7", R"({"total_size": "many"})", R"({"total_size": -1})",
                           R"({"total_size": 1e300})", R"({"total_size": null})"}) {
    EXPECT_EQ(total(none), 0) << none;
  }
}

TEST(WeightIndex, NamesWeightsOfAnotherFormat) {
  ModelFolder folder;
  folder.Write("pytorch_model.bin", "x");
  EXPECT_EQ(Error(folder), folder.path() +
                               ": has neither model.safetensors nor model.safetensors.index.json, only "
                               "pytorch_model.bin; give the folder of a Hugging Face checkpoint in safetensors format");
  folder.Write("model-00001-of-00002.safetensors", "x");
  EXPECT_THAT(Error(folder), ::testing::HasSubstr(", only model-00001-of-00002.safetensors and 1 more; give"));
}

TEST(WeightIndex, RefusesFilesOutsideTheFolder) {
  ModelFolder folder;
  for (const char* name : {R"("../m.safetensors")", R"("/etc/m.safetensors")", R"("a/m.safetensors")", R"("m.bin")",
                           "7", R"("")", R"(".safetensors")", R"("..safetensors")"}) {
    folder.Write("model.safetensors.index.json", fmt::format(R"({{"weight_map": {{"a": {}}}}})", name));
    EXPECT_EQ(Error(folder), fmt::format("model.safetensors.index.json: tensor \"a\": expected the plain name of a "
                                         ".safetensors file in the same folder, got {}",
                                         name));
  }
}

TEST(WeightIndex, RefusesAnIndexUnlikeItsFiles) {
  ModelFolder folder;
  folder.Write("m.safetensors", SafetensorsFile({{"a", "F32", {4}}}));
  folder.Write("model.safetensors.index.json", "{}");
  EXPECT_EQ(Error(folder), "model.safetensors.index.json: 'weight_map' is missing; expected an object");
  folder.Write("model.safetensors.index.json", R"({"weight_map": [)");
  EXPECT_THAT(Error(folder), ::testing::StartsWith("model.safetensors.index.json: line 1, column "));
}

}  // namespace
}  // namespace mrs
