// Of cuda_check: ranks that are streams of one device exchange by each other's memory, as over several devices. Each
// prints a line, and returns how many results are not the host's bits.
#pragma once

namespace mrs::kernels::cuda {

int CheckPeerExchange(int ranks);   // sums and gatherings
int CheckPeerTransfers(int ranks);  // from each to the next
int CheckPeerSumNorm(int ranks);    // sums with the residual sum and the norm that follow

}  // namespace mrs::kernels::cuda
