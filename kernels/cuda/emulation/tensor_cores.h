// What a warp does with tiles, between its lanes' fragments (kernels/cuda/tensor_cores.h says which lane holds what).
// Lanes meet as in any operation of a warp: one that is missing, or elsewhere, ends the program by name. Like shuffles
// they order no memory.
#pragma once

#include <cstdint>

#include "kernels/cuda/emulation/machine.h"

namespace mrs::emulation {

// c += a * b in f32, along K from 0 on; a device may add in another order and drop bits that f32 keeps.
void MultiplyTiles(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const Site& site);

// Ends the program where a row of a tile cannot be loaded: it is not aligned to sixteen bytes, or not shared memory.
void CheckRow(const void* row);
// Each lane brings a row of eight elements, sixteen bytes.
void Transpose(uint32_t (&words)[4], const void* row, const Site& site);

}  // namespace mrs::emulation
