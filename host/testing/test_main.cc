// What every unit test starts with: a folder of its own behind ::testing::TempDir(), gone at the end, so that two runs
// of a test share no file.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace {

class OwnFolder {
 public:
  OwnFolder() : path_(::testing::TempDir() + "mrs_test_XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr || setenv("TEST_TMPDIR", path_.c_str(), 1) != 0) {
      std::perror(("a test's folder " + path_).c_str());
      std::exit(1);
    }
  }
  ~OwnFolder() {
    if (getpid() != owner_) return;  // a child that comes here, too
    std::error_code failed;
    std::filesystem::remove_all(path_, failed);
    if (failed) std::fprintf(stderr, "a test's folder %s is left: %s\n", path_.c_str(), failed.message().c_str());
  }
  OwnFolder(const OwnFolder&) = delete;
  OwnFolder& operator=(const OwnFolder&) = delete;

 private:
  const pid_t owner_ = getpid();
  std::string path_;
};

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const OwnFolder folder;
  return RUN_ALL_TESTS();
}
