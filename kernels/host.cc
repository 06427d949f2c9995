// What this host can run, and the two bits of MXCSR that every kernel wants.
#include <cpuid.h>
#include <immintrin.h>

#include <cstdlib>
#include <cstring>

#include "kernels/sets.h"

namespace mrs::kernels {
namespace {

constexpr const char* kIsaNames[] = {"reference", "avx2", "avx512", "avx512bf16", "amx"};

// XCR0: what the operating system saves at a context switch.
uint64_t EnabledState() {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

bool HasAmxBf16() {
  uint32_t a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr uint32_t kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  if ((d & kAmxBf16) == 0 || (d & kAmxTile) == 0) return false;
  constexpr uint64_t kTileState = (1u << 17) | (1u << 18);
  return (EnabledState() & kTileState) == kTileState;
}

Isa HostIsa() {
  if (!HostHasBaseline()) return Isa::kReference;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
    return Isa::kAvx2;
  }
  if (!__builtin_cpu_supports("avx512bf16")) return Isa::kAvx512;
  return HasAmxBf16() ? Isa::kAmx : Isa::kAvx512Bf16;
}

}  // namespace

bool HostHasBaseline() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

Isa DetectIsa() {
  static const Isa host = HostIsa();
  Isa wanted;
  const char* name = std::getenv("MRS_ISA");
  if (name == nullptr || !ParseIsa(name, &wanted)) return host;
  return wanted < host ? wanted : host;
}

bool ParseIsa(const char* name, Isa* isa) {
  for (int i = 0; i <= static_cast<int>(Isa::kAmx); ++i) {
    if (std::strcmp(name, kIsaNames[i]) == 0) {
      *isa = static_cast<Isa>(i);
      return true;
    }
  }
  return false;
}

const char* IsaName(Isa isa) { return kIsaNames[static_cast<int>(isa)]; }

bool IsNative(Isa isa, Chain chain) { return chain == Chain::kPair2 && isa >= Isa::kAvx512Bf16; }

const KernelSet& SelectKernels(Isa isa, Chain chain) {
  switch (isa) {
    case Isa::kReference:
      return ReferenceKernels(chain);
    case Isa::kAvx2:
      return Avx2Kernels(chain);
    case Isa::kAvx512:
      return Avx512Kernels(chain);
    case Isa::kAvx512Bf16:
    case Isa::kAmx:
      break;
  }
  return Avx512Bf16Kernels(chain);
}

ScopedFlushToZero::ScopedFlushToZero() : saved_(_mm_getcsr()) {
  constexpr uint32_t kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero);
}

ScopedFlushToZero::~ScopedFlushToZero() { _mm_setcsr(saved_); }

}  // namespace mrs::kernels
