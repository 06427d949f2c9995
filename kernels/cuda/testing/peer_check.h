// Of cuda_check: ranks that are streams of one device exchange by each other's memory, as over several devices. Each
// prints a line, and returns how many results are not the host's bits.
#pragma once

#include <string>

namespace mrs::kernels::cuda {

// Why so many streams cannot exchange on this device; "": they can. Their kernels wait for each other, so it must hold
// all of them at once, which cooperative launches promise of each alone.
std::string WhyNotSideBySide(int ranks);

int CheckPeerExchange(int ranks);   // sums and gatherings
int CheckPeerTransfers(int ranks);  // from each to the next
int CheckPeerSumNorm(int ranks);    // sums with the residual sum and the norm that follow

}  // namespace mrs::kernels::cuda
