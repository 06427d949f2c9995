#include "runtime/rank/cuda/nccl_exchange.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda/sum_parts.h"
#include "plans/printable.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// What a rank says of itself before NCCL is asked for anything.
struct Hello {
  int32_t version = 0;       // 0: it cannot be had, and why
  int64_t least_saved = -1;  // below 0: what this rank is told of it is none, and why
  DecodeTerms decodes;
  std::array<std::byte, 16> device{};  // its UUID
  char bus_id[32] = {}, host[64] = {};
  char why[512] = {};
};

template <size_t size>
void Say(const std::string& text, char (&to)[size]) {
  std::copy_n(text.data(), std::min(text.size(), size - 1), to);
}
template <size_t size>
std::string Said(const char (&text)[size]) {
  return Printable(std::string(text, strnlen(text, size)));
}

// NCCL refuses them itself, once all have met, and the others hear of it no more than that something failed. Devices
// that are unlike are no matter.
Status CompareDevices(const std::vector<Hello>& hellos) {
  for (size_t rank = 0; rank < hellos.size(); ++rank) {
    for (size_t other = rank + 1; other < hellos.size(); ++other) {
      if (hellos[rank].device != hellos[other].device) continue;
      return Refuse(
          "ranks {} and {} are both on GPU {} of {}, and NCCL refuses two ranks on one device: give each rank a device "
          "of its own (see CUDA_VISIBLE_DEVICES), or plan with mrs-plan build --collectives ipc",
          rank, other, Said(hellos[rank].bus_id), Said(hellos[rank].host));
    }
  }
  return Status();
}

Status CompareHellos(const std::vector<Hello>& hellos, int own) {
  const Hello& mine = hellos[static_cast<size_t>(own)];
  if (mine.version == 0) return Refuse("{}", mine.why);
  for (size_t rank = 0; rank < hellos.size(); ++rank) {
    const Hello& other = hellos[rank];
    if (other.least_saved < 0) return Refuse("rank {}: {}", rank, Said(other.why));
    if (other.version == 0) {
      return Refuse("rank {} cannot use NCCL: {}", rank, Said(other.why));
    }
    if (other.version != mine.version) {
      return Refuse(
          "NCCL is {} here and {} on rank {}: install one version on all nodes, or plan with mrs-plan build "
          "--collectives staged",
          nccl::VersionText(mine.version), nccl::VersionText(other.version), rank);
    }
    if (other.least_saved != mine.least_saved) {
      return Refuse(
          "sums go in two steps where that saves {} bytes here and {} on rank {}: start all ranks with one "
          "MRS_NCCL_LEAST_SAVED",
          mine.least_saved, other.least_saved, rank);
    }
    MRS_RETURN_IF_ERROR(CompareDecodes(mine.decodes, other.decodes, fmt::format("rank {}", rank)));
  }
  return CompareDevices(hellos);
}

template <typename T>
std::span<std::byte> BytesOf(T& value) {
  return std::as_writable_bytes(std::span<T, 1>(&value, 1));
}

}  // namespace

Result<std::unique_ptr<NcclExchange>> NcclExchange::Meet(Device& device, const NcclOptions& options) {
  std::unique_ptr<NcclExchange> made(new NcclExchange(device, options));
  Hello mine;
  mine.decodes = options.decodes;
  const Status found = [&]() -> Status {
    MRS_ASSIGN_OR_RETURN(mine.least_saved, options.least_saved ? *options.least_saved : LeastSavedBytes());
    MRS_ASSIGN_OR_RETURN(const DeviceIdentity identity, device.Identity());
    mine.device = identity.uuid;
    Say(identity.bus_id, mine.bus_id);
    gethostname(mine.host, sizeof(mine.host) - 1);
    MRS_ASSIGN_OR_RETURN(mine.version, nccl::Open());
    return Status();
  }();
  if (!found.ok()) Say(found.message(), mine.why);
  std::vector<Hello> hellos(static_cast<size_t>(options.world->size()));
  MRS_RETURN_IF_ERROR(options.world->AllGather(BytesOf(mine), std::as_writable_bytes(std::span(hellos))));
  MRS_RETURN_IF_ERROR(CompareHellos(hellos, options.world->rank()));
  if (options.has_transfers) MRS_RETURN_IF_ERROR(made->Make(*options.world, "all ranks", &made->world_));
  if (options.group == nullptr) return made;
  MRS_RETURN_IF_ERROR(made->Make(*options.group, "tensor parallelism", &made->group_));
  made->sums_ = {.ranks = options.group->size(),
                 .workspace_floats = options.workspace.bytes / int64_t{sizeof(float)},
                 .has_shares = options.has_shares,
                 .least_saved = mine.least_saved};
  if (options.has_shares) MRS_RETURN_IF_ERROR(made->JoinAll());
  return made;
}

Status NcclExchange::Make(Communicator& ranks, const char* what, Group* group) {
  struct {
    int32_t code = nccl::kSuccess;
    nccl::UniqueId id{};
  } told;
  std::string why;
  if (ranks.rank() == 0) {
    told.code = nccl::MakeUniqueId(&told.id);
    if (told.code != nccl::kSuccess) why = nccl::Text(told.code, nullptr);
  }
  MRS_RETURN_IF_ERROR(ranks.Broadcast(BytesOf(told), 0));
  if (told.code != nccl::kSuccess) {
    return Unavailable("NCCL: no unique id for {}: {}", what,
                       why.empty() ? fmt::format("its first rank got code {}", told.code) : why);
  }
  group->what = what;
  group->size = ranks.size();
  group->rank = ranks.rank();
  const int code = nccl::Init(&group->comm, ranks.size(), told.id, ranks.rank());
  return Settle(*group, "a communicator could not be made", code, deadline_);
}

// What NCCL says where it misses another rank is no reason of this one's (verdict.h).
Error NcclExchange::FailureOf(const char* what, const Group& group, int code) {
  std::string said = fmt::format("NCCL: {} ({}): {}", what, group.what, nccl::Text(code, group.comm));
  const bool may_be_anothers = code == nccl::kSystemError || code == nccl::kInternalError || code == nccl::kRemoteError;
  return {may_be_anothers ? ErrorKind::kUnavailable : ErrorKind::kRefused, std::move(said)};
}

// Until a call that returned `code` is done.
Status NcclExchange::Settle(const Group& group, const char* what, int code, milliseconds limit) {
  const steady_clock::time_point end = steady_clock::now() + limit;
  for (milliseconds pause(0); code == nccl::kInProgress; pause = std::min(pause + milliseconds(1), milliseconds(20))) {
    if (steady_clock::now() > end) {
      return TimedOut(
          "NCCL: {} ({}): not all of its {} ranks have come within {} ms; see NCCL_DEBUG=INFO, and whether its nodes "
          "reach each other (NCCL_SOCKET_IFNAME)",
          what, group.what, group.size, limit.count());
    }
    if (pause.count() > 0) std::this_thread::sleep_for(pause);
    int state = nccl::kSuccess;
    const int asked = nccl::AsyncError(group.comm, &state);
    code = asked == nccl::kSuccess ? state : asked;
  }
  if (code == nccl::kSuccess) return Status();
  return FailureOf(what, group, code);
}

NcclExchange::~NcclExchange() {
  for (Group* const group : {&group_, &world_}) {
    if (group->comm == nullptr) continue;
    // Without the other ranks, which may be gone, there is no orderly end.
    const Status ended = Settle(*group, "its end", nccl::Finalize(group->comm), milliseconds(2000));
    ended.ok() ? nccl::Destroy(group->comm) : nccl::Abort(group->comm);
  }
}

void NcclExchange::Abort() {
  for (Group* const group : {&group_, &world_}) {
    if (group->comm != nullptr) nccl::Abort(group->comm);
    group->comm = nullptr;
  }
}

Status NcclExchange::Run(const CollectiveLaunch& collective, int64_t rows) {
  if (!collective.is_gather) return Sum(collective, rows);
  const size_t bytes = static_cast<size_t>(rows) * collective.row_bytes;
  return Settle(group_, "a gathering",
                nccl::AllGather(collective.x, collective.y, bytes, group_.comm, device_.stream()), deadline_);
}

Status NcclExchange::Sum(const CollectiveLaunch& collective, int64_t rows) {
  const bool canonical = collective.algorithm != plan::CollectiveAlgorithm::rank_order;
  const int64_t count = rows * static_cast<int64_t>(collective.row_bytes / sizeof(float));
  const auto* const x = reinterpret_cast<const float*>(collective.x);
  auto* const y = reinterpret_cast<float*>(collective.y);
  for (int64_t done = 0; done < count;) {
    const SumPiece piece = NextPiece(sums_, count - done);
    if (piece.count == 0) {
      return Refuse("the plan's workspace of {} bytes holds no sum of {} ranks: rebuild the plan", workspace_.bytes,
                    sums_.ranks);
    }
    if (!device_.is_capturing()) MRS_RETURN_IF_ERROR(MakeRoom());
    MRS_RETURN_IF_ERROR(piece.in_shares ? SumInShares(x + done, y + done, piece.count, canonical)
                                        : SumWhole(x + done, y + done, piece.count, canonical));
    done += piece.count;
  }
  return Status();
}

Status NcclExchange::SumWhole(const float* x, float* y, int64_t count, bool canonical) {
  auto* const parts = static_cast<float*>(workspace_.data);
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  MRS_RETURN_IF_ERROR(
      Settle(group_, "a sum's gathering", nccl::AllGather(x, parts, bytes, group_.comm, device_.stream()), deadline_));
  return device_.Launched(kernels::cuda::StartSumParts({parts, y, count, sums_.ranks, canonical}, device_.stream()));
}

// x may be y, of which this rank has told the others by the time that it puts its share there.
Status NcclExchange::SumInShares(const float* x, float* y, int64_t count, bool canonical) {
  auto* const parts = static_cast<float*>(workspace_.data);
  const int64_t share = count / sums_.ranks;
  const size_t bytes = static_cast<size_t>(share) * sizeof(float);
  float* const own = y + group_.rank * share;
  MRS_RETURN_IF_ERROR(Settle(group_, "the exchange of a sum's shares", ExchangeShares(x, parts, bytes), deadline_));
  MRS_RETURN_IF_ERROR(
      device_.Launched(kernels::cuda::StartSumParts({parts, own, share, sums_.ranks, canonical}, device_.stream())));
  return Settle(group_, "the gathering of a sum's shares",
                nccl::AllGather(own, y, bytes, group_.comm, device_.stream()), deadline_);
}

// Tells each rank of the group, itself too, its share of x, and puts what they tell into parts, one after another.
int NcclExchange::ExchangeShares(const void* x, void* parts, size_t bytes) const {
  int code = nccl::GroupStart();
  if (code != nccl::kSuccess) return code;
  const auto goes_on = [&] { return code == nccl::kSuccess || code == nccl::kInProgress; };
  for (int rank = 0; goes_on() && rank < group_.size; ++rank) {
    const size_t at = static_cast<size_t>(rank) * bytes;
    code = nccl::Send(static_cast<const std::byte*>(x) + at, bytes, rank, group_.comm, device_.stream());
    if (goes_on()) {
      code = nccl::Recv(static_cast<std::byte*>(parts) + at, bytes, rank, group_.comm, device_.stream());
    }
  }
  const int ended = nccl::GroupEnd();  // also of what is refused
  return goes_on() ? ended : code;
}

// NCCL makes what joins two ranks when one tells the other something first, and then takes memory: now, while a refusal
// is one of the start's, and nothing is captured.
Status NcclExchange::JoinAll() {
  constexpr size_t kBytes = 16;  // of a rank
  const size_t all = kBytes * static_cast<size_t>(group_.size);
  if (static_cast<size_t>(workspace_.bytes) < 2 * all) return Status();  // it holds no shares
  auto* const x = static_cast<std::byte*>(workspace_.data);
  MRS_RETURN_IF_ERROR(Settle(group_, "ranks that exchange shares of sums could not be joined",
                             ExchangeShares(x, x + all, kBytes), deadline_));
  return Finish();
}

Status NcclExchange::Run(const TransferLaunch& transfer, int64_t rows) {
  const size_t bytes = static_cast<size_t>(rows) * transfer.row_bytes;
  if (transfer.is_send) {
    return Settle(world_, "a send", nccl::Send(transfer.data, bytes, transfer.peer, world_.comm, device_.stream()),
                  deadline_);
  }
  return Settle(world_, "a receipt", nccl::Recv(transfer.data, bytes, transfer.peer, world_.comm, device_.stream()),
                deadline_);
}

Status NcclExchange::CheckErrors() const {
  for (const Group* const group : {&world_, &group_}) {
    if (group->comm == nullptr) continue;
    int state = nccl::kSuccess;
    const int asked = nccl::AsyncError(group->comm, &state);
    const int code = asked == nccl::kSuccess ? state : asked;
    if (code == nccl::kSuccess || code == nccl::kInProgress) continue;
    return FailureOf("what was under way failed", *group, code);
  }
  return Status();
}

// A queue holds about a thousand launches, and what comes between two calls is one to three.
Status NcclExchange::MakeRoom() {
  constexpr int kMost = 256;
  under_way_ += 2;
  return under_way_ < kMost ? Status() : Finish();
}

// A collective whose other ranks are gone never ends by itself, so the host may not wait for the stream alone.
Status NcclExchange::Finish() {
  wait_.emplace(pulse_, neighbour_);
  const Status done = AwaitStream(device_, [&]() -> Status {
    wait_->Look();
    return CheckErrors();
  });
  wait_.reset();
  under_way_ = 0;
  return done;
}

}  // namespace mrs
