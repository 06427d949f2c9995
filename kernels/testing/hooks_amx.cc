#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/testing/hooks.h"

namespace mrs::kernels {

bool RequestAmx() {
  // arch/x86/include/uapi/asm/prctl.h
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}

void NativeBlock32(const bf16* a, const bf16* b, float* acc) {
  struct alignas(64) Config {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t column_bytes[16] = {64, 64, 64};
    uint8_t rows[16] = {16, 16, 16};
  };
  static_assert(sizeof(Config) == 64);
  Config config;
  // g++ 12's _tile_loadconfig tells the compiler of 8 of these 64 bytes; without this the rest may never be stored.
  __asm__ volatile("" : : "r"(&config) : "memory");
  _tile_loadconfig(&config);
  _tile_loadd(0, acc, 64);
  _tile_loadd(1, a, 64);
  _tile_loadd(2, b, 64);
  _tile_dpbf16ps(0, 1, 2);
  _tile_stored(0, acc, 64);
  _tile_release();
  __asm__ volatile("" : : : "memory");
}

}  // namespace mrs::kernels
