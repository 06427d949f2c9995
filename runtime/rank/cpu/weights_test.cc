#include "runtime/rank/cpu/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "plans/dtype.h"
#include "plans/encoding.h"
#include "plans/sha256.h"
#include "runtime/rank/model_files.h"
#include "runtime/rank/weight_reads.h"
#include "runtime/testing/weight_cases.h"

namespace mrs {
namespace {

using ::testing::HasSubstr;
using testing::TestModel;

class WeightsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/weights_" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
  ThreadPool pool_{3, false};
};

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteAll(const std::string& path, const std::string& bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string ArenaBytes(const Arena& arena) { return {reinterpret_cast<const char*>(arena.data()), arena.size_bytes()}; }

// The whole arena of a rank, element by element, from the plan's rules and the packed layout's formula. All values of a
// test model are exact in bf16.
std::string NaiveArena(const TestModel& model, uint32_t rank) {
  const plan::Plan& plan = model.plan();
  const plan::Stage& stage = *plan.stages()->Get(0);
  const uint32_t c = plan.ranks()->Get(rank)->tp();
  std::string arena(stage.weight_arena_bytes(), '\0');
  const auto store = [&](uint64_t at, float value, plan::DType dtype) {
    const uint32_t bits = std::bit_cast<uint32_t>(value) >> (dtype == plan::DType::bf16 ? 16 : 0);
    std::memcpy(arena.data() + at, &bits, ByteSize(dtype));
  };
  for (const plan::Weight* weight : *stage.weights()) {
    for (uint32_t s = 0; s < weight->source_count(); ++s) {
      const plan::WeightSource& source = *stage.sources()->Get(weight->source_begin() + s);
      const testing::TestTensor& tensor = model.tensors.at(plan.names()->Get(source.name())->str());
      const uint64_t first_row = source.rows().start() + source.rows().step() * (c / source.rows().every());
      const uint64_t first_column = source.columns().start() + source.columns().step() * (c / source.columns().every());
      for (uint64_t r = 0; r < source.rows().size() && first_row + r < source.row_count(); ++r) {
        for (uint64_t k = 0; k < source.columns().size(); ++k) {
          const uint64_t tensor_row = source.row_begin() + first_row + r;
          float value = tensor.values[tensor_row * tensor.columns + first_column + k];
          if (source.transform() == plan::Transform::add_one) value += 1.0F;
          const uint64_t row = source.dest_row() + r;
          uint64_t element = row;
          if (plan.encodings()->Get(weight->encoding())->kind() == plan::EncodingKind::packed) {
            const uint64_t padded = (weight->chunk_k() + 31) / 32 * 32;
            const uint64_t chunk = k / weight->chunk_k();
            const uint64_t kk = k % weight->chunk_k();
            element = ((row / 16 * weight->chunk_count() + chunk) * padded + (kk & ~uint64_t{1})) * 16 + row % 16 * 2 +
                      (kk & 1);
          }
          store(weight->offset() + element * ByteSize(weight->dtype()), value, weight->dtype());
        }
      }
    }
  }
  return arena;
}

TEST_F(WeightsTest, PacksEverySliceAsANaiveLoaderDoes) {
  for (const uint32_t tp : {1, 2, 4}) {
    for (const plan::DType file_dtype : {plan::DType::f32, plan::DType::bf16, plan::DType::f16}) {
      for (const plan::DType dtype : {plan::DType::f32, plan::DType::bf16}) {
        const TestModel model =
            testing::MakeTestModel({.tp = tp, .file_dtype = file_dtype, .dtype = dtype, .layers = 1}, directory_);
        for (uint32_t rank = 0; rank < tp; ++rank) {
          const Result<LoadedWeights> loaded = LoadWeights(model.plan(), rank, directory_, pool_, {});
          ASSERT_TRUE(loaded.ok()) << loaded.message();
          EXPECT_TRUE(ArenaBytes(loaded->arena) == NaiveArena(model, rank))
              << "tp " << tp << " rank " << rank << " " << plan::EnumNameDType(file_dtype) << " to "
              << plan::EnumNameDType(dtype);
        }
      }
    }
  }
}

// As of a fused tensor: rows from the middle on, and of the last rank's fewer than it has room for.
TEST_F(WeightsTest, ReadsOnlyTheRowsOfAPart) {
  for (const uint32_t tp : {1, 2, 4}) {
    TestModel model = testing::MakeTestModel({.tp = tp, .file_dtype = plan::DType::bf16, .layers = 1}, directory_);
    for (plan::WeightSource& source : model.tree.stages[0]->sources) {
      if (model.tree.names[source.name()] != "l0.gate") continue;
      const uint64_t part = 48 / tp;
      source.mutable_rows().mutate_size(part);
      source.mutable_rows().mutate_step(tp == 1 ? 0 : static_cast<int64_t>(part));
      source.mutate_row_begin(37);
      source.mutate_row_count(43);
    }
    testing::Repack(&model);
    for (uint32_t rank = 0; rank < tp; ++rank) {
      const Result<LoadedWeights> loaded = LoadWeights(model.plan(), rank, directory_, pool_, {});
      ASSERT_TRUE(loaded.ok()) << loaded.message();
      EXPECT_TRUE(ArenaBytes(loaded->arena) == NaiveArena(model, rank)) << "tp " << tp << " rank " << rank;
    }
  }
}

// As of norms that scale by 1 + w: in f32, whatever the file's type, and of vectors that ranks share out, too.
TEST_F(WeightsTest, AddsOneInF32) {
  for (const plan::DType file_dtype : {plan::DType::f32, plan::DType::bf16, plan::DType::f16}) {
    TestModel model = testing::MakeTestModel({.tp = 2, .file_dtype = file_dtype, .layers = 1}, directory_);
    const std::string plain = NaiveArena(model, 1);
    for (plan::WeightSource& source : model.tree.stages[0]->sources) {
      if (source.tensor_columns() == 1) source.mutate_transform(plan::Transform::add_one);
    }
    testing::Repack(&model);
    const Result<LoadedWeights> loaded = LoadWeights(model.plan(), 1, directory_, pool_, {});
    ASSERT_TRUE(loaded.ok()) << loaded.message();
    EXPECT_TRUE(ArenaBytes(loaded->arena) == NaiveArena(model, 1)) << plan::EnumNameDType(file_dtype);
    EXPECT_FALSE(ArenaBytes(loaded->arena) == plain);
  }
}

// Two tensors in one matrix, the second starting inside a block of 16 rows; large enough for several tiles.
TEST_F(WeightsTest, PacksSeveralTensorsIntoOneMatrix) {
  TestModel model = testing::MakeTestModel({.tp = 2, .layers = 1, .hidden = 1040, .ffn = 1032}, directory_);
  testing::FuseInto(&model, {"l0.gate", "l0.up"});
  ASSERT_NE(model.tree.stages[0]->weights.back().n() / 2 % 16, 0);
  testing::Repack(&model);
  const Result<LoadedWeights> loaded = LoadWeights(model.plan(), 1, directory_, pool_, {});
  ASSERT_TRUE(loaded.ok()) << loaded.message();
  EXPECT_TRUE(ArenaBytes(loaded->arena) == NaiveArena(model, 1));
}

// Each rank's own copy holds NaN wherever the rank has no business.
TEST_F(WeightsTest, ReadsPlannedBytesOnly) {
  const TestModel model = testing::MakeTestModel({.tp = 4}, directory_);
  const std::string whole = ReadAll(model.file);
  for (uint32_t rank = 0; rank < 4; ++rank) {
    std::string blind(whole.size(), '\xFF');
    blind.replace(0, model.header_bytes, whole, 0, model.header_bytes);
    const std::vector<WeightRead> reads = PlanWeightReads(model.plan(), rank);
    for (const WeightRead& read : reads) {
      for (uint64_t row = 0; row < read.row_count; ++row) {
        const uint64_t at = read.file_offset + row * read.row_stride_bytes;
        blind.replace(at, read.row_bytes, whole, at, read.row_bytes);
      }
    }
    EXPECT_NE(blind, whole);
    WriteAll(fmt::format("{}/copy{}/model.safetensors", directory_, rank), blind);
    const Result<LoadedWeights> loaded = LoadWeights(model.plan(), rank, directory_ + "/copy{rank}", pool_, {});
    ASSERT_TRUE(loaded.ok()) << loaded.message();
    EXPECT_TRUE(ArenaBytes(loaded->arena) == NaiveArena(model, rank));
    EXPECT_EQ(loaded->read_bytes, ReadBytes(reads));
  }
}

TEST_F(WeightsTest, ReportsProgressUpToTheTotal) {
  const TestModel model = testing::MakeTestModel({}, directory_);
  uint64_t last = 0;
  const Result<LoadedWeights> loaded =
      LoadWeights(model.plan(), 0, directory_, pool_, [&](uint64_t done, uint64_t total) {
        EXPECT_GT(done, last);
        EXPECT_LE(done, total);
        last = done;
      });
  ASSERT_TRUE(loaded.ok()) << loaded.message();
  EXPECT_EQ(last, loaded->read_bytes);
}

TEST_F(WeightsTest, RefusesFilesThatAreNotThePlans) {
  const TestModel model = testing::MakeTestModel({}, directory_);
  const std::string whole = ReadAll(model.file);
  const auto error = [&] {
    const Result<LoadedWeights> loaded = LoadWeights(model.plan(), 0, directory_, pool_, {});
    return loaded.ok() ? "loaded" : loaded.message();
  };
  std::string other = whole;
  other[0] = 'x';
  WriteAll(model.file, other);
  EXPECT_EQ(
      error(),
      fmt::format("{}: its header does not match the plan (expected sha256 {}, actual {}): this plan was made for "
                  "another checkpoint; rebuild it with mrs-plan build",
                  model.file, Hex(model.tree.files[0]->header_sha256),
                  Hex(Sha256(std::as_bytes(std::span(other)).first(model.header_bytes)))));
  WriteAll(model.file, whole.substr(0, whole.size() - 1));
  EXPECT_EQ(error(), fmt::format("{}: truncated: the plan expects {} bytes, the file has {}; copy it again", model.file,
                                 whole.size(), whole.size() - 1));
  WriteAll(model.file, whole.substr(0, 10));
  EXPECT_EQ(error(), fmt::format("{}: truncated: the plan expects {} bytes, the file has 10; copy it again", model.file,
                                 whole.size()));
  WriteAll(model.file, whole + "x");
  EXPECT_THAT(error(),
              HasSubstr(fmt::format("the plan expects {} bytes, the file has {}", whole.size(), whole.size() + 1)));
  std::filesystem::remove(model.file);
  EXPECT_THAT(error(), HasSubstr(model.file + ": cannot be opened: No such file or directory"));
  std::filesystem::create_directory(model.file);
  EXPECT_EQ(error(), model.file + ": is a directory, expected a file");
  std::filesystem::remove(model.file);
  WriteAll(model.file, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 99\n");
  EXPECT_THAT(error(), HasSubstr(model.file + ": is a git-lfs pointer, not the file that it stands for"));
}

// Checked and read through one descriptor: another file of that name, put there meanwhile, is nobody's business.
TEST_F(WeightsTest, ReadsTheFileThatWasChecked) {
  const TestModel model = testing::MakeTestModel({}, directory_);
  const Result<ModelFiles> files = ModelFiles::Open(model.plan(), directory_, {true});
  ASSERT_TRUE(files.ok()) << files.message();
  const std::string whole = ReadAll(model.file);
  std::filesystem::remove(model.file);
  WriteAll(model.file, std::string(whole.size(), 'x'));
  std::string read(whole.size(), '\0');
  const Status status = files->Read(0, 0, std::as_writable_bytes(std::span(read)));
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(read == whole);
  EXPECT_TRUE(files->CheckUnchanged().ok());
}

// Half of one checkpoint and half of another would load as well as either.
TEST_F(WeightsTest, RefusesAFileWrittenToWhileItIsLoaded) {
  const TestModel model = testing::MakeTestModel({}, directory_);
  std::filesystem::last_write_time(model.file, std::filesystem::file_time_type{});
  const Result<LoadedWeights> loaded = LoadWeights(model.plan(), 0, directory_, pool_, [&](uint64_t, uint64_t) {
    std::fstream(model.file, std::ios::binary | std::ios::in | std::ios::out).seekp(-1, std::ios::end).put('x');
  });
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.message(),
            model.file + ": somebody wrote to it while it was loaded; start again once it is complete");
}

// The right file, but a plan that says something else of it: names, places, shapes and types are the header's.
TEST_F(WeightsTest, RefusesSourcesUnlikeTheFilesHeader) {
  const TestModel model = testing::MakeTestModel({}, directory_);
  const auto error_of = [&](auto change) {
    TestModel other = testing::MakeTestModel({}, directory_);
    std::vector<plan::WeightSource>& sources = other.tree.stages[0]->sources;
    const auto source_of = [&](const std::string& name) -> plan::WeightSource& {
      return *std::find_if(sources.begin(), sources.end(),
                           [&](const plan::WeightSource& source) { return other.tree.names[source.name()] == name; });
    };
    change(source_of("l0.gate"), source_of("l0.up"));
    testing::Repack(&other);
    const Result<LoadedWeights> loaded = LoadWeights(other.plan(), 0, directory_, pool_, {});
    return loaded.ok() ? "loaded" : loaded.message();
  };
  const std::string next = "; this plan is not this checkpoint's: rebuild it with mrs-plan build";
  const uint64_t gate_at = model.tensors.at("l0.gate").file_offset;
  const uint64_t up_at = model.tensors.at("l0.up").file_offset;
  EXPECT_EQ(error_of([](plan::WeightSource&, plan::WeightSource&) {}), "loaded");
  EXPECT_EQ(error_of([&](plan::WeightSource& gate, plan::WeightSource& up) {
              gate.mutate_file_offset(up_at);
              up.mutate_file_offset(gate_at);
            }),
            fmt::format("{}: tensor \"l0.gate\": the plan reads it at byte {}, by the file's header it begins at {}{}",
                        model.file, up_at, gate_at, next));
  EXPECT_EQ(error_of([&](plan::WeightSource& gate, plan::WeightSource& up) { gate.mutate_name(up.name()); }),
            fmt::format("{}: tensor \"l0.up\": the plan reads it at byte {}, by the file's header it begins at {}{}",
                        model.file, gate_at, up_at, next));
  EXPECT_EQ(error_of([&](plan::WeightSource& gate, plan::WeightSource&) {
              gate.mutate_tensor_rows(48);
              gate.mutate_tensor_columns(96);
            }),
            fmt::format("{}: tensor \"l0.gate\": the plan reads it as 48 x 96, the file's header says [96, 48]{}",
                        model.file, next));
  EXPECT_EQ(
      error_of([&](plan::WeightSource& gate, plan::WeightSource&) { gate.mutate_dtype(plan::DType::bf16); }),
      fmt::format("{}: tensor \"l0.gate\": the plan reads it as BF16, the file's header says F32{}", model.file, next));
}

TEST(ModelDirOfRank, ReplacesTheRank) {
  EXPECT_EQ(ModelDirOfRank("/m", 3), "/m");
  EXPECT_EQ(ModelDirOfRank("/m/{rank}/x{rank}", 12), "/m/12/x12");
}

}  // namespace
}  // namespace mrs
