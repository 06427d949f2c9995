// What is said of NCCL and of cuBLASLt where the loader finds none of that name, one of another version, or one that
// lacks a call. A program that opens both (libraries_test_program.cc) runs where LD_LIBRARY_PATH has libraries made for
// this test: the loader reads it once, as a program starts.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kFolder = MRS_TEST_LIBRARIES;
constexpr const char* kInstallNccl =
    "; install NCCL 2.14 or newer (Debian, Ubuntu: libnccl2 of NVIDIA's repository; pip: nvidia-nccl-cu13) where the "
    "loader finds it (LD_LIBRARY_PATH), or plan with mrs-plan build --collectives staged\n";
constexpr const char* kInstallCublaslt =
    "; install cuBLAS 13 (Debian, Ubuntu: libcublas-13-0 of NVIDIA's repository; pip: nvidia-cublas) where the loader "
    "finds it (LD_LIBRARY_PATH), or plan with mrs-plan build --numerics pair2\n";

// "nccl" or "cublaslt", whichever is to be opened, with the libraries of a folder.
std::string Said(const std::string& folder, const std::string& library) {
  const std::string command = fmt::format("env LD_LIBRARY_PATH='{}' '{}' {} 2>&1", folder, MRS_TEST_PROGRAM, library);
  std::FILE* const run = popen(command.c_str(), "r");
  std::string said;
  for (int c = std::fgetc(run); c != EOF; c = std::fgetc(run)) said.push_back(static_cast<char>(c));
  EXPECT_EQ(pclose(run), 0) << said;
  return said;
}
std::string FolderOf(const char* name) { return kFolder + "/" + name; }

TEST(Libraries, AreCalledWhereTheyAreWhole) {
  EXPECT_EQ(Said(FolderOf("whole"), "nccl"), "2.28.9: code 3 of a test's NCCL\n");
  EXPECT_EQ(Said(FolderOf("whole"), "cublaslt"), "13.1.0: code 7 of a test's cuBLASLt\n");
}

// Also where the older one lacks what is called: its version says more.
TEST(Libraries, OfAnotherVersionAreRefused) {
  EXPECT_EQ(Said(FolderOf("old"), "nccl"),
            std::string("libnccl.so.2 is 2.13.4, expected 2.14 or a newer 2") + kInstallNccl);
  EXPECT_EQ(Said(FolderOf("ancient"), "nccl"),
            std::string("libnccl.so.2 is 2.8.4, expected 2.14 or a newer 2") + kInstallNccl);
  EXPECT_EQ(Said(FolderOf("new"), "nccl"),
            std::string("libnccl.so.2 is 3.0.0, expected 2.14 or a newer 2") + kInstallNccl);
  EXPECT_EQ(Said(FolderOf("old"), "cublaslt"),
            std::string("libcublasLt.so.13 is 12.8.4, expected 13") + kInstallCublaslt);
  EXPECT_EQ(Said(FolderOf("new"), "cublaslt"),
            std::string("libcublasLt.so.13 is 14.0.0, expected 13") + kInstallCublaslt);
}

TEST(Libraries, ThatLackACallAreRefusedByItsName) {
  const auto lacks = [](const char* folder, const char* library, const char* call) {
    return fmt::format("{0} has no {1}: {2}/{0}: undefined symbol: {1}", library, call, FolderOf(folder));
  };
  EXPECT_EQ(Said(FolderOf("lacking"), "nccl"), lacks("lacking", "libnccl.so.2", "ncclCommFinalize") + kInstallNccl);
  EXPECT_EQ(Said(FolderOf("lacking"), "cublaslt"),
            lacks("lacking", "libcublasLt.so.13", "cublasLtMatmul") + kInstallCublaslt);
  EXPECT_EQ(Said(FolderOf("nameless"), "nccl"), lacks("nameless", "libnccl.so.2", "ncclGetVersion") + kInstallNccl);
  EXPECT_EQ(Said(FolderOf("nameless"), "cublaslt"),
            lacks("nameless", "libcublasLt.so.13", "cublasLtGetVersion") + kInstallCublaslt);
}

TEST(Libraries, ThatAreNoneAreRefused) {
  const std::string folder = ::testing::TempDir() + "no-libraries";
  std::filesystem::create_directories(folder);
  for (const char* name : {"libnccl.so.2", "libcublasLt.so.13"}) std::ofstream(folder + "/" + name) << "no library";
  const std::string nccl = Said(folder, "nccl"), cublaslt = Said(folder, "cublaslt");
  EXPECT_THAT(nccl, StartsWith("no NCCL on this host: " + folder + "/libnccl.so.2: "));
  EXPECT_THAT(nccl, HasSubstr(kInstallNccl));
  EXPECT_THAT(cublaslt, StartsWith("no cuBLASLt on this host: " + folder + "/libcublasLt.so.13: "));
  EXPECT_THAT(cublaslt, HasSubstr(kInstallCublaslt));
}

// A host may have them, where the loader looks by itself; each is looked for alone.
TEST(Libraries, ThatAreNotThereAreRefused) {
  const std::string folder = ::testing::TempDir() + "nothing";
  std::filesystem::create_directories(folder);
  const std::string nccl = Said(folder, "nccl"), cublaslt = Said(folder, "cublaslt");
  if (!nccl.starts_with("2.")) {
    EXPECT_EQ(nccl, std::string("no NCCL on this host: libnccl.so.2: cannot open shared object file: No such file or "
                                "directory") +
                        kInstallNccl);
  }
  if (!cublaslt.starts_with("13.")) {
    EXPECT_EQ(cublaslt, std::string("no cuBLASLt on this host: libcublasLt.so.13: cannot open shared object file: No "
                                    "such file or directory") +
                            kInstallCublaslt);
  }
}

}  // namespace
