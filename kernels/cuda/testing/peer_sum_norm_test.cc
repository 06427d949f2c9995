// Sums of ranks with the residual sum and the norm that follow, against the host's tree and the reference's rows in
// turn; and each way in which a wait of theirs ends.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "kernels/cuda/peer_exchange.h"
#include "kernels/cuda/signals.h"
#include "kernels/cuda/testing/fused_cases.h"
#include "kernels/cuda/testing/peer_world.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;
constexpr float kUntouched = 7;

enum class Into : uint8_t {
  kOwn,    // norm.sum has memory of its own; in one shot the exchange's y is null
  kOther,  // it is the residual
  kX,      // it is x, and so is the exchange's y
  kY,      // it is the exchange's y
};
struct Shape {
  int64_t rows, width;
  Type out = Type::kF32;
  Into into = Into::kOther;
  bool sum_is_a = false;
  int64_t piece_bytes = kPeerPieceBytes;
  int64_t offset = 0;      // floats past alignment
  bool of_all = true;      // else of the first rank alone
  bool two_shots = false;  // and so two launches
  bool canonical = true;   // else likewise
};

// What a rank gives and gets, in memory of a device, with a word behind each that nobody may touch.
struct Rows {
  Rows(Random* random, const Shape& shape, int64_t offset) : count(shape.rows * shape.width), first(offset) {
    for (Memory* const memory : {&x_memory, &other_memory}) Fill(random, *memory, count, first);
    Fill(random, w_memory, shape.width, 0);
    for (Memory* const memory : {&y_memory, &sum_memory}) {
      std::fill_n(memory->as<float>(), first + count + 1, kUntouched);
    }
    std::fill_n(normed.as<float>(), count + 1, kUntouched);
  }
  static void Fill(Random* random, const Memory& memory, int64_t count, int64_t first) {
    for (int64_t i = 0; i < count; ++i) memory.as<float>()[first + i] = random->Value();
    memory.as<float>()[first + count] = kUntouched;
  }
  float* x() const { return x_memory.as<float>() + first; }
  float* other() const { return other_memory.as<float>() + first; }
  float* y() const { return y_memory.as<float>() + first; }
  float* sum() const { return sum_memory.as<float>() + first; }

  const int64_t count, first;
  const uint64_t bytes = static_cast<uint64_t>(count + first + 1) * sizeof(float);
  Memory x_memory{bytes}, other_memory{bytes}, w_memory{bytes}, y_memory{bytes}, sum_memory{bytes}, normed{bytes};
};

PeerSumNormArgs ArgsOf(World& world, int rank, const Rows& rows, const Shape& shape) {
  float* const y = shape.into == Into::kX                         ? rows.x()
                   : shape.into == Into::kOwn && !shape.two_shots ? nullptr
                                                                  : rows.y();
  PeerSumNormArgs args = {};
  args.exchange = world.Args(rank, rows.x(), y, rows.count * int64_t{sizeof(float)});
  args.exchange.piece_bytes = shape.piece_bytes;
  args.exchange.two_shots = shape.two_shots;
  args.exchange.canonical = shape.canonical;
  args.norm = {.a = shape.sum_is_a ? y : rows.other(),
               .b = shape.sum_is_a ? rows.other() : y,
               .w = rows.w_memory.as<float>(),
               .sum = shape.into == Into::kOwn     ? rows.sum()
                      : shape.into == Into::kOther ? rows.other()
                                                   : y,
               .y = rows.normed.as(),
               .rows = shape.rows,
               .width = shape.width,
               .eps = 1e-5f,
               .out = shape.out};
  return args;
}

// What the host has instead: x and other of each rank as they are, then as a sum and its norm leave them.
struct Expected {
  std::vector<std::vector<float>> x, other, sum;
  std::vector<std::vector<std::byte>> normed;

  explicit Expected(const std::deque<Rows>& ranks) {
    for (const Rows& rows : ranks) {
      x.emplace_back(rows.x(), rows.x() + rows.count);
      other.emplace_back(rows.other(), rows.other() + rows.count);
      sum.emplace_back(static_cast<size_t>(rows.count));
      normed.emplace_back(static_cast<size_t>(rows.count) * sizeof(float));
    }
  }
  void Step(const std::deque<Rows>& ranks, const Shape& shape) {
    const ScopedFlushToZero flush;
    std::vector<float> all;
    for (size_t i = 0; i < x[0].size(); ++i) {
      std::vector<float> values;
      for (const auto& of_rank : x) values.push_back(of_rank[i]);
      all.push_back(shape.canonical ? Canonical(values) : InOrder(values));
    }
    for (size_t rank = 0; rank < x.size(); ++rank) {
      AddRmsNormArgs args = {.a = shape.sum_is_a ? all.data() : other[rank].data(),
                             .b = shape.sum_is_a ? other[rank].data() : all.data(),
                             .w = ranks[rank].w_memory.as<float>(),
                             .sum = sum[rank].data(),
                             .y = normed[rank].data(),
                             .rows = shape.rows,
                             .width = shape.width,
                             .eps = 1e-5f,
                             .out = shape.out};
      RunPlain(SelectKernels(Isa::kReference, Chain::kPair2), args);
      if (shape.into == Into::kOther) other[rank] = sum[rank];
      if (shape.into == Into::kX) x[rank] = sum[rank];
    }
  }
};

bool IsAll(const float* values, int64_t count, float value) {
  return std::all_of(values, values + count, [=](float one) { return one == value; });
}

void ExpectNoFailure(World& world) {
  for (int rank = 0; rank < world.size(); ++rank) {
    EXPECT_EQ(FailureOf(world.rank(rank).state).kind, PeerFailure::kNone) << "rank " << rank;
  }
}

void ExpectThat(const Rows& rows, const Shape& shape, const float* sum, const Expected& expected, size_t rank) {
  const auto bytes = static_cast<size_t>(rows.count) * sizeof(float);
  EXPECT_EQ(std::memcmp(sum, expected.sum[rank].data(), bytes), 0);
  EXPECT_EQ(sum[rows.count], kUntouched);
  const size_t normed_bytes = static_cast<size_t>(rows.count) * (shape.out == Type::kF32 ? 4 : 2);
  EXPECT_EQ(std::memcmp(rows.normed.as(), expected.normed[rank].data(), normed_bytes), 0);
  float behind = 0;
  std::memcpy(&behind, rows.normed.as() + (normed_bytes + 3) / 4 * 4, sizeof(behind));
  EXPECT_EQ(behind, kUntouched);
  if (shape.into != Into::kX) {
    EXPECT_EQ(std::memcmp(rows.x(), expected.x[rank].data(), bytes), 0);
  }
  if (shape.into == Into::kOwn) {
    EXPECT_EQ(std::memcmp(rows.other(), expected.other[rank].data(), bytes), 0);
  }
  // The sum itself, of a single launch, is nowhere.
  if (shape.into == Into::kOther && !shape.two_shots && shape.canonical) {
    EXPECT_TRUE(IsAll(rows.y(), rows.count + 1, kUntouched));
  }
}

// One after the other in one stream, each twice over, the second time of what the first left.
void ExpectSumNorms(World& world, unsigned order, std::vector<Shape> shapes) {
  std::erase_if(shapes, [&](const Shape& shape) { return !IsTried(world.size(), shape.rows); });
  Random random{20261127};
  std::deque<std::deque<Rows>> of_shapes;
  std::vector<Expected> expected;
  for (const Shape& shape : shapes) {
    std::deque<Rows>& ranks = of_shapes.emplace_back();
    for (int rank = 0; rank < world.size(); ++rank) {
      ranks.emplace_back(&random, shape, shape.of_all || rank == 0 ? shape.offset : 0);
    }
    expected.emplace_back(ranks);
    for (int times = 0; times < 2; ++times) expected.back().Step(ranks, shape);
  }
  world.Run(order, [&](int rank) {
    for (size_t of = 0; of < shapes.size(); ++of) {
      const PeerSumNormArgs args = ArgsOf(world, rank, of_shapes[of][static_cast<size_t>(rank)], shapes[of]);
      for (int times = 0; times < 2; ++times) EXPECT_EQ(StartPeerSumNorm(args, nullptr), 0);
    }
  });
  ExpectNoFailure(world);
  for (size_t of = 0; of < shapes.size(); ++of) {
    const Shape& shape = shapes[of];
    for (int rank = 0; rank < world.size(); ++rank) {
      SCOPED_TRACE(::testing::Message() << "rank " << rank << " of " << world.size() << ", " << shape.rows
                                        << " rows of " << shape.width << ", order " << order << ", shape " << of);
      const Rows& rows = of_shapes[of][static_cast<size_t>(rank)];
      ExpectThat(rows, shape, ArgsOf(world, rank, rows, shape).norm.sum, expected[of], static_cast<size_t>(rank));
    }
  }
}

TEST(PeerSumNorm, HasTheBitsOfItsSteps) {
  World two(2);
  for (const unsigned order : FirstOrders()) {
    ExpectSumNorms(two, order,
                   {{.rows = 3, .width = 516, .out = Type::kBf16},
                    {.rows = 2, .width = 2100, .into = Into::kOwn, .sum_is_a = true}});
  }
  std::vector<Shape> shapes;
  for (const Into into : {Into::kOwn, Into::kOther, Into::kX, Into::kY}) {
    for (const bool is_a : {false, true}) shapes.push_back({.rows = 2, .width = 20, .into = into, .sum_is_a = is_a});
  }
  ExpectSumNorms(two, 1, shapes);
  for (const int size : {4, 8, 16}) {
    World world(size);
    shapes = {{.rows = 3, .width = 132, .out = Type::kBf16}};
    if (size < 16) shapes.push_back({.rows = 2, .width = 7, .into = Into::kX});
    ExpectSumNorms(world, 2, shapes);
  }
}

// As many blocks as there are rows, up to kPeerBlocks, and then some of two.
TEST(PeerSumNorm, OfUpToFortyRows) {
  World world(2);
  std::vector<Shape> shapes;
  for (int64_t rows = 1; rows <= 40; ++rows) {
    shapes.push_back({.rows = rows, .width = 12 + rows % 5 * 4, .out = rows % 2 == 0 ? Type::kBf16 : Type::kF32});
  }
  ExpectSumNorms(world, 1, shapes);
}

// Rows of more than a piece, whose last part is less, or of just one; and pieces of several rows, the last of which has
// fewer.
TEST(PeerSumNorm, InPieces) {
  for (const unsigned order : FirstOrders()) {
    World world(2);
    ExpectSumNorms(world, order,
                   {{.rows = 2, .width = 1060, .out = Type::kBf16, .piece_bytes = 1024},
                    {.rows = 33, .width = 64, .into = Into::kX, .piece_bytes = 256},
                    {.rows = 32 * 4 + 2, .width = 40, .into = Into::kOwn, .piece_bytes = 400}});
  }
  World four(4), two(2);
  ExpectSumNorms(four, 0, {{.rows = 6, .width = 300, .piece_bytes = 512}});
  ExpectSumNorms(two, 1, {{.rows = 1, .width = kPeerPieceBytes / 4 + 4}});
}

// By floats; also by those of one rank and sixteen bytes of the others, whose pieces are the same.
TEST(PeerSumNorm, OfRowsThatAreNotAligned) {
  World two(2), four(4);
  ExpectSumNorms(two, 0,
                 {{.rows = 5, .width = 33, .out = Type::kBf16},
                  {.rows = 3, .width = 1021, .into = Into::kX, .piece_bytes = 1024},
                  {.rows = 1, .width = 1},
                  {.rows = 35, .width = 100, .into = Into::kOwn, .piece_bytes = 800, .offset = 1},
                  {.rows = 70, .width = 100, .piece_bytes = 800, .offset = 2, .of_all = false}});
  ExpectSumNorms(four, 1,
                 {{.rows = 5, .width = 100, .piece_bytes = 400, .offset = 3, .of_all = false},
                  {.rows = 3, .width = 36, .into = Into::kY, .sum_is_a = true, .offset = 1, .of_all = false}});
}

TEST(PeerSumNorm, OfWhatTakesTwoLaunches) {
  World two(2), four(4), three(3);
  std::vector<Shape> shapes;
  for (const Into into : {Into::kOwn, Into::kOther, Into::kX, Into::kY}) {
    shapes.push_back({.rows = 3, .width = 132, .into = into, .two_shots = true});
  }
  ExpectSumNorms(four, 1, shapes);
  ExpectSumNorms(two, 0, {{.rows = 2, .width = 1028, .out = Type::kBf16, .sum_is_a = true, .two_shots = true}});
  ExpectSumNorms(three, 2, {{.rows = 2, .width = 36, .canonical = false}});
}

// Both operands are the ranks' sum.
TEST(PeerSumNorm, OfASumWithItself) {
  World world(2);
  Random random{5};
  const Shape shape = {.rows = 2, .width = 36};
  std::deque<Rows> ranks;
  for (int rank = 0; rank < 2; ++rank) ranks.emplace_back(&random, shape, 0);
  world.Run(0, [&](int rank) {
    PeerSumNormArgs args = ArgsOf(world, rank, ranks[static_cast<size_t>(rank)], shape);
    args.norm.a = args.norm.b = ranks[static_cast<size_t>(rank)].y();
    EXPECT_EQ(StartPeerSumNorm(args, nullptr), 0);
  });
  ExpectNoFailure(world);
  const ScopedFlushToZero flush;
  for (const Rows& rows : ranks) {
    for (int64_t i = 0; i < rows.count; ++i) {
      const float sum = ranks[0].x()[i] + ranks[1].x()[i];
      EXPECT_EQ(rows.y()[i], sum);
      EXPECT_EQ(rows.other()[i], sum + sum);  // norm.sum
    }
  }
}

// In one stream, on the same buffers, with numbers that wrap: other blocks take part in each.
TEST(PeerSumNorm, AndOtherExchangesInTurn) {
  for (const unsigned order : FirstOrders()) {
    World world(2);
    const Shape few = {.rows = 3, .width = 132, .into = Into::kOwn, .piece_bytes = 256};
    const Shape many = {.rows = kHasFewThreads ? 5 : 37, .width = 20, .into = Into::kOwn, .sum_is_a = true};
    constexpr int64_t kFloats = 1024 + 532;
    Random random{order};
    std::deque<Rows> of_few, of_many;
    std::deque<Memory> plain, gathered;
    std::vector<std::vector<float>> parts(2);
    for (int rank = 0; rank < 2; ++rank) {
      of_few.emplace_back(&random, few, 0);
      of_many.emplace_back(&random, many, 0);
      plain.emplace_back(kFloats * sizeof(float));
      gathered.emplace_back(2 * sizeof(float) * kFloats);
      auto& part = parts[static_cast<size_t>(rank)];
      for (int64_t i = 0; i < kFloats; ++i) part.push_back(static_cast<float>(random.Below(1000)));
      std::copy(part.begin(), part.end(), plain.back().as<float>());
      auto* const words = world.rank(rank).buffer.as<uint64_t>();
      for (int block = 0; block < kPeerBlocks; ++block) {
        words[2 * kMostPeers * kPeerBlocks + block] = 0xfffffffdu - static_cast<uint64_t>(block % 2);
      }
    }
    Expected expected_few(of_few), expected_many(of_many);
    expected_few.Step(of_few, few);
    expected_many.Step(of_many, many);
    world.Run(order, [&](int number) {
      const auto rank = static_cast<size_t>(number);
      const PeerSumNormArgs args_few = ArgsOf(world, number, of_few[rank], few);
      const PeerSumNormArgs args_many = ArgsOf(world, number, of_many[rank], many);
      PeerExchangeArgs sum = world.Args(number, plain[rank].as(), plain[rank].as(), kFloats * 4);
      sum.piece_bytes = 1024;
      PeerExchangeArgs gather = world.Args(number, plain[rank].as(), gathered[rank].as(), kFloats * 4);
      gather.is_gather = true;
      EXPECT_EQ(StartPeerExchange(sum, nullptr), 0);
      EXPECT_EQ(StartPeerSumNorm(args_few, nullptr), 0);
      EXPECT_EQ(StartPeerSumNorm(args_many, nullptr), 0);
      sum.two_shots = true;
      EXPECT_EQ(StartPeerExchange(sum, nullptr), 0);
      EXPECT_EQ(StartPeerSumNorm(args_many, nullptr), 0);
      EXPECT_EQ(StartPeerExchange(gather, nullptr), 0);
      EXPECT_EQ(StartPeerSumNorm(args_few, nullptr), 0);
      EXPECT_EQ(StartPeerSumNorm(args_many, nullptr), 0);
    });
    ExpectNoFailure(world);
    for (size_t rank = 0; rank < 2; ++rank) {
      for (const auto& [rows, expected] : {std::pair(&of_few, &expected_few), {&of_many, &expected_many}}) {
        const auto bytes = static_cast<size_t>((*rows)[rank].count) * sizeof(float);
        EXPECT_EQ(std::memcmp((*rows)[rank].sum(), expected->sum[rank].data(), bytes), 0) << rank;
        EXPECT_EQ(std::memcmp((*rows)[rank].normed.as(), expected->normed[rank].data(), bytes), 0) << rank;
      }
      for (int64_t i = 0; i < kFloats; ++i) {
        const auto at = static_cast<size_t>(i);
        const float sum = 2 * (parts[0][at] + parts[1][at]);  // exact, as they are small integers
        ASSERT_EQ(plain[rank].as<float>()[i], sum) << i;
        for (int from = 0; from < 2; ++from) ASSERT_EQ(gathered[rank].as<float>()[from * kFloats + i], sum) << i;
      }
    }
  }
}

// Of as many bytes, too.
TEST(PeerSumNorm, AndAPlainSumAreUnlike) {
  World world(2);
  Random random{9};
  const Shape shape = {.rows = 5, .width = 20};
  std::deque<Rows> ranks;
  for (int rank = 0; rank < 2; ++rank) ranks.emplace_back(&random, shape, 0);
  world.Run(0, [&](int rank) {
    const PeerSumNormArgs args = ArgsOf(world, rank, ranks[static_cast<size_t>(rank)], shape);
    EXPECT_EQ(rank == 0 ? StartPeerSumNorm(args, nullptr) : StartPeerExchange(args.exchange, nullptr), 0);
  });
  const PeerFailure of_0 = FailureOf(world.rank(0).state), of_1 = FailureOf(world.rank(1).state);
  for (const PeerFailure& failure : {of_0, of_1}) {
    EXPECT_EQ(failure.kind, PeerFailure::kUnlike);
    EXPECT_FALSE(failure.gathers);
    EXPECT_EQ(failure.bytes, 400);
  }
  EXPECT_EQ(of_0.rank, 1);
  EXPECT_FALSE(of_0.norms);
  EXPECT_EQ(of_1.rank, 0);
  EXPECT_TRUE(of_1.norms);
}

TEST(PeerSumNorm, OfOtherRowsIsUnlike) {
  World world(2);
  Random random{9};
  const Shape shapes[] = {{.rows = 2, .width = 36}, {.rows = 3, .width = 36}};
  std::deque<Rows> ranks;
  for (const Shape& shape : shapes) ranks.emplace_back(&random, shape, 0);
  world.Run(1, [&](int rank) {
    const auto of = static_cast<size_t>(rank);
    EXPECT_EQ(StartPeerSumNorm(ArgsOf(world, rank, ranks[of], shapes[of]), nullptr), 0);
  });
  for (const int rank : {0, 1}) {
    const PeerFailure failure = FailureOf(world.rank(rank).state);
    EXPECT_EQ(failure.kind, PeerFailure::kUnlike);
    EXPECT_TRUE(failure.norms);
    EXPECT_EQ(failure.bytes, rank == 0 ? 432 : 288);
  }
}

TEST(PeerSumNorm, AWaitEndsWhenTheHostSaysSo) {
  World world(2);
  Random random{9};
  const Shape shape = {.rows = kHasFewThreads ? 5 : 40, .width = 36};
  const Rows rows(&random, shape, 0);
  std::thread host([&] {
    while (LoadAcquire(&world.rank(1).state.waits_for) == 0) std::this_thread::yield();
    StoreRelease(&world.rank(1).state.stop, 1);
  });
  world.Run(0, [&](int rank) {
    if (rank == 0) return;  // never comes
    const PeerSumNormArgs args = ArgsOf(world, rank, rows, shape);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(StartPeerSumNorm(args, nullptr), 0);  // such as come after end, too
  });
  host.join();
  EXPECT_EQ(FailureOf(world.rank(1).state).kind, PeerFailure::kStopped);
  EXPECT_EQ(FailureOf(world.rank(1).state).rank, 0);
}

TEST(PeerSumNorm, NothingIsToldOnceTheHostHasSaidStop) {
  World world(2);
  Random random{9};
  const Shape shape = {.rows = 5, .width = 36, .into = Into::kOwn};
  std::deque<Rows> ranks;
  for (int rank = 0; rank < 2; ++rank) ranks.emplace_back(&random, shape, 0);
  StoreRelease(&world.rank(0).state.stop, 1);
  world.Run(0, [&](int rank) {
    PeerSumNormArgs args = ArgsOf(world, rank, ranks[static_cast<size_t>(rank)], shape);
    if (rank == 1) args.exchange.longest_ns = 50'000'000;
    EXPECT_EQ(StartPeerSumNorm(args, nullptr), 0);
  });
  EXPECT_EQ(FailureOf(world.rank(0).state).kind, PeerFailure::kStopped);
  EXPECT_EQ(FailureOf(world.rank(0).state).rank, PeerFailure::kNobody);
  EXPECT_EQ(FailureOf(world.rank(1).state).kind, PeerFailure::kSilent);
  const Rows& rows = ranks[0];
  EXPECT_TRUE(IsAll(rows.sum(), rows.count, kUntouched) && IsAll(rows.normed.as<float>(), rows.count, kUntouched));
}

// Nothing is read of others then: the memory of one that has ended may be none any more.
TEST(PeerSumNorm, AWaitEndsByItself) {
  World world(4);
  Random random{9};
  const Shape shape = {.rows = 5, .width = 36, .into = Into::kOwn};
  std::deque<Rows> ranks;
  for (int rank = 0; rank < 4; ++rank) ranks.emplace_back(&random, shape, 0);
  world.Run(0, [&](int rank) {
    if (rank == 2) return;
    PeerSumNormArgs args = ArgsOf(world, rank, ranks[static_cast<size_t>(rank)], shape);
    args.exchange.longest_ns = kLongEnough;
    EXPECT_EQ(StartPeerSumNorm(args, nullptr), 0);
  });
  for (const int rank : {0, 1, 3}) {
    const PeerFailure failure = FailureOf(world.rank(rank).state);
    EXPECT_EQ(failure.kind, PeerFailure::kSilent) << "rank " << rank;
    EXPECT_EQ(failure.rank, 2) << "rank " << rank;
    const Rows& rows = ranks[static_cast<size_t>(rank)];
    EXPECT_TRUE(IsAll(rows.sum(), rows.count, kUntouched) && IsAll(rows.normed.as<float>(), rows.count, kUntouched));
  }
}

TEST(PeerSumNorm, RefusesWhatItCannotDo) {
  World world(2);
  Random random{9};
  const Shape shape = {.rows = 5, .width = 36};
  const Rows rows(&random, shape, 0);
  const PeerSumNormArgs good = ArgsOf(world, 0, rows, shape);
  const std::vector<std::function<void(PeerSumNormArgs&)>> edits = {
      [](auto& a) { a.norm.b = a.norm.w; },     // neither is the sum
      [](auto& a) { a.exchange.y = nullptr; },  // likewise
      [](auto& a) { a.exchange.is_gather = true; },
      [](auto& a) { a.exchange.bytes -= 4; },
      [](auto& a) { a.norm.rows = 4; },
      [](auto& a) { a.norm.rows = -5, a.norm.width = -36; },
      [](auto& a) { a.exchange.x = static_cast<const std::byte*>(a.exchange.x) + 2; },
      [](auto& a) { a.norm.a = reinterpret_cast<const float*>(reinterpret_cast<const std::byte*>(a.norm.a) + 2); },
      [](auto& a) { a.norm.sum = reinterpret_cast<float*>(reinterpret_cast<std::byte*>(a.norm.sum) + 2); },
      [](auto& a) { a.exchange.ranks = 3; },  // no tree
      [](auto& a) { a.exchange.rank = 2; },
      [](auto& a) { a.exchange.piece_bytes = 24; },
      [](auto& a) { a.exchange.two_shots = true, a.exchange.canonical = false; },
      // Two launches, and the sum between them nowhere.
      [](auto& a) { a.exchange.two_shots = true, a.exchange.y = nullptr, a.norm.b = nullptr; },
      [](auto& a) { a.exchange.canonical = false, a.exchange.y = nullptr, a.norm.b = nullptr; },
      [](auto& a) { a.exchange.y = nullptr, a.norm.a = a.norm.b = nullptr; },
  };
  for (size_t edit = 0; edit < edits.size(); ++edit) {
    PeerSumNormArgs args = good;
    edits[edit](args);
    EXPECT_EQ(StartPeerSumNorm(args, nullptr), kInvalidValue) << edit;
  }
  PeerSumNormArgs none = good;
  none.norm.rows = none.exchange.bytes = 0;
  EXPECT_EQ(StartPeerSumNorm(none, nullptr), 0);
}

}  // namespace
}  // namespace mrs::kernels::cuda
