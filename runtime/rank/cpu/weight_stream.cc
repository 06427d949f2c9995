#include "runtime/rank/cpu/weight_stream.h"

namespace mrs {
namespace {

// Buffers may go, or be written to again, when whoever takes from them has been waited for: on every path.
class Puts {
 public:
  explicit Puts(const WeightSink& sink) : sink_(sink) {}
  ~Puts() {
    if (!is_under_way_) return;
    [[maybe_unused]] const Status why_not = sink_.wait();  // another error is told
  }
  Puts(const Puts&) = delete;
  Puts& operator=(const Puts&) = delete;

  Status Begin(const WeightRead& read, const WeightRun& run, const std::byte* rows) {
    is_under_way_ = true;
    return sink_.put(read, run, rows);
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

}  // namespace

Result<StreamedWeights> StreamWeights(const plan::Plan& plan, uint32_t rank, const std::string& model_dir,
                                      ThreadPool& pool, const WeightSink& sink, const LoadProgress& progress) {
  MRS_ASSIGN_OR_RETURN(const std::unique_ptr<WeightLoader> loader, WeightLoader::Open(plan, rank, model_dir, progress));
  const std::vector<WeightWindow> windows = CutWindows(loader->reads(), loader->tiles(), sink.bytes);
  Puts puts(sink);
  for (size_t i = 0; i < windows.size(); ++i) {
    const WeightWindow& window = windows[i];
    std::byte* const memory = sink.buffers[i % 2];
    if (memory == nullptr || window.bytes > sink.bytes) {
      return Refuse("rank {}: a window of {} bytes of its weights has no buffer, of {} bytes", rank, window.bytes,
                    sink.bytes);
    }
    MRS_RETURN_IF_ERROR(loader->Read(window, memory, pool));
    MRS_RETURN_IF_ERROR(puts.Wait());  // the other buffer's, which is the next to be written
    for (const WeightRun& run : window.runs) {
      MRS_RETURN_IF_ERROR(puts.Begin(loader->reads()[run.read], run, memory + run.at));
    }
  }
  MRS_RETURN_IF_ERROR(puts.Wait());
  StreamedWeights streamed{.read_bytes = loader->read_bytes(), .shared_digests = {}};
  MRS_ASSIGN_OR_RETURN(streamed.shared_digests, loader->Finish());
  return streamed;
}

}  // namespace mrs
