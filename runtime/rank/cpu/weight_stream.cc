#include "runtime/rank/cpu/weight_stream.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace mrs {
namespace {

// Buffers may go, or be written to again, when whoever copies from them has been waited for: on every path.
class Copies {
 public:
  explicit Copies(const WeightSink& sink) : sink_(sink) {}
  ~Copies() {
    if (!is_under_way_) return;
    [[maybe_unused]] const Status why_not = sink_.wait();  // another error is told
  }
  Copies(const Copies&) = delete;
  Copies& operator=(const Copies&) = delete;

  Status Begin(uint64_t at, const std::byte* from, uint64_t bytes) {
    is_under_way_ = true;
    return sink_.copy(at, from, bytes);
  }
  Status Wait() {
    if (!is_under_way_) return Status();
    is_under_way_ = false;
    return sink_.wait();
  }

 private:
  const WeightSink& sink_;
  bool is_under_way_ = false;
};

void Zero(std::span<std::byte> memory, ThreadPool& pool) {
  constexpr uint64_t kPiece = uint64_t{1} << 20;
  pool.For(static_cast<int64_t>((memory.size() + kPiece - 1) / kPiece), [&](int64_t begin, int64_t end) {
    const uint64_t from = static_cast<uint64_t>(begin) * kPiece;
    const uint64_t to = std::min<uint64_t>(memory.size(), static_cast<uint64_t>(end) * kPiece);
    std::memset(memory.data() + from, 0, to - from);
  });
}

}  // namespace

Result<StreamedWeights> StreamWeights(const plan::Plan& plan, uint32_t rank, const std::string& model_dir,
                                      ThreadPool& pool, const WeightSink& sink, const LoadProgress& progress) {
  MRS_ASSIGN_OR_RETURN(const std::unique_ptr<WeightLoader> loader, WeightLoader::Open(plan, rank, model_dir, progress));
  const std::span<const WeightTile> tiles(loader->tiles());
  const std::vector<WeightWindow> windows = CutWindows(loader->tiles(), sink.bytes);
  Copies copies(sink);
  for (size_t i = 0; i < windows.size(); ++i) {
    const WeightWindow& window = windows[i];
    const uint64_t bytes = window.end - window.begin;
    std::byte* const memory = sink.buffers[i % 2];
    if (memory == nullptr || bytes > sink.bytes) {
      return Refuse("rank {}: a window of {} bytes of its weights has no buffer, of {} bytes", rank, bytes, sink.bytes);
    }
    // A block that the window before has the first rows of goes once more, with all of them.
    uint64_t kept = 0;
    if (i > 0 && windows[i - 1].end > window.begin) {
      kept = windows[i - 1].end - window.begin;
      std::memcpy(memory, sink.buffers[(i - 1) % 2] + (window.begin - windows[i - 1].begin), kept);
    }
    Zero({memory + kept, memory + bytes}, pool);  // padding, which packing leaves as it is
    MRS_RETURN_IF_ERROR(
        loader->Load(tiles.subspan(window.first, window.last - window.first), memory, window.begin, pool));
    MRS_RETURN_IF_ERROR(copies.Wait());  // the other buffer's, which is the next to be written
    MRS_RETURN_IF_ERROR(copies.Begin(window.begin, memory, bytes));
  }
  MRS_RETURN_IF_ERROR(copies.Wait());
  StreamedWeights streamed{.read_bytes = loader->read_bytes(), .shared_digests = {}};
  MRS_ASSIGN_OR_RETURN(streamed.shared_digests, loader->Finish());
  return streamed;
}

}  // namespace mrs
