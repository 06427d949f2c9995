// Stands for libnccl.so.2 in libraries_test: calls by their names, which all fail, and the version that the build
// gives.
extern "C" {

int ncclGetVersion(int* version) {
  *version = MRS_TEST_VERSION;
  return 0;
}
const char* ncclGetErrorString(int) { return "of a test's NCCL"; }
const char* ncclGetLastError(void*) { return ""; }
int ncclGetUniqueId(void*) { return 3; }
int ncclCommInitRankConfig() { return 3; }
int ncclCommGetAsyncError() { return 3; }
int ncclCommFinalize() { return 3; }
int ncclCommDestroy() { return 3; }
int ncclCommAbort() { return 3; }
int ncclAllGather() { return 3; }
int ncclSend() { return 3; }
int ncclRecv() { return 3; }
int ncclGroupStart() { return 3; }
int ncclGroupEnd() { return 3; }

}  // extern "C"
