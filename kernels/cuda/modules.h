// By a kernel of each source, all kernels of this program: what nvcc makes of a source is a module to the driver, which
// has all that it holds.
//
//   const Module kModule(Embed);                                  // in a source
//   for (const Module* module = FirstModule(); module != nullptr; module = module->next) ...
//
// So that none is loaded when it is launched first (runtime/rank/cuda/device.h).
#pragma once

namespace mrs::kernels::cuda {

struct Module {
  template <typename... Parameters>
  explicit Module(void (*of_kernel)(Parameters...));

  const void* const kernel;  // as the host calls it
  const Module* const next;
};

// The sources that this program is linked of, in no order; all are there once main begins.
inline const Module*& FirstModule() {
  static const Module* first = nullptr;
  return first;
}

template <typename... Parameters>
Module::Module(void (*of_kernel)(Parameters...))
    : kernel(reinterpret_cast<const void*>(of_kernel)), next(FirstModule()) {
  FirstModule() = this;
}

}  // namespace mrs::kernels::cuda
