#include "runtime/rank/cuda/cublaslt.h"

namespace mrs::cublaslt {

Result<int> Open() {
  return Refuse(
      "this mrs-exec was built where there is no cublasLt.h; build it where cuBLAS' headers are (libcublas-dev), or "
      "plan "
      "with mrs-plan build --numerics pair2");
}
std::string VersionText(int) { return "none"; }
std::string Text(int) { return "no cuBLASLt"; }
// Of what nobody calls where Open refuses.
int Create(Handle*) { return kNotInitialized; }
int Destroy(Handle) { return kNotInitialized; }
int Choose(Handle, const Product&, uint64_t, Algorithm*) { return kNotInitialized; }
int Multiply(Handle, const Product&, const Algorithm&, const Operands&, void*) { return kNotInitialized; }

}  // namespace mrs::cublaslt
