// Opens NCCL or cuBLASLt, and says what comes of it: libraries_test_program nccl
#include <cstdio>
#include <string_view>

#include "runtime/rank/cuda/cublaslt.h"
#include "runtime/rank/cuda/nccl.h"

namespace mrs {
namespace {

template <typename Call>
void Say(const Result<int>& version, std::string (*text)(int), Call call) {
  std::printf("%s\n", version.ok() ? fmt::format("{}: {}", text(*version), call()).c_str() : version.message().c_str());
}

std::string CallNccl() {
  nccl::UniqueId id;
  const int code = nccl::MakeUniqueId(&id);
  return fmt::format("code {} {}", code, nccl::Text(code, nullptr));
}
std::string CallCublaslt() {
  cublaslt::Handle handle = nullptr;
  const int code = cublaslt::Create(&handle);
  return fmt::format("code {} {}", code, cublaslt::Text(code));
}

}  // namespace
}  // namespace mrs

int main(int count, char** values) {
  using namespace mrs;
  // Twice: what was opened stays so.
  const bool is_nccl = count == 2 && std::string_view(values[1]) == "nccl";
  const Result<int> first = is_nccl ? nccl::Open() : cublaslt::Open();
  const Result<int> again = is_nccl ? nccl::Open() : cublaslt::Open();
  if (first.ok() != again.ok()) return 1;
  is_nccl ? Say(again, nccl::VersionText, CallNccl) : Say(again, cublaslt::VersionText, CallCublaslt);
  return 0;
}
