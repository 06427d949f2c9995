#include "plans/recorded_file.h"

#include "plans/plan_generated.h"

namespace mrs {
namespace {

// Sources are f32, bf16 or f16: the verifier saw to it.
std::string_view SafetensorsName(plan::DType dtype) {
  if (dtype == plan::DType::bf16) return "BF16";
  return dtype == plan::DType::f16 ? "F16" : "F32";
}

}  // namespace

std::vector<RecordedFile> RecordedFilesOf(const plan::Plan& plan) {
  std::vector<RecordedFile> files;
  files.reserve(plan.files()->size());
  for (const plan::File* file : *plan.files()) {
    files.push_back({.name = file->name()->string_view(),
                     .size_bytes = file->size_bytes(),
                     .header_bytes = file->header_bytes(),
                     .header_sha256 = {file->header_sha256()->data(), file->header_sha256()->size()},
                     .tensors = {}});
  }
  for (const plan::Stage* stage : *plan.stages()) {
    for (const plan::WeightSource* source : *stage->sources()) {
      files[source->file()].tensors.push_back({.name = plan.names()->Get(source->name())->string_view(),
                                               .dtype = SafetensorsName(source->dtype()),
                                               .file_offset = source->file_offset(),
                                               .rows = source->tensor_rows(),
                                               .columns = source->tensor_columns()});
    }
  }
  return files;
}

}  // namespace mrs
