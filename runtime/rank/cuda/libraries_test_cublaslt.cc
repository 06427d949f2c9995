// Stands for libcublasLt.so.13 in libraries_test: calls by their names, which all fail, and the version that the build
// gives.
extern "C" {

unsigned long cublasLtGetVersion() { return MRS_TEST_VERSION; }
const char* cublasLtGetStatusString(int) { return "of a test's cuBLASLt"; }
int cublasLtCreate(void*) { return 7; }
int cublasLtDestroy() { return 7; }
int cublasLtMatmulDescCreate() { return 7; }
int cublasLtMatmulDescSetAttribute() { return 7; }
int cublasLtMatmulDescDestroy() { return 7; }
int cublasLtMatrixLayoutCreate() { return 7; }
int cublasLtMatrixLayoutDestroy() { return 7; }
int cublasLtMatmulPreferenceCreate() { return 7; }
int cublasLtMatmulPreferenceSetAttribute() { return 7; }
int cublasLtMatmulPreferenceDestroy() { return 7; }
int cublasLtMatmulAlgoGetHeuristic() { return 7; }
int cublasLtMatmul() { return 7; }

}  // extern "C"
