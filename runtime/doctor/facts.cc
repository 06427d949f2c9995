#include "runtime/doctor/facts.h"

#include <sys/utsname.h>

#include <cstdlib>

#include "host/cores.h"
#include "host/probe/loopback.h"
#include "kernels/kernels.h"

namespace mrs::doctor {
namespace {

IsaFacts ReadIsa() {
  IsaFacts facts;
  facts.baseline = kernels::HostHasBaseline();
  const kernels::Isa isa = kernels::DetectIsa();
  facts.isa = kernels::IsaName(isa);
  const char* const wanted = std::getenv("MRS_ISA");
  if (wanted != nullptr) facts.wanted = wanted;
  const auto sort = [&](kernels::Chain chain, const char* name) {
    (kernels::IsNative(isa, chain) ? facts.native : facts.emulated).emplace_back(name);
  };
  sort(kernels::Chain::kPair2, "pair2");
  sort(kernels::Chain::kBlock32, "block32");
  return facts;
}

}  // namespace

Facts Probe(const ProbeOptions& options) {
  Facts facts;
  facts.gpus = probe::ReadGpus(options.libraries, options.driver_limit, options.root);
  struct utsname name {};
  if (uname(&name) == 0) {
    facts.host = name.nodename;
    facts.kernel = name.release;
    facts.arch = name.machine;
  }
  facts.cpu = probe::ReadCpus(options.root);
  facts.affinity = AffinityCount();
  facts.cores = CoreCount(facts.affinity, options.root);
  facts.isa = ReadIsa();
  facts.memory = ReadHostMemory(options.root);
  facts.machine_memory_bytes = MachineMemoryBytes(options.root);
  facts.limits = probe::ReadLimits(options.root);
  facts.network = probe::ReadNics(options.root);
  facts.bus_gpus = probe::ReadBusGpus(options.root);
  const Status talked = probe::TryTcp();
  if (!talked.ok()) facts.loopback = talked.message();
  return facts;
}

}  // namespace mrs::doctor
