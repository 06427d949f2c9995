// Any bytes: a cluster or a refusal.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "planner/cluster/doctor_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)mrs::cluster::ParseDoctorJson(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz").ok();
  return 0;
}
