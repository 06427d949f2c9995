#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "plans/contract.h"
#include "plans/reader.h"
#include "plans/testing/tiny_plan.h"
#include "plans/writer.h"

namespace mrs::testing {
namespace {

class PlanFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "mrs_plan_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  void Write(const std::string& name, std::string_view bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
  }
  std::string OpenError(const std::string& name) const {
    const Result<OpenedPlan> opened = OpenPlan(Path(name));
    return opened.ok() ? "" : opened.message();
  }

  std::string folder_;
};

TEST_F(PlanFile, OpensWhatWasWritten) {
  const Result<std::string> bytes = SerializePlan(TinyPlan());
  ASSERT_TRUE(bytes.ok()) << bytes.message();
  const Status written = WritePlanFile(Path("x.mrsplan"), *bytes);
  ASSERT_TRUE(written.ok()) << written.message();
  Result<OpenedPlan> opened = OpenPlan(Path("x.mrsplan"));
  ASSERT_TRUE(opened.ok()) << opened.message();
  const plan::Plan* before = &opened->plan();
  const OpenedPlan moved = *std::move(opened);
  EXPECT_EQ(&moved.plan(), before);
  EXPECT_EQ(moved.plan().model()->name()->str(), "tiny");
  EXPECT_EQ(moved.bytes().size(), bytes->size());
  EXPECT_EQ(moved.name(), OpenPlanBytes(std::as_bytes(std::span(*bytes)))->name());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1) << "the temporary file is gone";
}

TEST_F(PlanFile, IsTheSameBytesEachTime) {
  EXPECT_EQ(*SerializePlan(TinyPlan()), *SerializePlan(TinyPlan()));
  EXPECT_NE(*SerializePlan(TinyPlan({.tp = 1})), *SerializePlan(TinyPlan({.tp = 2})));
}

TEST_F(PlanFile, SurvivesUnpackingAndPacking) {
  const std::string bytes = *SerializePlan(TinyPlan());
  const Result<OpenedPlan> opened = OpenPlanBytes(std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(opened.ok());
  plan::PlanT again;
  opened->plan().UnPackTo(&again);
  EXPECT_EQ(*SerializePlan(again), bytes);
}

TEST_F(PlanFile, RefusesToSerializeWhatDoesNotVerify) {
  plan::PlanT plan = TinyPlan();
  StepOf(plan, "l0.attn").mutate_attr(7);
  EXPECT_EQ(SerializePlan(plan).message(), "plan to write: stage 0 step 10 'l0.attn': its attribute is entry 7 of 1");
  plan = TinyPlan();
  plan.model.reset();
  EXPECT_EQ(SerializePlan(plan).message(), "plan to write: 'model' is missing");
  plan = TinyPlan();
  plan.ropes.push_back(nullptr);
  EXPECT_EQ(SerializePlan(plan).message(), "plan to write: 'ropes[]' is missing");
}

TEST_F(PlanFile, RefusesAMissingFile) {
  EXPECT_EQ(OpenError("none"), "plan " + Path("none") + ": cannot open: No such file or directory");
}

TEST_F(PlanFile, RefusesADirectory) {
  EXPECT_EQ(OpenError(""), "plan " + Path("") + ": is a directory, expected a file");
}

TEST_F(PlanFile, RefusesAFifoWithoutBlocking) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(OpenError("fifo"), "plan " + Path("fifo") + ": is no regular file");
}

TEST_F(PlanFile, RefusesAnEmptyFile) {
  Write("empty", "");
  EXPECT_EQ(OpenError("empty"), "plan " + Path("empty") + ": is empty");
}

TEST_F(PlanFile, RefusesAFileOverTheLimit) {
  Write("big", "x");
  std::filesystem::resize_file(Path("big"), contract::kMaxFileBytes + 1);
  EXPECT_EQ(OpenError("big"), "plan " + Path("big") + ": has 67108865 bytes, at most 67108864 are accepted");
}

TEST_F(PlanFile, RefusesAFewBytes) {
  Write("few", "abc");
  EXPECT_EQ(OpenError("few"), "plan " + Path("few") +
                                  ": has 3 bytes, a plan has at least 40; it was truncated; rebuild it with mrs-plan");
}

TEST_F(PlanFile, RefusesAnotherKindOfFile) {
  Write("text", std::string(100, 'a'));
  EXPECT_EQ(OpenError("text"),
            "plan " + Path("text") + ": is no plan (its identifier is not MRSP); rebuild it with mrs-plan");
}

TEST_F(PlanFile, AGitLfsPointerIsCalledOne) {
  Write("lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n");
  EXPECT_EQ(OpenError("lfs"),
            "plan " + Path("lfs") +
                ": is a git-lfs pointer, not the plan that it stands for; run 'git lfs pull' where it "
                "was cloned");
}

TEST_F(PlanFile, RefusesAChangedOrTruncatedFile) {
  std::string bytes = PackPlan(TinyPlan());
  const std::string expected =
      ": its SHA-256 does not match its content: the file was changed or truncated; rebuild it with mrs-plan";
  Write("cut", bytes.substr(0, bytes.size() - 1));
  EXPECT_EQ(OpenError("cut"), "plan " + Path("cut") + expected);
  bytes[200] ^= 1;
  Write("changed", bytes);
  EXPECT_EQ(OpenError("changed"), "plan " + Path("changed") + expected);
}

TEST_F(PlanFile, RefusesBrokenStructure) {
  std::string bytes = PackPlan(TinyPlan());
  bytes[0] = 0x7F;  // the root table lies elsewhere
  Reseal(&bytes);
  Write("broken", bytes);
  EXPECT_EQ(OpenError("broken"), "plan " + Path("broken") +
                                     ": its structure is broken: an offset or a length leaves the file, or a required "
                                     "field is missing; rebuild it with mrs-plan");
}

TEST_F(PlanFile, RefusesAnotherFormat) {
  plan::PlanT plan = TinyPlan();
  plan.format_major = 4;
  Write("newer", PackPlan(plan));
  EXPECT_EQ(OpenError("newer"),
            "plan " + Path("newer") + ": has format 4.1, this version reads 3.0 to 3.1; rebuild it with mrs-plan");
  plan.format_major = 2;
  Write("older", PackPlan(plan));
  EXPECT_EQ(OpenError("older"),
            "plan " + Path("older") + ": has format 2.1, this version reads 3.0 to 3.1; rebuild it with mrs-plan");
  plan.format_major = 3;
  plan.format_minor = 9;
  Write("minor", PackPlan(plan));
  EXPECT_EQ(OpenError("minor"),
            "plan " + Path("minor") + ": has format 3.9, this version reads 3.0 to 3.1; rebuild it with mrs-plan");
}

TEST_F(PlanFile, NamesTheFileWhenItDoesNotVerify) {
  plan::PlanT plan = TinyPlan();
  plan.max_len = 0;
  Write("zero", PackPlan(plan));
  EXPECT_EQ(OpenError("zero"),
            "plan " + Path("zero") + ": max_len is 0, expected 1 to 16777216; rebuild it with mrs-plan");
}

// In place, as `cp other.mrsplan x.mrsplan` does it.
TEST_F(PlanFile, StaysAsVerifiedWhenTheFileIsOverwrittenOrTruncated) {
  const std::string bytes = *SerializePlan(TinyPlan());
  Write("x.mrsplan", bytes);
  const Result<OpenedPlan> opened = OpenPlan(Path("x.mrsplan"));
  ASSERT_TRUE(opened.ok()) << opened.message();
  Write("x.mrsplan", std::string(bytes.size(), 'x'));
  EXPECT_EQ(opened->plan().model()->name()->str(), "tiny");
  std::filesystem::resize_file(Path("x.mrsplan"), 0);
  EXPECT_TRUE(std::ranges::equal(opened->bytes(), std::as_bytes(std::span(bytes))));
}

TEST_F(PlanFile, ReplacesAnOlderFileWhole) {
  Write("x", "old");
  ASSERT_TRUE(WritePlanFile(Path("x"), "new").ok());
  std::string content;
  std::ifstream(Path("x")) >> content;
  EXPECT_EQ(content, "new");
}

TEST_F(PlanFile, LeavesNothingBehindWhenItCannotWrite) {
  EXPECT_EQ(WritePlanFile(Path("none/x"), "new").message(), Path("none/x") + ": cannot create a file in " +
                                                                Path("none") +
                                                                ": No such file or directory; nothing was written");
  std::filesystem::create_directory(Path("taken"));
  EXPECT_EQ(WritePlanFile(Path("taken"), "new").message(),
            Path("taken") + ": is a directory, expected a file name; nothing was written");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

}  // namespace
}  // namespace mrs::testing
