// NCCL's and cuBLASLt's calls as the emulator has them: what is refused of whoever calls them otherwise than this
// project does, or forgets something.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/rank/cuda/device.h"
#include "runtime/rank/cuda/emulated/cublasLt.h"
#include "runtime/rank/cuda/emulated/nccl.h"

namespace mrs {
namespace {

// A communicator of one rank, that is there.
struct Alone {
  Alone() {
    ncclUniqueId id;
    EXPECT_EQ(ncclGetUniqueId(&id), ncclSuccess);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    EXPECT_EQ(ncclCommInitRankConfig(&comm, 1, id, 0, &config), ncclInProgress);
    EXPECT_EQ(State(), ncclSuccess);
  }
  ncclResult_t State() const {
    ncclResult_t state = ncclInProgress;
    EXPECT_EQ(ncclCommGetAsyncError(comm, &state), ncclSuccess);
    return state;
  }
  // A call, and that it is done.
  void Settle(ncclResult_t code) const {
    EXPECT_EQ(code, ncclInProgress);
    EXPECT_EQ(State(), ncclSuccess);
  }
  void End() {
    Settle(ncclCommFinalize(comm));
    EXPECT_EQ(ncclCommDestroy(comm), ncclSuccess);
  }
  const std::unique_ptr<Device> device = *Device::Open(0);
  const DeviceArena memory = *device->Allocate("memory", 4096);
  const cudaStream_t stream = static_cast<cudaStream_t>(device->stream());
  ncclComm_t comm = nullptr;
};

TEST(EmulatedNccl, TakesNoConfigurationButTheInitializers) {
  Alone alone;
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.magic = 0;
  ncclComm_t comm = nullptr;
  EXPECT_EQ(ncclCommInitRankConfig(&comm, 1, id, 0, &config), ncclInvalidArgument);
  config = NCCL_CONFIG_INITIALIZER;
  config.size = 4;
  EXPECT_EQ(ncclCommInitRankConfig(&comm, 1, id, 0, &config), ncclInvalidArgument);
  EXPECT_EQ(ncclCommInitRankConfig(&comm, 1, id, 0, nullptr), ncclInvalidArgument);
  EXPECT_EQ(comm, nullptr);
  alone.End();
}

// Where it does not wait, whoever calls asks whether the call is done before the next one, though it be done at once;
// of a group once, at its end.
TEST(EmulatedNccl, IsRefusedBeforeTheLastCallIsSaidToBeDone) {
  Alone alone;
  std::byte* const data = alone.memory.data();
  const auto gather = [&] { return ncclAllGather(data, data + 8, 8, ncclUint8, alone.comm, alone.stream); };
  const auto send = [&] { return ncclSend(data, 8, ncclUint8, 0, alone.comm, alone.stream); };
  const auto receive = [&] { return ncclRecv(data + 8, 8, ncclUint8, 0, alone.comm, alone.stream); };
  const auto is_refused = [&](ncclResult_t code) {
    EXPECT_EQ(code, ncclInvalidArgument);
    EXPECT_EQ(std::string(ncclGetLastError(alone.comm)),
              "Attempt to use communicator before the previous operation returned ncclSuccess");
  };
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(gather(), ncclInProgress);
    is_refused(gather());
    is_refused(ncclCommFinalize(alone.comm));
    EXPECT_EQ(ncclGroupStart(), ncclSuccess);
    is_refused(send());
    is_refused(ncclGroupEnd());
    EXPECT_EQ(alone.State(), ncclSuccess);
    EXPECT_EQ(ncclGroupStart(), ncclSuccess);
    send();
    receive();
    EXPECT_EQ(ncclGroupEnd(), ncclInProgress);
    is_refused(gather());
    EXPECT_EQ(alone.State(), ncclSuccess);
  }
  EXPECT_TRUE(alone.device
                  ->Capture([&] {
                    EXPECT_EQ(gather(), ncclInProgress);
                    is_refused(gather());
                    EXPECT_EQ(alone.State(), ncclSuccess);
                    return Status();
                  })
                  .ok());
  EXPECT_EQ(ncclCommFinalize(alone.comm), ncclInProgress);
  is_refused(ncclCommDestroy(alone.comm));
  EXPECT_EQ(alone.State(), ncclSuccess);
  EXPECT_EQ(ncclCommDestroy(alone.comm), ncclSuccess);
}

TEST(EmulatedNccl, IsRefusedBeforeItIsThere) {
  const auto device = *Device::Open(0);
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t comm = nullptr;
  ASSERT_EQ(ncclCommInitRankConfig(&comm, 1, id, 0, &config), ncclInProgress);
  EXPECT_EQ(ncclCommFinalize(comm), ncclInvalidArgument);
  EXPECT_EQ(ncclCommAbort(comm), ncclSuccess);
}

TEST(EmulatedNccl, IsNeverInProgressWhereItWaits) {
  Alone alone;
  alone.End();
  std::byte* const data = alone.memory.data();
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;  // where nothing is said it waits
  ASSERT_EQ(ncclCommInitRankConfig(&alone.comm, 1, id, 0, &config), ncclSuccess);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(ncclAllGather(data, data + 8, 8, ncclUint8, alone.comm, alone.stream), ncclSuccess);
    EXPECT_EQ(ncclGroupStart(), ncclSuccess);
    EXPECT_EQ(ncclSend(data, 8, ncclUint8, 0, alone.comm, alone.stream), ncclSuccess);
    EXPECT_EQ(ncclRecv(data + 8, 8, ncclUint8, 0, alone.comm, alone.stream), ncclSuccess);
    EXPECT_EQ(ncclGroupEnd(), ncclSuccess);
  }
  EXPECT_EQ(ncclCommFinalize(alone.comm), ncclSuccess);
  EXPECT_EQ(ncclCommDestroy(alone.comm), ncclSuccess);
}

TEST(EmulatedNccl, MovesBytesOfTheDevicesMemoryAlone) {
  for (const bool is_type : {true, false}) {
    Alone alone;
    std::byte* const data = alone.memory.data();
    EXPECT_EQ(ncclAllGather(data, data + 8, 8, is_type ? ncclFloat32 : ncclUint8, alone.comm, nullptr),
              is_type ? ncclInvalidArgument : ncclInProgress);
    EXPECT_EQ(std::string(ncclGetLastError(alone.comm)),
              is_type ? "elements of type 7, where the emulated NCCL has bytes alone" : "");
    EXPECT_EQ(alone.State(), is_type ? ncclInvalidArgument : ncclSuccess);
    std::byte of_host[8] = {};
    EXPECT_EQ(ncclAllGather(of_host, data, 8, ncclUint8, alone.comm, alone.stream), ncclInvalidArgument);
    EXPECT_EQ(alone.State(), ncclInvalidArgument);
    EXPECT_EQ(ncclCommAbort(alone.comm), ncclSuccess);
  }
}

// Where another would have its part, NCCL has two writers.
TEST(EmulatedNccl, GathersInPlaceOrElsewhere) {
  Alone alone;
  std::byte* const data = alone.memory.data();
  alone.Settle(ncclAllGather(data, data, 8, ncclUint8, alone.comm, alone.stream));
  alone.Settle(ncclAllGather(data, data + 8, 8, ncclUint8, alone.comm, alone.stream));
  EXPECT_EQ(ncclAllGather(data, data + 7, 8, ncclUint8, alone.comm, alone.stream), ncclInvalidArgument);
  EXPECT_EQ(std::string(ncclGetLastError(alone.comm)),
            "a gathering into what it reads, but not in the rank's own place");
  EXPECT_EQ(ncclCommAbort(alone.comm), ncclSuccess);
}

// Of a group nothing is done before its end, and nothing at all where one of its calls is refused.
TEST(EmulatedNccl, AGroupIsOneStep) {
  Alone alone;
  std::byte* const data = alone.memory.data();
  const auto send = [&](size_t bytes) { return ncclSend(data, bytes, ncclUint8, 0, alone.comm, alone.stream); };
  const auto receive = [&](size_t bytes) { return ncclRecv(data + 8, bytes, ncclUint8, 0, alone.comm, alone.stream); };
  const auto tell = [&](uint64_t value) { EXPECT_TRUE(alone.device->CopyIn(data, &value, sizeof(value)).ok()); };
  const auto told = [&] {
    uint64_t value = 0;
    EXPECT_TRUE(alone.device->CopyOut(&value, data + 8, sizeof(value)).ok());
    return value;
  };
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage);
  EXPECT_EQ(send(8), ncclInvalidArgument);  // to itself, and nobody takes it
  tell(1);
  EXPECT_EQ(ncclGroupStart(), ncclSuccess);
  EXPECT_EQ(ncclGroupStart(), ncclSuccess);
  EXPECT_EQ(send(8), ncclInProgress);
  EXPECT_EQ(receive(8), ncclInProgress);
  EXPECT_EQ(ncclGroupEnd(), ncclSuccess);
  EXPECT_NE(told(), 1u);
  alone.Settle(ncclGroupEnd());
  EXPECT_EQ(told(), 1u);
  EXPECT_EQ(ncclGroupStart(), ncclSuccess);
  EXPECT_EQ(ncclGroupEnd(), ncclSuccess);
  tell(2);
  EXPECT_EQ(ncclGroupStart(), ncclSuccess);
  EXPECT_EQ(send(8), ncclInProgress);
  EXPECT_EQ(ncclRecv(data + 8, 8, ncclUint8, 1, alone.comm, alone.stream), ncclInvalidArgument);
  EXPECT_EQ(receive(8), ncclInProgress);
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidArgument);
  EXPECT_EQ(told(), 1u);
  alone.End();
}

// Where one rank alone sends and takes, neither may wait for the other to be done.
TEST(EmulatedNccl, AGroupsMessagesAreLongerThanAPiece) {
  Alone alone;
  constexpr size_t kBytes = 200001;
  const DeviceArena memory = *alone.device->Allocate("messages", 2 * kBytes);
  std::vector<std::byte> told(kBytes), heard(kBytes);
  for (size_t i = 0; i < kBytes; ++i) told[i] = static_cast<std::byte>(i % 251);
  EXPECT_TRUE(alone.device->CopyIn(memory.data(), told.data(), kBytes).ok());
  EXPECT_EQ(ncclGroupStart(), ncclSuccess);
  ncclRecv(memory.data() + kBytes, kBytes, ncclUint8, 0, alone.comm, alone.stream);
  ncclSend(memory.data(), kBytes, ncclUint8, 0, alone.comm, alone.stream);
  alone.Settle(ncclGroupEnd());
  EXPECT_TRUE(alone.device->CopyOut(heard.data(), memory.data() + kBytes, kBytes).ok());
  EXPECT_EQ(heard, told);
  alone.End();
}

TEST(EmulatedNccl, KnowsTheGroupsOfThisProjectAlone) {
  const auto why = [](const std::function<void(Alone&, std::byte*)>& calls, bool is_at_end) {
    Alone alone;
    EXPECT_EQ(ncclGroupStart(), ncclSuccess);
    calls(alone, alone.memory.data());
    EXPECT_EQ(std::string(ncclGetLastError(alone.comm)).empty(), is_at_end);
    EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage);
    const std::string said = ncclGetLastError(alone.comm);
    EXPECT_EQ(ncclCommAbort(alone.comm), ncclSuccess);
    return said;
  };
  const auto send = [](Alone& alone, std::byte* data) {
    return ncclSend(data, 8, ncclUint8, 0, alone.comm, alone.stream);
  };
  EXPECT_EQ(why([&](Alone& alone, std::byte* data) { send(alone, data); }, true),
            "rank 0 sends to itself and takes nothing, or likewise");
  EXPECT_EQ(why(
                [&](Alone& alone, std::byte* data) {
                  send(alone, data);
                  EXPECT_EQ(send(alone, data), ncclInvalidUsage);
                },
                false),
            "two messages of one kind with one rank in a group, which the emulated NCCL has not");
  EXPECT_EQ(why(
                [&](Alone& alone, std::byte* data) {
                  EXPECT_EQ(ncclAllGather(data, data + 8, 8, ncclUint8, alone.comm, alone.stream), ncclInvalidUsage);
                },
                false),
            "a gathering in a group, which the emulated NCCL has not");
  EXPECT_EQ(why(
                [&](Alone& alone, std::byte* data) {
                  send(alone, data);
                  EXPECT_EQ(ncclRecv(data, 8, ncclUint8, 0, alone.comm, nullptr), ncclInvalidUsage);
                },
                false),
            "a group of two communicators or streams, which the emulated NCCL has not");
}

TEST(EmulatedNcclDeathTest, IsDestroyedOnlyWhenFinal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(ncclCommDestroy(Alone().comm), "a communicator of NCCL is destroyed before it is final");
}

// A product of 4 x 8 by 8 x 16, as cuBLASLt is told of it: A is transposed.
struct Described {
  Described() {
    EXPECT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
    cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatrixLayoutCreate(&a, CUDA_R_16BF, 8, 4, 8);
    cublasLtMatrixLayoutCreate(&b, CUDA_R_16BF, 8, 16, 8);
    cublasLtMatrixLayoutCreate(&d, CUDA_R_32F, 4, 16, 4);
    cublasLtMatmulPreferenceCreate(&preference);
    EXPECT_EQ(Set(CUBLAS_OP_T), CUBLAS_STATUS_SUCCESS);
  }
  void End() {
    cublasLtMatmulPreferenceDestroy(preference);
    for (const cublasLtMatrixLayout_t matrix : {a, b, d}) cublasLtMatrixLayoutDestroy(matrix);
    cublasLtMatmulDescDestroy(product);
    cublasLtDestroy(handle);
  }
  cublasStatus_t Set(cublasOperation_t of_a) {
    return cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSA, &of_a, sizeof(of_a));
  }
  template <typename T>
  cublasStatus_t Prefer(cublasLtMatmulPreferenceAttributes_t what, T value) {
    return cublasLtMatmulPreferenceSetAttribute(preference, what, &value, sizeof(value));
  }
  void PreferAlignment(uint32_t bytes) {
    for (const auto of : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      EXPECT_EQ(Prefer(of, bytes), CUBLAS_STATUS_SUCCESS);
    }
  }
  // Why there is no way; "" there is.
  std::string Choose() {
    int count = -1;
    const cublasStatus_t code =
        cublasLtMatmulAlgoGetHeuristic(handle, product, a, b, d, d, preference, 1, &way, &count);
    EXPECT_EQ(count, code == CUBLAS_STATUS_SUCCESS ? 1 : 0);
    return code == CUBLAS_STATUS_SUCCESS ? "" : cublasLtGetStatusString(code);
  }
  std::string Multiply(float alpha, float beta, std::byte* operands, std::byte* c, std::byte* to) {
    const cublasStatus_t code = cublasLtMatmul(handle, product, &alpha, operands, a, operands, b, &beta, c, d, to, d,
                                               &way.algo, nullptr, 0, nullptr);
    return code == CUBLAS_STATUS_SUCCESS ? "" : cublasLtGetStatusString(code);
  }
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulHeuristicResult_t way = {};
};

constexpr const char* kNotSupported = "the requested functionality is not supported: ";
constexpr const char* kInvalid = "an unsupported value or parameter was passed to the function: ";

TEST(EmulatedCublaslt, HasNoWayForWhatIsNotAskedForHere) {
  Described of;
  EXPECT_EQ(of.Choose(),
            std::string(kInvalid) + "columns are not aligned as was asked for");  // 256, if nothing is said
  of.PreferAlignment(16);
  EXPECT_EQ(of.Choose(), "");
  EXPECT_EQ(of.way.workspaceSize, 0u);
  EXPECT_EQ(of.Prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{100}), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(of.Choose(), "");
  EXPECT_EQ(of.way.workspaceSize, 100u);
  EXPECT_EQ(of.Prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint32_t{100}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(of.Prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint64_t{16}), CUBLAS_STATUS_INVALID_VALUE);
  of.Set(CUBLAS_OP_N);
  EXPECT_EQ(of.Choose(), std::string(kNotSupported) + "the emulated one transposes A, and A alone");
  of.Set(CUBLAS_OP_T);
  cublasLtMatrixLayoutDestroy(of.b);
  cublasLtMatrixLayoutCreate(&of.b, CUDA_R_16BF, 9, 16, 16);
  EXPECT_EQ(of.Choose(), std::string(kInvalid) + "A of 8 x 4, B of 9 x 16 and D of 4 x 16 are no product");
  cublasLtMatrixLayoutDestroy(of.b);
  cublasLtMatrixLayoutCreate(&of.b, CUDA_R_16F, 8, 16, 8);
  EXPECT_EQ(of.Choose(), std::string(kNotSupported) + "A or B is not of bf16");
  of.End();
}

TEST(EmulatedCublaslt, MultipliesAsItWasAsked) {
  Described of;
  const std::unique_ptr<Device> device = *Device::Open(0);
  const DeviceArena memory = *device->Allocate("memory", 4096);
  std::byte* const y = memory.data() + 1024;
  of.PreferAlignment(16);
  ASSERT_EQ(of.Choose(), "");
  EXPECT_EQ(of.Multiply(1, 0, memory.data(), y, y), "");
  const std::string scales = std::string(kNotSupported) + "the emulated one has no scales but 1 and 0, and C is D";
  EXPECT_EQ(of.Multiply(2, 0, memory.data(), y, y), scales);
  EXPECT_EQ(of.Multiply(1, 1, memory.data(), y, y), scales);
  EXPECT_EQ(of.Multiply(1, 0, memory.data(), y + 1024, y), scales);
  // What an algorithm was told of alignments it holds its operands to.
  EXPECT_EQ(of.Multiply(1, 0, memory.data() + 8, y, y), std::string(kInvalid) + "A is not aligned to 16 bytes");
  of.PreferAlignment(8);
  ASSERT_EQ(of.Choose(), "");
  EXPECT_EQ(of.Multiply(1, 0, memory.data() + 8, y, y), "");
  of.End();
}

TEST(EmulatedCublasltDeathTest, KeepsAccountOfDescriptions) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(cublasLtDestroy(Described().handle), "cuBLASLt's last handle ends before 5 descriptions");
  EXPECT_DEATH(
      {
        Described of;
        of.End();
        cublasLtMatrixLayoutDestroy(of.a);
      },
      "cuBLASLt is given a description that is none, or is none any more");
}

}  // namespace
}  // namespace mrs
