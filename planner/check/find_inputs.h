// What is there to be checked under the paths that somebody named? Files are known by their content, never by their
// names alone: a RING_CONFIG that is called a.txt is one, a config.json of something else is none.
//
//   FindInputs({"deploy"})  ->  {model, deploy/mini}, {ring, deploy/ring/ring_0.json}, {plan, deploy/mini.mrsplan}
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "planner/check/diagnostic.h"

namespace mrs::check {

enum class InputKind { kModelFolder, kModelConfig, kPlan, kRing, kCluster };

struct Input {
  InputKind kind;
  std::string path;
  std::string folder;  // where it was met on a walk; "": it was named itself
  bool weights_due =
      false;  // a model folder that was named, or has some: else a repository may hold the rest of it alone
};

struct FoundInputs {
  std::vector<Input> inputs;            // in the order of the paths, folders by name
  std::vector<Note> passed_over;        // of walks: what is none of them
  std::vector<Diagnostic> diagnostics;  // what could not be read, or was named and is none of them
};

// Folders are walked to a bounded depth and number of entries; links to folders and names that begin with a dot are
// passed over. What is named twice is there once.
FoundInputs FindInputs(const std::vector<std::string>& paths);

// By the start of a file; `name` decides where its content cannot: a plan that was cut short, an empty config.json.
enum class ContentKind { kNothing, kModelConfig, kPlan, kRing, kCluster };
// `named`: by somebody, who means it: what could be broken may be more so.
ContentKind KindOf(std::string_view start, std::string_view name, bool named);

}  // namespace mrs::check
