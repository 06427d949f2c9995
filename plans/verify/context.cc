#include "plans/verify/context.h"

namespace mrs::verify {

StageView::StageView(const plan::Plan& whole, uint32_t stage_index, Budget* work)
    : plan(whole),
      stage(*whole.stages()->Get(stage_index)),
      index(stage_index),
      budget(*work),
      steps(View(stage.steps())),
      joined(stage.joined() == nullptr ? std::span<const uint32_t>()
                                       : std::span(stage.joined()->data(), stage.joined()->size())),
      refs(View(stage.refs())),
      deps(stage.deps()->data(), stage.deps()->size()),
      buffers(View(stage.buffers())),
      buckets(View(stage.buckets())),
      placements(stage.placements()->data(), stage.placements()->size()),
      weights(View(stage.weights())),
      sources(View(stage.sources())),
      collectives(View(stage.collectives())),
      transfers(View(stage.transfers())),
      kv_classes(View(stage.kv_classes())) {}

uint64_t StageView::RowCount(const plan::Bucket& bucket, plan::Rows rows) const {
  switch (rows) {
    case plan::Rows::one:
      return 1;
    case plan::Rows::tokens:
      return bucket.tokens();
    case plan::Rows::sequences:
      return bucket.sequences();
    case plan::Rows::logit_rows:
      return bucket.logit_rows();
  }
  return 1;  // not reached: enums were checked
}

uint64_t StageView::BufferBytes(const plan::Bucket& bucket, const plan::Buffer& buffer) const {
  return SatMul(SatMul(RowCount(bucket, buffer.rows()), buffer.width()), ByteSize(buffer.dtype()));
}

std::string StageView::StepLabel(uint32_t step) const {
  return fmt::format("step {} '{}'", step, Name(steps[step].name()));
}

}  // namespace mrs::verify
