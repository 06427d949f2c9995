// The emulated runtime's own: what its calls (cuda_runtime_api.h) have in common. It refuses what CUDA refuses, with
// its error; what CUDA would not notice ends the program by name (kernels/cuda/emulation/memory.h); it is stricter than
// CUDA with what a graph holds: launches and copies within a device alone. And it fails where a test asks it to
// (../emulated_faults.h).
//
//   cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
//     Begin();
//     RuntimeStream* const on = StreamOf(stream);
//     if (on == nullptr) return Fail(cudaErrorInvalidResourceHandle);
//     if (const cudaError_t no = OutsideCapture(on, "a mark")) return no;
//     if (const cudaError_t no = Ask(on->device, Point::kMark, cudaErrorUnknown)) return no;
//     ...
//     return cudaSuccess;
//   }
#pragma once

#include <cuda_runtime_api.h>
#ifndef MRS_EMULATED_CUDART
#error "this is the toolkit's cuda_runtime_api.h: the folder of this file comes first for programs that are emulated"
#endif

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/cuda/emulation/stream.h"
#include "runtime/rank/cuda/emulated_faults.h"

namespace mrs::emulated {

// ---- How calls fail ----

// The thread's last failure is forgotten.
void Begin();
// Is the thread's last failure now: cudaGetErrorString has the reason.
cudaError_t Fail(cudaError_t error, std::string why = {});
// Where the device is lost, or where a test asks for it: `error`.
cudaError_t Ask(int device, Point point, cudaError_t error);

// ---- Devices ----

// The calling thread's; -1: none.
int ThreadDevice();
// cudaSuccess, or what every call of the device returns from now on, until its last stream goes.
cudaError_t LostOf(int device);
void Lose(int device, cudaError_t error);
// That its kernels take where they are loaded lazily, and have been.
uint64_t LoadedBytes(int device);
// "allocation 3": of those that the device has had since its first stream.
std::string NameOfNext(int device, const char* kind);

// ---- Streams ----

struct RuntimeExec;

// What it is given is done when somebody waits for it, or asks how far it is: in order, and by that thread. So what a
// host did too early, to a buffer that is still copied from, shows.
class RuntimeStream final : public emulation::Stream {
 public:
  explicit RuntimeStream(int of) : device(of) {}
  int Admit(const emulation::Words& words) override;
  void Put(emulation::Work work) override;
  // How much it was given so far.
  uint64_t given();
  // Until so much is done; all of it.
  void RunUntil(uint64_t count);
  void Run();
  // What is left is not done: of a device that is lost.
  void Drop();
  // A graph was launched; whether it may not be done yet.
  void NoteLaunch(const RuntimeExec* launched);
  bool IsFlying(const RuntimeExec* launched);

  const int device;
  int graph_count = 0;  // that are there, executable or not

 private:
  std::mutex running_;  // one after another
  std::mutex mutex_;    // of what follows
  std::deque<emulation::Work> left_;
  uint64_t given_ = 0, done_ = 0;
  std::vector<const RuntimeExec*> flying_;
};
// Null: none that is there.
RuntimeStream* StreamOf(cudaStream_t stream);
inline cudaStream_t HandleOf(RuntimeStream* stream) {
  return static_cast<cudaStream_t>(static_cast<void*>(static_cast<emulation::Stream*>(stream)));
}
// Of devices' streams: what is there, and the first and the last of each device.
void NoteStream(RuntimeStream* stream);
void ForgetStream(RuntimeStream* stream);
// Until nothing is left of any of them.
void RunAllOf(int device);

// What the calling thread captures; null: nothing. `what` ("an allocation") in the middle of it is refused, and spoils
// the graph: of a stream, or of a call that has none.
void SetCaptured(RuntimeStream* stream);
RuntimeStream* Captured();
cudaError_t OutsideCapture(RuntimeStream* stream, const char* what);
inline cudaError_t OutsideCapture(const char* what) { return OutsideCapture(Captured(), what); }

}  // namespace mrs::emulated
