#include "planner/check/check_model.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "formats/input_file.h"
#include "formats/json.h"
#include "planner/check/message_place.h"
#include "planner/generation_config.h"
#include "planner/index_check.h"
#include "planner/model_config.h"
#include "planner/model_tensors.h"
#include "planner/model_text.h"
#include "planner/model_tokenizer.h"
#include "planner/optional_file.h"
#include "planner/weight_index.h"

namespace mrs::check {
namespace {

constexpr size_t kMaxPlacedBytes = size_t{16} << 20;  // a bigger file's messages have no line
constexpr const char* kIndex = "model.safetensors.index.json";

std::string_view ErrorId(const MessageFile& file, bool has_place) {
  const std::string& rest = file.rest;
  const bool unsupported = rest.ends_with("not supported yet") || rest.ends_with("; give one in bf16, f16 or f32");
  if (rest.starts_with("cannot be opened: ") && !rest.starts_with("cannot be opened: No such file")) {
    return "check.unreadable";
  }
  const bool of_json = file.name.ends_with(".json");
  if (of_json && has_place) return "model.syntax";
  if (file.name == "config.json") {
    if (rest.starts_with("architecture ")) return "model.architecture";
    return unsupported ? "model.unsupported" : "model.config";
  }
  if (file.name == "generation_config.json") return "model.generation";
  if (file.name == "tokenizer.json") return "model.tokenizer";
  if (file.name == "checkpoint") return "model.tensors";
  if (unsupported) return "model.unsupported";
  if (file.name == kIndex || file.name.ends_with(".safetensors")) return "model.weights";
  if (file.name.empty()) return rest.starts_with("model name") ? "model.config" : "model.weights";
  return "model.text";
}

std::string_view WarningId(const MessageFile& file) {
  if (file.name.empty() && file.rest.starts_with("no file names an end-of-text token")) return "model.no-end";
  return file.name == "checkpoint" ? "model.unused-tensors" : "model.no-effect";
}

// Judges one folder, or one config.json that stands for it.
class ModelChecker {
 public:
  explicit ModelChecker(std::string folder) : folder_(std::move(folder)) {}
  ModelChecker(std::string folder, std::string config) : folder_(std::move(folder)), config_(std::move(config)) {}

  void Error(const mrs::Error& error) { Add(error.message, /*warning=*/false); }
  void Warn(const std::vector<std::string>& warnings) {
    for (const std::string& warning : warnings) Add(warning, /*warning=*/true);
  }

  void NoteNoWeights(bool by_index) {
    found_.push_back(
        Finding("model.no-weights", WholeOf(folder_),
                fmt::format("no weights are here, so {}; name the folder to miss them",
                            by_index ? "tensors were checked by the index alone" : "tensors were not checked")));
  }

  std::vector<Diagnostic> Take() && { return std::move(found_); }

 private:
  std::string PathOf(const std::string& name) const {
    return name == "config.json" && !config_.empty() ? config_ : fmt::format("{}/{}", folder_, name);
  }

  void Add(const std::string& message, bool warning) {
    if (!said_.insert(message).second) return;
    MessageFile file = FileOfMessage(folder_, message);
    if (!config_.empty() && message.starts_with(config_ + ": ")) {
      file = {"config.json", config_, message.substr(config_.size() + 2)};
    } else if (file.name == "config.json") {
      file.path = PathOf(file.name);
    }
    Place place = WholeOf(file.path);
    if (file.name == "checkpoint" || (file.name == kIndex && file.rest.starts_with("tensor "))) {
      place = PlaceOfTensor(file.rest);
    } else if (file.name.ends_with(".json")) {
      const Result<std::string> text = ReadFile(file.path, kMaxPlacedBytes);
      PlacedMessage split = SplitPlace(file.rest, "", text.ok() ? std::string_view(*text) : "");
      const bool has_place = split.place.line > 0;
      file.rest = std::move(split.message);
      place.begin = place.end = split.place;
      if (!has_place && text.ok()) place = PlaceOfMessage(file.path, *text, file.rest);
      if (!warning && has_place) {
        found_.push_back(Finding(ErrorId(file, true), place, file.rest));
        return;
      }
    }
    found_.push_back(Finding(warning ? WarningId(file) : ErrorId(file, false), place, file.rest));
  }

  // In the index, where there is one; else of the only file.
  Place PlaceOfTensor(std::string_view rest) const {
    const std::string single = PathOf("model.safetensors");
    if (IsNamed(single)) return WholeOf(single);
    const std::string path = PathOf(kIndex);
    const Result<std::string> text = ReadFile(path, kMaxPlacedBytes);
    if (!text) return WholeOf(folder_);
    // "tensor 'model.norm.weight' ...".
    const size_t quote = rest.find_first_of("'\"");
    const size_t end = quote == rest.npos ? rest.npos : rest.find(rest[quote], quote + 1);
    if (end == rest.npos) return WholeOf(path);
    const std::vector<JsonStep> steps = {{"weight_map"}, {std::string(rest.substr(quote + 1, end - quote - 1))}};
    const std::optional<JsonSpan> span = FindJsonSpan(*text, steps);
    if (!span) return {path, {1, 1}, {1, 1}};
    return {path, PlaceOf(*text, span->key_begin), PlaceOf(*text, span->end)};
  }

  std::string folder_;
  std::string config_;  // "": the folder's
  std::set<std::string> said_;
  std::vector<Diagnostic> found_;
};

// What ReadModelConfig stopped before: the other files, each for itself.
void CheckOtherFiles(const std::string& folder, ModelChecker& checker) {
  std::vector<std::string> warnings;
  const Result<std::optional<ModelTokenizer>> tokenizer = ReadModelTokenizer(folder, &warnings);
  if (!tokenizer) checker.Error(tokenizer.error());
  const auto config = ReadJsonIfThere(folder, "config.json");
  Result<ModelSpec> spec = config.ok() && *config ? ParseModelConfig(**config, "config.json", std::nullopt, &warnings)
                                                  : Result<ModelSpec>(Refuse("no config"));
  if (spec) {
    if (const Status generation = ReadGenerationConfig(folder, *spec, &warnings); !generation.ok()) {
      checker.Error(generation.error());
    }
    const text::Tokenizer* const read = tokenizer && *tokenizer ? &(*tokenizer)->tokenizer : nullptr;
    // Whether its tokens are known cannot be said while the tokenizer is not.
    if (tokenizer) {
      if (const Status text = ReadModelText(folder, read, *spec, &warnings); !text.ok()) checker.Error(text.error());
    }
  }
  // What was not read above for want of a config is JSON at least, or it is told of (once).
  for (const char* name : {"generation_config.json", "tokenizer_config.json", "special_tokens_map.json"}) {
    if (const auto json = ReadJsonIfThere(folder, name); !json) checker.Error(json.error());
  }
  checker.Warn(warnings);
}

// The files, and against `spec` (where config.json gives one) their tensors.
void CheckWeights(const std::string& folder, ModelSpec* spec, ModelChecker& checker,
                  std::vector<std::string>* warnings) {
  Result<Checkpoint> checkpoint = ReadCheckpoint(folder);
  if (!checkpoint) {
    checker.Error(checkpoint.error());
    if (spec == nullptr || checkpoint.error().kind != ErrorKind::kUnavailable) return;
    if (const auto names = CheckWithoutHeaders(folder, *spec); !names) checker.Error(names.error());
    return;
  }
  if (spec == nullptr) return;
  ResolveTiedHead(*spec, *checkpoint, warnings);
  const Result<TensorReport> report = CheckTensors(*spec, *checkpoint);
  if (!report) return checker.Error(report.error());
  warnings->insert(warnings->end(), report->warnings.begin(), report->warnings.end());
}

// What is known of weights that are elsewhere.
void CheckIndexAlone(const std::string& folder, ModelSpec* spec, ModelChecker& checker,
                     std::vector<std::string>* warnings) {
  const bool index = IsThere(folder, kIndex);
  checker.NoteNoWeights(index && spec != nullptr);
  if (spec == nullptr) {
    if (!index) return;
    if (const Result<WeightIndex> read = ReadWeightIndex(folder); !read) checker.Error(read.error());
    return;
  }
  const Result<std::optional<IndexReport>> report = CheckWithoutHeaders(folder, *spec);
  if (!report) return checker.Error(report.error());
  if (*report) warnings->insert(warnings->end(), (*report)->warnings.begin(), (*report)->warnings.end());
}

}  // namespace

std::vector<Diagnostic> CheckModelFolder(const std::string& folder, bool weights_due) {
  ModelChecker checker(folder);
  std::vector<std::string> warnings;
  Result<ModelSpec> spec = ReadModelConfig(folder, {}, &warnings);
  if (!spec) {
    checker.Error(spec.error());
    CheckOtherFiles(folder, checker);
  }
  if (weights_due) {
    CheckWeights(folder, spec ? &*spec : nullptr, checker, &warnings);
  } else {
    CheckIndexAlone(folder, spec ? &*spec : nullptr, checker, &warnings);
  }
  checker.Warn(warnings);
  return std::move(checker).Take();
}

std::vector<Diagnostic> CheckModelConfig(const std::string& path) {
  ModelChecker checker(std::filesystem::path(path).parent_path().string(), path);
  std::vector<std::string> warnings;
  const Result<ModelSpec> spec = ReadModelConfig(path, {.name = "model", .layout_alone = true}, &warnings);
  if (!spec) checker.Error(spec.error());
  checker.Warn(warnings);
  return std::move(checker).Take();
}

}  // namespace mrs::check
