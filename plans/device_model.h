// Whether a device may be of the model that a plan was made for, by what each calls itself. What a plan says that would
// be wrong of another (its memory, peers' access) is compared by itself; by the model it has its rates and predicted
// times.
//
//   MayBeModel("H100-SXM", "NVIDIA H100 80GB HBM3")  ->  true
//   MayBeModel("H100-SXM", "NVIDIA A100-SXM4-80GB")  ->  false: h100 is not among its words
//   MayBeModel("H100-SXM", "NVIDIA H100 PCIe")       ->  false: pcie is a word of one alone
//   MayBeModel("A100-SXM-40GB", "NVIDIA A100-SXM4-80GB")  ->  true: sizes are not compared
//
// Models are the catalogue's names (planner/cluster/catalogue.h), or what a description of a cluster says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "plans/plan_generated.h"

namespace mrs {

// True, too, of a model whose words do not tell which chip it is.
bool MayBeModel(std::string_view model, std::string_view device);

// Of a rank of a verified plan, what a log says: "rank 0: cuda:0 (NVIDIA A100-SXM4-80GB) is another model than
// H100-SXM,
// ..."; "" where the device may be the plan's, or the plan does not say which that is.
std::string OtherModelText(const plan::Plan& plan, uint32_t rank, const std::string& device);

}  // namespace mrs
