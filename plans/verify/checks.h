// The parts of VerifyPlan, in the order in which they rely on each other. Each refuses with one error or passes.
#pragma once

#include "plans/verify/context.h"
#include "plans/verify/order.h"

namespace mrs::verify {

// Of the whole plan.
Status CheckValues(const plan::Plan& plan);          // every enum known, float finite, string UTF-8, vector aligned
Status CheckFacts(const plan::Plan& plan);           // counts within limits; model, numerics, files, ropes
Status CheckWorld(const plan::Plan& plan);           // ranks and groups
Status CheckTensors(const plan::Plan& plan);         // sources of one tensor agree, and no byte is of two
Status CheckStagesTogether(const plan::Plan& plan);  // batches, KV blocks, and what goes over each border

// Of one stage.
Status CheckReferences(
    const StageView& stage);                  // every index and range of the program; what each step takes and yields
Status CheckBuffers(const StageView& stage);  // inputs, buckets, offsets
Status CheckCacheGeometry(const StageView& stage);
Status CheckWeights(const StageView& stage);                          // arena, bytes, sources
Status CheckDigests(const StageView& stage);                          // one for each slice that a rank reads, or none
Status CheckShapes(const StageView& stage);                           // operands, results and attributes of every step
Status CheckLaunches(const StageView& stage, const Order& order);     // which steps are one launch
Status CheckLiveness(const StageView& stage, const Order& order);     // use after definition, no overlap
Status CheckCollectives(const StageView& stage, const Order& order);  // one schedule on all ranks
Status CheckTransfers(const StageView& stage, const Order& order);    // to and from its neighbours, each in its order
Status CheckCacheUse(const StageView& stage, const Order& order);     // append before attention, once a layer
Status CheckOutputs(const StageView& stage);
Status CheckSharding(const StageView& stage);  // who holds which part of each value, and who may read a partial sum
Status CheckMemory(const StageView& stage);    // arenas against what each rank may use

}  // namespace mrs::verify
