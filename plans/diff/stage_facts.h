// The facts of one stage's steps, weights and buffers, with every index followed to a name: facts.h says how they look.
//
// An index past the end of what it points into shows as "number 9 of 4". What no step, weight or buffer owns (a gap in
// refs, an attribute that nobody has) is a fact of the stage.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "plans/diff/facts.h"
#include "plans/verify/context.h"

namespace mrs::diff {

class StageFacts {
 public:
  // `names` are the plan's, as they are shown; sets in `used` those that this stage has. All borrowed.
  StageFacts(const plan::Plan& plan, uint32_t stage, const std::vector<std::string>& names, std::vector<bool>* used);

  // Told apart within the stage: the second of one name is "\"l0.qkv\"#2".
  const std::vector<std::string>& step_labels() const { return step_labels_; }
  const std::vector<std::string>& weight_labels() const { return weight_labels_; }
  const std::vector<std::string>& buffer_labels() const { return buffer_labels_; }
  const std::vector<std::string>& bucket_labels() const { return bucket_labels_; }

  std::vector<Fact> OfStage() const;
  std::vector<Fact> OfStep(uint32_t step) const;
  std::vector<Fact> OfWeight(uint32_t weight) const;
  std::vector<Fact> OfBuffer(uint32_t buffer) const;

 private:
  struct Attribute {
    const void* object = nullptr;
    const flatbuffers::TypeTable* type = nullptr;
  };

  Attribute AttributeOf(const plan::Step& step) const;
  bool HasOperands(const plan::Step& step) const;
  void FindAttributes();
  std::string RefText(const plan::Ref& ref) const;
  std::string NameText(uint32_t name) const;

  verify::Budget budget_;
  const plan::Plan& plan_;
  verify::StageView view_;
  const std::vector<std::string>& names_;
  std::vector<std::string> step_labels_, weight_labels_, buffer_labels_, bucket_labels_;
  std::unordered_set<const void*> owned_attributes_;
  std::unordered_map<uint32_t, std::string> attribute_notes_;  // of a step: where its attribute lies, if unusual
};

}  // namespace mrs::diff
