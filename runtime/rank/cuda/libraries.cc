#include "runtime/rank/cuda/libraries.h"

#include "plans/collectives.h"
#include "runtime/rank/cuda/cublaslt.h"
#include "runtime/rank/cuda/nccl.h"

namespace mrs {
namespace {

Result<std::string> TextOf(const Result<int>& version, std::string (*text)(int)) {
  if (!version.ok()) return version.error();
  return text(*version);
}

}  // namespace

std::vector<CudaLibrary> CudaLibrariesOf(const plan::Plan& plan) {
  std::vector<CudaLibrary> libraries;
  if (plan.ranks()->Get(0)->kind() != plan::DeviceKind::cuda) return libraries;
  if (plan.numerics()->chain() == plan::Chain::fast) {
    libraries.push_back({"cuBLASLt", TextOf(cublaslt::Open(), cublaslt::VersionText)});
  }
  if (CollectivesOf(plan) == Collectives::kNccl) libraries.push_back({"NCCL", TextOf(nccl::Open(), nccl::VersionText)});
  return libraries;
}

}  // namespace mrs
