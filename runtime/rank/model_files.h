// The checkpoint's files, opened and compared with the plan: a file of another checkpoint never gets read further. Each
// is opened once: the descriptor that was checked is the one that weights are read from.
//
//   MRS_ASSIGN_OR_RETURN(ModelFiles files, ModelFiles::Open(plan, "/models/3", needed));
//   MRS_RETURN_IF_ERROR(files.Read(file, offset, bytes));
#pragma once

#include <cstdint>
#include <ctime>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs {

// `{rank}` in a model folder stands for the rank's number, so that each rank may have a copy of its own.
std::string ModelDirOfRank(std::string_view model_dir, uint32_t rank);

// The content of `path` (a tokenizer), read once and compared with the plan's, hashed from end to end: what was
// compared is what is returned.
Result<std::string> ReadCheckedFile(const std::string& path, const plan::File& file);

class ModelFiles {
 public:
  // Opens those of Plan.files where needed[file] is set, as formats/checkpoint_file.h does: header, size, tensors.
  static Result<ModelFiles> Open(const plan::Plan& plan, const std::string& model_dir, const std::vector<bool>& needed);

  ModelFiles(ModelFiles&& other) noexcept = default;
  ModelFiles& operator=(ModelFiles&&) = delete;
  ~ModelFiles();

  // Fills `bytes` from `offset` of an open file; any number of threads at once.
  Status Read(uint32_t file, uint64_t offset, std::span<std::byte> bytes) const;

  // Refuses files that somebody wrote to since they were opened: what was read may be half of one checkpoint and half
  // of another.
  Status CheckUnchanged() const;

 private:
  struct OpenFile {
    int descriptor = -1;  // -1: not needed
    std::string path;
    timespec written{};  // when its content last changed
  };
  ModelFiles() = default;
  std::vector<OpenFile> files_;  // as Plan.files
};

}  // namespace mrs
