// Everything that `mrs-exec doctor` looks at on one host, as it was found: nothing here is judged.
//
//   const doctor::Facts facts = doctor::Probe({});
//   const std::vector<doctor::Finding> findings = doctor::Judge(facts);   // findings.h
//   Print(doctor::ToText(facts, findings));                               // report.h
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "host/memory.h"
#include "host/probe/cpu.h"
#include "host/probe/gpus.h"
#include "host/probe/limits.h"
#include "host/probe/nics.h"

namespace mrs::doctor {

// What the kernels of this program can do here (kernels/kernels.h).
struct IsaFacts {
  bool baseline = false;                      // AVX2 and FMA: without them no kernel runs
  std::string isa;                            // "avx512bf16"
  std::string wanted;                         // MRS_ISA; "": not set
  std::vector<std::string> native, emulated;  // orders of sums: "pair2", "block32"
};

struct Facts {
  std::string host, kernel, arch;  // as uname says them
  probe::CpuFacts cpu;
  uint32_t affinity = 0;  // CPUs that this process may use; 0: not known
  uint32_t cores = 1;     // threads that can run at once: the cgroup's time counted, too
  IsaFacts isa;
  HostMemory memory;
  uint64_t machine_memory_bytes = UINT64_MAX;  // not known
  probe::LimitFacts limits;
  probe::NicsFacts network;
  std::vector<probe::BusGpu> bus_gpus;
  std::string loopback;  // why TCP over it does not work; "": it does
  probe::GpusFacts gpus;
};

struct ProbeOptions {
  probe::GpuLibraries libraries;
  // Eight GPUs whose driver is not kept loaded take half a minute to wake up.
  std::chrono::milliseconds driver_limit = std::chrono::seconds(60);
  std::string root;  // of /proc, /sys and /dev/shm; "" but for tests
};

// Before the process has threads: the driver is asked in a fork of it.
Facts Probe(const ProbeOptions& options);

}  // namespace mrs::doctor
