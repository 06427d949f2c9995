// Windows that leave for a device hold the rows that LoadWeights packs for a CPU, bit for bit, however small the
// buffers are: on a device that packs as late as it may, and of whose buffers nothing is left when it has.
#include "runtime/rank/cpu/weight_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "kernels/kernels.h"
#include "runtime/rank/cpu/weights.h"
#include "runtime/testing/weight_cases.h"

namespace mrs {
namespace {

using testing::TestModel;

class LateDevice {
 public:
  LateDevice(const TestModel& model, uint32_t rank, uint64_t buffer_bytes)
      : stage_(StageOf(model.plan(), rank)),
        need_(BuffersFor(PlanWeightReads(model.plan(), rank), buffer_bytes)),
        arena(stage_.weight_arena_bytes()) {
    for (int i = 0; i < need_.count; ++i) buffers_[i].resize(need_.bytes, std::byte{0xA5});
  }

  WeightSink Sink() {
    return {.bytes = need_.bytes,
            .buffers = {buffers_[0].data(), need_.count > 1 ? buffers_[1].data() : nullptr},
            .put = [this](const WeightRead& read, const WeightRun& run, const std::byte* rows) -> Status {
              if (++puts == fails_at_put) return Unavailable("put {} failed", puts);
              EXPECT_EQ(run.at % kRunAlignment, 0u);
              EXPECT_TRUE(rows == buffers_[0].data() + run.at || rows == buffers_[1].data() + run.at);
              // The other buffer is free.
              EXPECT_TRUE(pending_.empty() || pending_[0].rows - pending_[0].run.at == rows - run.at);
              pending_.push_back({read, run, const_cast<std::byte*>(rows)});
              return Status();
            },
            .wait = [this]() -> Status {
              for (const Put& put : pending_) {
                Pack(put);
                std::memset(put.rows, 0xA5, (put.run.row_end - put.run.row_begin) * put.read.row_bytes);
              }
              pending_.clear();
              if (++waits == fails_at_wait) return Unavailable("wait {} failed", waits);
              return Status();
            }};
  }
  size_t pending() const { return pending_.size(); }

 private:
  struct Put {
    WeightRead read;
    WeightRun run;
    std::byte* rows;
  };
  void Pack(const Put& put) {
    const WeightRead& read = put.read;
    const plan::Weight& weight = *stage_.weights()->Get(read.weight);
    std::byte* const dst = arena.data() + weight.offset();
    const auto begin = static_cast<int64_t>(read.dest_row + put.run.row_begin);
    const auto count = static_cast<int64_t>(put.run.row_end - put.run.row_begin);
    if (read.encoding == plan::EncodingKind::dense) {
      kernels::ConvertToF32(put.rows, KernelType(read.dtype), reinterpret_cast<float*>(dst) + begin, count);
      return;
    }
    const auto k = static_cast<int64_t>(weight.chunk_k() * weight.chunk_count());
    const auto row_zero = reinterpret_cast<uintptr_t>(put.rows) - static_cast<uint64_t>(begin) * read.row_bytes;
    kernels::PackRows({.src = reinterpret_cast<const std::byte*>(row_zero),
                       .src_type = KernelType(read.dtype),
                       .src_stride = k,
                       .dst = dst,
                       .dst_type = KernelType(weight.dtype()),
                       .shape = {.n = static_cast<int64_t>(weight.n()),
                                 .chunk_k = static_cast<int64_t>(weight.chunk_k()),
                                 .chunk_count = static_cast<int64_t>(weight.chunk_count())}},
                      begin, begin + count);
  }

  const plan::Stage& stage_;
  const WeightBuffers need_;
  std::vector<std::byte> buffers_[2];
  std::vector<Put> pending_;

 public:
  std::vector<std::byte> arena;
  int puts = 0, waits = 0, fails_at_put = 0, fails_at_wait = 0;
};

class WeightStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/stream_" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  TestModel Model(const testing::TestModelConfig& config, const std::vector<std::string>& fused) {
    TestModel model = testing::MakeTestModel(config, directory_);
    if (!fused.empty()) testing::FuseInto(&model, fused);
    testing::Repack(&model);
    return model;
  }
  // Windows that it took.
  int ExpectSameBytes(const TestModel& model, uint32_t rank, uint64_t buffer_bytes) {
    const Result<LoadedWeights> loaded = LoadWeights(model.plan(), rank, directory_, pool_, {});
    LateDevice device(model, rank, buffer_bytes);
    const WeightSink sink = device.Sink();
    const Result<StreamedWeights> streamed = StreamWeights(model.plan(), rank, directory_, pool_, sink, {});
    EXPECT_TRUE(loaded.ok()) << loaded.message();
    EXPECT_TRUE(streamed.ok()) << streamed.message();
    if (!loaded.ok() || !streamed.ok()) return 0;
    EXPECT_EQ(device.arena.size(), loaded->arena.size_bytes());
    EXPECT_EQ(std::memcmp(device.arena.data(), loaded->arena.data(), device.arena.size()), 0)
        << "rank " << rank << ", buffers of " << buffer_bytes;
    EXPECT_EQ(device.pending(), 0u);
    EXPECT_EQ(streamed->read_bytes, loaded->read_bytes);
    EXPECT_EQ(streamed->shared_digests, loaded->shared_digests);
    return device.waits;
  }

  std::string directory_;
  ThreadPool pool_{3, false};
};

TEST_F(WeightStreamTest, PacksWhatACpuHas) {
  for (const uint32_t tp : {1, 2, 4}) {
    for (const plan::DType file_dtype : {plan::DType::f32, plan::DType::bf16, plan::DType::f16}) {
      for (const plan::DType dtype : {plan::DType::f32, plan::DType::bf16}) {
        // Sources of few rows, so that several write one block.
        const TestModel model = Model({.tp = tp, .file_dtype = file_dtype, .dtype = dtype, .layers = 1, .ffn = 12},
                                      {"l0.gate", "l0.up", "l0.gate", "l0.up", "l0.gate"});
        for (uint32_t rank = 0; rank < tp; ++rank) {
          EXPECT_EQ(ExpectSameBytes(model, rank, kWeightBufferBytes), 1);
          EXPECT_GT(ExpectSameBytes(model, rank, 3000), 1);
          EXPECT_GT(ExpectSameBytes(model, rank, 1), 1);
        }
      }
    }
  }
}

// Tensors of several tiles: each is cut, inside a block, too.
TEST_F(WeightStreamTest, CutsTensorsThatNoBufferHolds) {
  const TestModel model = Model({.tp = 2, .layers = 1, .hidden = 1040, .ffn = 1032}, {"l0.gate", "l0.up", "l0.gate"});
  for (const uint64_t bytes : {uint64_t{1}, uint64_t{3} << 20, uint64_t{5} << 20}) {
    EXPECT_GE(ExpectSameBytes(model, 1, bytes), 3);
  }
}

TEST_F(WeightStreamTest, ReadsOnWhileAWindowIsUnderWay) {
  const TestModel model = Model({.layers = 1, .hidden = 1040, .ffn = 1032}, {});
  LateDevice device(model, 0, 1);
  const WeightSink sink = device.Sink();
  int overlapped = 0;
  const Result<StreamedWeights> streamed =
      StreamWeights(model.plan(), 0, directory_, pool_, sink,
                    [&](uint64_t, uint64_t) { overlapped += device.pending() > 0 ? 1 : 0; });
  ASSERT_TRUE(streamed.ok()) << streamed.message();
  EXPECT_GT(overlapped, 0);
}

// Whatever fails: it is said, and nothing is left under way.
TEST_F(WeightStreamTest, EndsWithTheFirstError) {
  const TestModel model = Model({.layers = 3}, {});
  LateDevice counted(model, 0, 1);
  ASSERT_TRUE(StreamWeights(model.plan(), 0, directory_, pool_, counted.Sink(), {}).ok());
  ASSERT_GT(counted.waits, 4);
  EXPECT_GE(counted.puts, counted.waits);
  for (const bool at_put : {true, false}) {
    for (int n = 1; n <= (at_put ? counted.puts : counted.waits); ++n) {
      LateDevice device(model, 0, 1);
      (at_put ? device.fails_at_put : device.fails_at_wait) = n;
      const WeightSink sink = device.Sink();
      EXPECT_EQ(StreamWeights(model.plan(), 0, directory_, pool_, sink, {}).message(),
                fmt::format("{} {} failed", at_put ? "put" : "wait", n));
      EXPECT_EQ(device.pending(), 0u);
    }
  }
}

// A window cannot be read, and the one before is under way from a buffer that goes.
TEST_F(WeightStreamTest, WaitsForAWindowWhereAFileEnds) {
  const TestModel model = Model({.layers = 1, .hidden = 1040, .ffn = 1032}, {});
  LateDevice device(model, 0, 1);
  const WeightSink sink = device.Sink();
  bool ended = false;
  const Result<StreamedWeights> streamed =
      StreamWeights(model.plan(), 0, directory_, pool_, sink, [&](uint64_t, uint64_t) {
        if (device.pending() == 0 || ended) return;
        std::filesystem::resize_file(model.file, model.header_bytes);
        ended = true;
      });
  EXPECT_TRUE(ended);
  EXPECT_EQ(streamed.message(), model.file + ": cannot be read: it ended early; was it truncated meanwhile?");
  EXPECT_EQ(device.pending(), 0u);
  EXPECT_GT(device.waits, 0);
}

TEST_F(WeightStreamTest, NamesAFlippedBitAsLoadWeightsDoes) {
  for (const plan::DigestKind kind : {plan::DigestKind::xxh3_128, plan::DigestKind::sha256}) {
    TestModel model = Model({.tp = 2, .layers = 1, .hidden = 1040, .ffn = 1032}, {"l0.gate", "l0.up"});
    testing::AddDigests(&model, kind);
    ExpectSameBytes(model, 1, 1);
    for (const char* tensor : {"l0.up", "l0.post_norm", "lm_head"}) {
      const testing::TestTensor& of_file = model.tensors.at(tensor);
      const auto at = static_cast<std::streamoff>(of_file.file_offset + (of_file.rows * of_file.columns - 1) * 4);
      const auto flip = [&] {
        std::fstream file(model.file, std::ios::binary | std::ios::in | std::ios::out);
        file.seekg(at);
        const auto byte = static_cast<char>(file.get() ^ 4);
        file.seekp(at);
        file.put(byte);
      };
      flip();
      const std::string expected = LoadWeights(model.plan(), 1, directory_, pool_, {}).message();
      EXPECT_THAT(expected, ::testing::HasSubstr(fmt::format("tensor {}, slice", tensor)));
      LateDevice device(model, 1, 1);
      EXPECT_EQ(StreamWeights(model.plan(), 1, directory_, pool_, device.Sink(), {}).message(), expected);
      EXPECT_EQ(device.pending(), 0u);
      flip();
    }
  }
}

TEST_F(WeightStreamTest, RefusesBuffersThatNoTileFits) {
  const TestModel model = Model({.layers = 1}, {});
  LateDevice device(model, 0, 1);
  WeightSink sink = device.Sink();
  sink.bytes = 1;
  EXPECT_THAT(StreamWeights(model.plan(), 0, directory_, pool_, sink, {}).message(),
              ::testing::MatchesRegex("rank 0: a window of [0-9]+ bytes of its weights has no buffer, of 1 bytes"));
  EXPECT_EQ(device.puts, 0);
}

}  // namespace
}  // namespace mrs
