#include "formats/input_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "formats/json.h"
#include "formats/safetensors.h"

namespace mrs {
namespace {

using ::testing::HasSubstr;

constexpr const char* kPointer =
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

class InputFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "mrs_input_XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
    return Path(name);
  }
  static std::string Error(const std::string& path) {
    const Result<InputFile> file = InputFile::Open(path, "download it");
    return file.ok() ? "opened" : file.message();
  }

  std::string folder_;
};

// Root may read everything, so it becomes somebody else meanwhile.
class AsNobody {
 public:
  AsNobody() : was_(geteuid()) {
    if (was_ == 0) {
      EXPECT_EQ(seteuid(65534), 0);
    }
  }
  ~AsNobody() { EXPECT_EQ(seteuid(was_), 0); }

 private:
  uid_t was_;
};

TEST_F(InputFileTest, ReadsWhatItOpened) {
  const Result<InputFile> file = InputFile::Open(Write("a", "abcdef"));
  ASSERT_TRUE(file.ok()) << file.message();
  EXPECT_EQ(file->bytes(), 6u);
  char out[3];
  ASSERT_TRUE(file->ReadAt(2, out, 3).ok());
  EXPECT_EQ(std::string(out, 3), "cde");
  EXPECT_EQ(file->ReadAt(4, out, 3).message(), Path("a") + ": ends at byte 6; it changed while it was read");
}

TEST_F(InputFileTest, SaysWhatToDoOnlyWhereThatHelps) {
  EXPECT_EQ(Error(Path("none")), Path("none") + ": cannot be opened: No such file or directory; download it");
  EXPECT_EQ(InputFile::Open(Path("none")).message(), Path("none") + ": cannot be opened: No such file or directory");
  EXPECT_EQ(Error(Write("a", "") + "/b"), Path("a/b") + ": cannot be opened: Not a directory; download it");
  ASSERT_EQ(chmod(Path("a").c_str(), 0), 0);
  std::filesystem::create_directory(Path("closed"));
  Write("closed/b", "");
  ASSERT_EQ(chmod(Path("closed").c_str(), 0600), 0);
  for (const char* name : {"a", "closed/b", "closed/none"}) {
    const AsNobody nobody;
    EXPECT_EQ(Error(Path(name)), fmt::format("{}: cannot be opened: Permission denied; let this user (uid {}) read it "
                                             "and search its folders",
                                             Path(name), geteuid()));
  }
  std::filesystem::create_symlink("blobs/0", Path("link"));
  EXPECT_EQ(Error(Path("link")), Path("link") + ": is a symbolic link to blobs/0, where nothing is; download it");
  std::filesystem::create_symlink("circle", Path("circle"));
  EXPECT_EQ(Error(Path("circle")), Path("circle") +
                                       ": cannot be opened: Too many levels of symbolic links; its symbolic links lead "
                                       "in a circle");
}

TEST_F(InputFileTest, RefusesWhatIsNoFile) {
  EXPECT_EQ(Error(folder_), folder_ + ": is a directory, expected a file");
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0644), 0);
  EXPECT_EQ(Error(Path("pipe")), Path("pipe") + ": is a pipe, expected a file");  // and does not wait for a writer
  EXPECT_EQ(Error("/dev/null"), "/dev/null: is a device, expected a file");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(Path("socket").size(), sizeof(address.sun_path));
  std::strcpy(address.sun_path, Path("socket").c_str());
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(Error(Path("socket")), Path("socket") + ": is a socket, expected a file");
  close(listener);
}

TEST_F(InputFileTest, WhatCannotBeReadIsStillNamed) {
  EXPECT_FALSE(IsNamed(Path("none")));
  EXPECT_FALSE(IsNamed(Write("a", "") + "/b"));
  EXPECT_TRUE(IsNamed(Path("a")));
  std::filesystem::create_symlink("blobs/0", Path("link"));
  EXPECT_TRUE(IsNamed(Path("link")));
  ASSERT_EQ(chmod(folder_.c_str(), 0600), 0);
  const AsNobody nobody;
  EXPECT_TRUE(IsNamed(Path("none")));  // who knows?
}

TEST_F(InputFileTest, AGitLfsPointerIsCalledOne) {
  const std::string why =
      ": is a git-lfs pointer, not the file that it stands for; run 'git lfs pull' where it was cloned";
  EXPECT_EQ(ReadSafetensorsHeader(Write("a.safetensors", kPointer)).message(), Path("a.safetensors") + why);
  EXPECT_EQ(ReadFile(Write("tokenizer.json", kPointer), 1 << 20).message(), Path("tokenizer.json") + why);
  EXPECT_TRUE(IsGitLfsPointer("version https://hawser.github.com/spec/v1\noid sha256:0\nsize 1\n"));
  EXPECT_FALSE(IsGitLfsPointer("version https://git-lfs"));
  EXPECT_FALSE(IsGitLfsPointer(""));
}

}  // namespace
}  // namespace mrs
