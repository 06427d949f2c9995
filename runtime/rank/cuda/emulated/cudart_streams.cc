// Streams, events and graphs of the emulated runtime.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "kernels/cuda/emulation/memory.h"
#include "runtime/rank/cuda/emulated/cudart.h"

namespace mrs::emulated {

struct RuntimeEvent {
  int device;
  cudaStream_t stream = nullptr;  // which has passed it when so much is done; null: it was never recorded
  uint64_t after = 0;
};
struct RuntimeGraph {
  RuntimeStream* stream;
  std::vector<emulation::Node> nodes;
};
struct RuntimeExec {
  RuntimeStream* stream;
  std::vector<emulation::Node> nodes;
  std::vector<const void*> held;  // memory whose addresses its nodes have
};

namespace {

// Handles of one kind: those that are there.
template <typename T>
class Handles {
 public:
  template <typename Handle>
  Handle Add(std::unique_ptr<T> made) {
    const std::lock_guard lock(mutex_);
    there_.insert(made.get());
    return static_cast<Handle>(static_cast<void*>(made.release()));
  }
  // Null: none that is there.
  T* Find(void* handle) {
    const std::lock_guard lock(mutex_);
    auto* const found = static_cast<T*>(handle);
    return there_.contains(found) ? found : nullptr;
  }
  std::unique_ptr<T> Take(void* handle) {
    const std::lock_guard lock(mutex_);
    auto* const found = static_cast<T*>(handle);
    return std::unique_ptr<T>(there_.erase(found) == 1 ? found : nullptr);
  }

 private:
  std::mutex mutex_;
  std::set<T*> there_;
};
template <typename T>
Handles<T>& All() {
  static auto* const handles = new Handles<T>;
  return *handles;
}

// As a test asks: the n-th dependency of all is forgotten.
void ForgetDependency(uint64_t number, std::vector<emulation::Node>* nodes) {
  for (emulation::Node& node : *nodes) {
    if (number > node.after.size()) {
      number -= node.after.size();
      continue;
    }
    node.after.erase(node.after.begin() + static_cast<std::ptrdiff_t>(number - 1));
    NoteForgotten();
    return;
  }
}

}  // namespace

void RuntimeStream::Put(emulation::Work work) {
  const std::lock_guard lock(mutex_);
  left_.push_back(std::move(work));
  ++given_;
}

uint64_t RuntimeStream::given() {
  const std::lock_guard lock(mutex_);
  return given_;
}

void RuntimeStream::RunUntil(uint64_t count) {
  const std::lock_guard turn(running_);
  while (true) {
    emulation::Work work;
    {
      const std::lock_guard lock(mutex_);
      if (left_.empty()) flying_.clear();
      if (left_.empty() || done_ >= count) return;
      work = std::move(left_.front());
      left_.pop_front();
    }
    work();
    const std::lock_guard lock(mutex_);
    ++done_;
  }
}
void RuntimeStream::Run() { RunUntil(given()); }

void RuntimeStream::Drop() {
  const std::lock_guard lock(mutex_);
  done_ += left_.size();
  left_.clear();
  flying_.clear();
}

void RuntimeStream::NoteLaunch(const RuntimeExec* launched) {
  const std::lock_guard lock(mutex_);
  flying_.push_back(launched);
}
bool RuntimeStream::IsFlying(const RuntimeExec* launched) {
  const std::lock_guard lock(mutex_);
  return std::find(flying_.begin(), flying_.end(), launched) != flying_.end();
}

int RuntimeStream::Admit(const emulation::Words& words) {
  Begin();
  if (const cudaError_t lost = LostOf(device)) return Fail(lost);
  if (device != ThreadDevice()) {
    const std::string has = ThreadDevice() < 0 ? "none" : fmt::format("cuda:{}", ThreadDevice());
    return Fail(cudaErrorInvalidResourceHandle,
                fmt::format("the stream is of cuda:{}, and the thread's device is {}", device, has));
  }
  if (const cudaError_t no = Ask(device, Point::kLaunch, cudaErrorLaunchOutOfResources)) return no;
  for (const uint64_t word : words) {
    std::string why = emulation::WhyNoArgument(word, device);
    if (!why.empty()) return Fail(cudaErrorIllegalAddress, std::move(why));
  }
  return cudaSuccess;
}

}  // namespace mrs::emulated

using namespace mrs::emulated;

// ---- Streams ----

// The first call that opens a device, for whoever opens it.
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  Begin();
  if (flags != cudaStreamNonBlocking) return Fail(cudaErrorInvalidValue);
  const int device = ThreadDevice();
  if (device < 0) return Fail(cudaErrorInvalidDevice, "the thread's device is none");
  if (const cudaError_t no = Ask(device, Point::kOpen, cudaErrorUnknown)) return no;
  auto made = std::make_unique<RuntimeStream>(device);
  NoteStream(made.get());
  *stream = HandleOf(made.release());
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  Begin();
  const std::unique_ptr<RuntimeStream> gone(StreamOf(stream));
  if (gone == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (gone->is_capturing()) mrs::emulation::EndByName("a stream is destroyed while it is captured");
  gone->Run();  // CUDA does it later
  ForgetStream(gone.get());
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Begin();
  RuntimeStream* const on = StreamOf(stream);
  if (on == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (const cudaError_t no = OutsideCapture(on, "a wait")) return no;
  const cudaError_t failed = Ask(on->device, Point::kWait, cudaErrorLaunchFailure);
  if (failed != cudaSuccess) {
    Lose(on->device, failed);  // as by an error of a kernel: nothing brings the device back
    return failed;
  }
  on->Run();
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  Begin();
  RuntimeStream* const on = StreamOf(stream);
  if (on == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (const cudaError_t no = OutsideCapture(on, "a look at the stream")) return no;
  if (const cudaError_t lost = LostOf(on->device)) return Fail(lost);
  on->Run();
  return cudaSuccess;
}

// ---- Events ----

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  Begin();
  if (flags != cudaEventDisableTiming) return Fail(cudaErrorInvalidValue);
  const int device = ThreadDevice();
  if (device < 0) return Fail(cudaErrorInvalidDevice, "the thread's device is none");
  *event = All<RuntimeEvent>().Add<cudaEvent_t>(std::make_unique<RuntimeEvent>(RuntimeEvent{.device = device}));
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  Begin();
  return All<RuntimeEvent>().Take(event) != nullptr ? cudaSuccess : Fail(cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  Begin();
  RuntimeStream* const on = StreamOf(stream);
  RuntimeEvent* const mark = All<RuntimeEvent>().Find(event);
  if (on == nullptr || mark == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (const cudaError_t no = OutsideCapture(on, "a mark")) return no;
  if (mark->device != on->device) {
    return Fail(cudaErrorInvalidResourceHandle,
                fmt::format("the stream is of cuda:{}, and the event of cuda:{}", on->device, mark->device));
  }
  if (const cudaError_t no = Ask(on->device, Point::kMark, cudaErrorUnknown)) return no;
  mark->stream = stream;
  mark->after = on->given();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) { return cudaEventQuery(event); }
cudaError_t cudaEventQuery(cudaEvent_t event) {
  Begin();
  const RuntimeEvent* const mark = All<RuntimeEvent>().Find(event);
  if (mark == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (const cudaError_t lost = LostOf(mark->device)) return Fail(lost);
  if (RuntimeStream* const on = StreamOf(mark->stream)) on->RunUntil(mark->after);  // else it went when it was done
  return cudaSuccess;
}

// ---- Graphs ----

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  Begin();
  RuntimeStream* const on = StreamOf(stream);
  if (on == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (mode != cudaStreamCaptureModeThreadLocal) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t no = OutsideCapture(on, "another capture")) return no;
  if (const cudaError_t no = OutsideCapture("another capture")) return no;
  if (const cudaError_t no = Ask(on->device, Point::kCapture, cudaErrorUnknown)) return no;
  on->Join(new mrs::emulation::Capture);
  SetCaptured(on);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  Begin();
  *graph = nullptr;
  RuntimeStream* const on = StreamOf(stream);
  if (on == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (!on->is_capturing()) return Fail(cudaErrorIllegalState, "it captures nothing");
  if (Captured() != on) return Fail(cudaErrorStreamCaptureWrongThread);
  const std::unique_ptr<mrs::emulation::Capture> capture(on->capture());
  on->Leave();
  SetCaptured(nullptr);
  if (!capture->spoilt.empty()) return Fail(cudaErrorStreamCaptureInvalidated, std::move(capture->spoilt));
  if (const cudaError_t no = Ask(on->device, Point::kInvalidated, cudaErrorStreamCaptureInvalidated)) return no;
  *graph =
      All<RuntimeGraph>().Add<cudaGraph_t>(std::make_unique<RuntimeGraph>(RuntimeGraph{on, std::move(capture->nodes)}));
  ++on->graph_count;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
  Begin();
  const RuntimeGraph* const of = All<RuntimeGraph>().Find(graph);
  if (of == nullptr || flags != 0) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t no = Ask(of->stream->device, Point::kInstantiate, cudaErrorMemoryAllocation)) return no;
  const auto faults = CurrentFaults();
  if (!faults.ok()) return Fail(cudaErrorInitializationError, faults.message());
  auto made = std::make_unique<RuntimeExec>(RuntimeExec{of->stream, of->nodes, {}});
  if ((*faults)->missing_dependency != 0) ForgetDependency((*faults)->missing_dependency, &made->nodes);
  mrs::emulation::Words words;
  for (const auto& node : made->nodes) words.insert(words.end(), node.words.begin(), node.words.end());
  made->held = mrs::emulation::MemoryAmong(words);
  mrs::emulation::HoldMemory(made->held);
  ++of->stream->graph_count;
  *executable = All<RuntimeExec>().Add<cudaGraphExec_t>(std::move(made));
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  Begin();
  const std::unique_ptr<RuntimeGraph> gone = All<RuntimeGraph>().Take(graph);
  if (gone == nullptr) mrs::emulation::EndByName("a graph is destroyed that is none, or is none any more");
  --gone->stream->graph_count;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  Begin();
  RuntimeStream* const on = StreamOf(stream);
  if (on == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (const cudaError_t no = OutsideCapture(on, "a graph's launch")) return no;
  if (const cudaError_t no = Ask(on->device, Point::kGraphLaunch, cudaErrorLaunchOutOfResources)) return no;
  const RuntimeExec* const launched = All<RuntimeExec>().Find(executable);
  if (launched == nullptr) return Fail(cudaErrorInvalidValue, "it is none");
  if (launched->stream != on) {  // CUDA has it run on any stream of its device; nobody here asks it to
    const bool is_of_device = launched->stream->device == on->device;
    return Fail(cudaErrorInvalidValue, is_of_device ? "it is another stream's" : "it is another device's");
  }
  on->NoteLaunch(launched);
  for (const uint32_t node : mrs::emulation::OrderOf(launched->nodes, NextOrderSeed())) {
    on->Put(launched->nodes[node].work);
  }
  return cudaSuccess;
}

// CUDA frees one that runs when it is done, so it would not notice; here somebody must have looked, since its launch,
// at how far its stream is.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  Begin();
  const std::unique_ptr<RuntimeExec> gone = All<RuntimeExec>().Take(executable);
  if (gone == nullptr) mrs::emulation::EndByName("a graph is destroyed that is none, or is none any more");
  if (gone->stream->IsFlying(gone.get())) {
    mrs::emulation::EndByName("a graph is destroyed that was launched and not waited for");
  }
  mrs::emulation::LetGoOfMemory(gone->held);
  --gone->stream->graph_count;
  return cudaSuccess;
}
