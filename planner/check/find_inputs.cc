#include "planner/check/find_inputs.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "formats/input_file.h"
#include "plans/plan_generated.h"

namespace mrs::check {
namespace {

namespace fs = std::filesystem;

constexpr size_t kStartBytes = size_t{64} << 10;  // enough for every RING_CONFIG, and for the keys of a config.json
constexpr size_t kMaxEntries = 20'000;            // of all walks together
constexpr int kMaxDepth = 24;

// Whether `text` has `key` as JSON writes one. A file that is broken somewhere is known by what it still says.
bool HasKey(std::string_view text, std::string_view key) {
  const std::string quoted = fmt::format("\"{}\"", key);
  for (size_t at = text.find(quoted); at != text.npos; at = text.find(quoted, at + 1)) {
    const size_t next = text.find_first_not_of(" \t\r\n", at + quoted.size());
    if (next != text.npos && text[next] == ':') return true;
  }
  return false;
}

size_t CountKeys(std::string_view text, std::initializer_list<std::string_view> keys) {
  return static_cast<size_t>(
      std::count_if(keys.begin(), keys.end(), [&](std::string_view key) { return HasKey(text, key); }));
}

// A line that begins with `key:`, as one of a mapping at the top of a YAML document does; or, where `inside`, one of a
// list or mapping in it.
bool HasYamlKey(std::string_view text, std::string_view key, bool inside = false) {
  for (size_t at = 0; at < text.size();) {
    std::string_view line = text.substr(at, text.find('\n', at) - at);
    const size_t length = line.size();
    if (inside) {
      const size_t indent = std::min(line.find_first_not_of(" -{"), line.size());
      line.remove_prefix(indent);
      if (indent == 0) line = {};
    }
    if (line.starts_with(key) && line.substr(key.size()).starts_with(':')) return true;
    at += length + 1;
  }
  return false;
}

// Nodes, and something that only a node of ours has: other programs have lists of that name, too.
bool LooksLikeCluster(std::string_view start, std::string_view name, bool named) {
  if (named && (name.ends_with(".yaml") || name.ends_with(".yml"))) return true;
  if (HasYamlKey(start, "apiVersion")) return false;
  constexpr std::string_view kOfNode[] = {"gpus", "devices", "nics", "sockets", "ranks", "cores"};
  const bool in_yaml = HasYamlKey(start, "nodes") &&
                       (named || std::any_of(std::begin(kOfNode), std::end(kOfNode),
                                             [&](std::string_view key) { return HasYamlKey(start, key, true); }));
  return in_yaml ||
         (HasKey(start, "nodes") && CountKeys(start, {"gpus", "devices", "nics", "sockets", "ranks", "cores"}) > 0);
}

// At the start of a line ::error and ##[error] are commands to CI runners, and -x is an option to whoever pastes it.
std::string JoinPath(const std::string& folder, const std::string& name) {
  const bool plain = folder == "." && name.find_first_of(":#-") != 0;
  return plain ? name : fmt::format("{}{}{}", folder, folder.ends_with('/') ? "" : "/", name);
}

class Finder {
 public:
  FoundInputs Find(const std::vector<std::string>& paths) && {
    for (const std::string& path : paths) {
      std::error_code error;
      const fs::file_status status = fs::status(path, error);
      if (fs::is_directory(status)) {
        const size_t before = found_.inputs.size() + found_.diagnostics.size() + again_;
        Walk(Trimmed(path), 0);
        if (found_.inputs.size() + found_.diagnostics.size() + again_ == before) {
          found_.diagnostics.push_back(Finding("check.unknown-kind", WholeOf(path),
                                               "holds nothing that is checked: no model folder, plan, cluster file or "
                                               "RING_CONFIG"));
        }
      } else {
        Look(path, "");
      }
    }
    return std::move(found_);
  }

 private:
  static std::string Trimmed(std::string path) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    return path;
  }

  void Unreadable(const std::string& path, std::string why) {
    // The path stands before the message anyway.
    if (why.starts_with(path + ": ")) why.erase(0, path.size() + 2);
    found_.diagnostics.push_back(Finding("check.unreadable", WholeOf(path), std::move(why)));
  }

  void Add(InputKind kind, const std::string& path, const std::string& folder, bool weights_due = false) {
    std::error_code error;
    const fs::path canonical = fs::weakly_canonical(path, error);
    if (!seen_.insert(error ? path : canonical.string()).second) {
      ++again_;
      return;
    }
    found_.inputs.push_back({kind, path, folder, weights_due});
  }

  void PassOver(const std::string& path, const char* why) {
    Note& passed = found_.passed_over.emplace_back();
    passed.place.file = path;
    passed.message = why;
  }

  // A file that was named, or met in `folder`.
  void Look(const std::string& path, const std::string& folder) {
    const Result<InputFile> file = InputFile::Open(path);
    if (!file) return Unreadable(path, file.message());
    std::string start(std::min<uint64_t>(kStartBytes, file->bytes()), '\0');
    if (const Status read = file->ReadAt(0, start.data(), start.size()); !read.ok()) {
      return Unreadable(path, read.message());
    }
    switch (KindOf(start, fs::path(path).filename().string(), folder.empty())) {
      case ContentKind::kModelConfig:
        return Add(InputKind::kModelConfig, path, folder);
      case ContentKind::kPlan:
        return Add(InputKind::kPlan, path, folder);
      case ContentKind::kRing:
        return Add(InputKind::kRing, path, folder);
      case ContentKind::kCluster:
        return Add(InputKind::kCluster, path, folder);
      case ContentKind::kNothing:
        break;
    }
    constexpr const char* kWhy = "is none of: model folder, config.json of a model, plan, cluster file, RING_CONFIG";
    if (folder.empty()) {
      found_.diagnostics.push_back(Finding("check.unknown-kind", WholeOf(path), kWhy));
    } else {
      PassOver(path, kWhy);
    }
  }

  // The entries by name, or nothing where that is too much or cannot be read; either is told.
  std::optional<std::vector<std::string>> NamesIn(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code error;
    fs::directory_iterator it(folder, error), end;
    for (; !error && it != end; it.increment(error)) {
      if (++entries_ > kMaxEntries) {
        if (entries_ == kMaxEntries + 1) {
          found_.diagnostics.push_back(
              Finding("check.too-much", WholeOf(folder),
                      fmt::format("more than {} entries are met by here; name the folders that matter", kMaxEntries)));
        }
        return std::nullopt;
      }
      names.push_back(it->path().filename().string());
    }
    if (error) {
      Unreadable(folder, fmt::format("cannot be listed: {}", error.message()));
      return std::nullopt;
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  static bool HasWeights(const std::vector<std::string>& names) {
    return std::any_of(names.begin(), names.end(), [](const std::string& name) {
      return name.starts_with("model") && name.ends_with(".safetensors");
    });
  }

  static bool HasIndex(const std::vector<std::string>& names) {
    return std::binary_search(names.begin(), names.end(), "model.safetensors.index.json");
  }

  static bool HasConfig(const std::string& folder, const std::vector<std::string>& names) {
    if (!std::binary_search(names.begin(), names.end(), "config.json")) return false;
    const Result<InputFile> file = InputFile::Open(JoinPath(folder, "config.json"));
    if (!file) return false;
    std::string start(std::min<uint64_t>(kStartBytes, file->bytes()), '\0');
    return file->ReadAt(0, start.data(), start.size()).ok() &&
           KindOf(start, "config.json", false) == ContentKind::kModelConfig;
  }

  // What a model folder itself is judged by.
  static bool IsPartOfModel(std::string_view name) {
    for (const std::string_view known :
         {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
          "chat_template.jinja", "chat_template.json", "model.safetensors.index.json"}) {
      if (name == known) return true;
    }
    return name.ends_with(".safetensors");
  }

  void Walk(const std::string& folder, int depth) {
    if (depth > kMaxDepth) {
      found_.diagnostics.push_back(Finding("check.too-much", WholeOf(folder),
                                           fmt::format("lies deeper than {} folders; name it itself", kMaxDepth)));
      return;
    }
    const std::optional<std::vector<std::string>> names = NamesIn(folder);
    if (!names) return;
    const bool weights = HasWeights(*names);
    const bool model = weights || HasIndex(*names) || HasConfig(folder, *names);
    if (model) Add(InputKind::kModelFolder, folder, folder, weights || depth == 0);
    for (const std::string& name : *names) {
      const std::string path = JoinPath(folder, name);
      if (name.starts_with('.')) {
        PassOver(path, "its name begins with a dot");
        continue;
      }
      if (model && IsPartOfModel(name)) continue;
      std::error_code error;
      const fs::file_status status = fs::status(path, error);
      if (error && status.type() == fs::file_type::none) {
        if (error == std::errc::too_many_symbolic_link_levels) {
          PassOver(path, "is a link that leads in a circle");
        } else {
          Unreadable(path, fmt::format("cannot be looked at: {}", error.message()));
        }
      } else if (status.type() == fs::file_type::not_found) {
        PassOver(path, "is a link to nothing, or gone by now");
      } else if (fs::is_directory(status)) {
        if (fs::is_symlink(fs::symlink_status(path, error))) {
          PassOver(path, "is a link to a folder");
        } else {
          Walk(path, depth + 1);
        }
      } else if (fs::is_regular_file(status)) {
        Look(path, folder);
      } else {
        PassOver(path, "is no regular file");
      }
    }
  }

  FoundInputs found_;
  std::set<std::string> seen_;
  size_t entries_ = 0;
  size_t again_ = 0;  // named before
};

}  // namespace

FoundInputs FindInputs(const std::vector<std::string>& paths) { return Finder().Find(paths); }

ContentKind KindOf(std::string_view start, std::string_view name, bool named) {
  const std::string_view identifier = plan::PlanIdentifier();
  if (start.substr(std::min<size_t>(4, start.size()), identifier.size()) == identifier || name.ends_with(".mrsplan")) {
    return ContentKind::kPlan;
  }
  if (start.find('\0') != start.npos) return ContentKind::kNothing;
  // On a walk an object must begin: sources and documents that talk of such files are none. What was named may be
  // broken from its first byte on.
  const size_t first = start.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (named || (first != start.npos && start[first] == '{')) {
    const size_t of_ring_alone = CountKeys(start, {"master_port", "right_port", "master_ip", "right_ip"});
    if (of_ring_alone + CountKeys(start, {"port", "rank", "world_size"}) >= 2 && (named || of_ring_alone >= 1)) {
      return ContentKind::kRing;
    }
    const size_t of_config =
        CountKeys(start, {"architectures", "model_type", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "max_position_embeddings", "vocab_size", "n_layers", "n_heads"});
    const bool by_name = name == "config.json" || name.ends_with(".config.json");
    if (of_config >= (by_name ? named ? 0 : 1 : 3)) return ContentKind::kModelConfig;
  }
  return LooksLikeCluster(start, name, named) ? ContentKind::kCluster : ContentKind::kNothing;
}

}  // namespace mrs::check
