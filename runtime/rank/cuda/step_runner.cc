#include "runtime/rank/cuda/step_runner.h"

#include <fmt/format.h>

#include <variant>

#include "runtime/rank/exchange.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {
namespace {

using kernels::cuda::CudaKernels;

// A device is given many steps before it has done the first; how far it is, is counted by so many.
constexpr uint32_t kStepsAMark = 8;

template <typename Args>
int Start(KernelLaunch<CudaKernels, Args>& launch, int64_t rows, void* stream) {
  RowsOf(launch.args) = rows * launch.rows_per_row;
  return launch.kernel(launch.args, stream);
}

}  // namespace

Status StepRunner::RunAll(GpuProgram& program, const RowCounts& rows, Which which) {
  if (pulse_ != nullptr) pulse_->Expect(static_cast<uint32_t>(program.launches.size()));
  uint32_t operation = 0;
  for (auto& launch : program.launches) {
    if (pulse_ != nullptr) pulse_->At(++operation, launch.step);
    const bool is_cut = exchange_.IsCut(launch);
    if (is_cut && which != Which::kAll) continue;
    if (which == Which::kLibraries && !CallsLibrary(launch, rows)) continue;
    Status ran = is_cut ? RunExchange(launch, rows) : Run(launch, rows);
    if (ran.ok() && operation % kStepsAMark == 0) ran = device_.Mark();
    if (!ran.ok()) return AtStep(launch.step, ran.error());
    MRS_RETURN_IF_ERROR(OfRank(exchange_.MakeRoom()));
  }
  return Status();
}

Status StepRunner::RunExchange(const GpuLaunch& launch, const RowCounts& rows) {
  const int64_t count = rows.of_batch[static_cast<size_t>(launch.rows)];
  if (times_ != nullptr) MRS_RETURN_IF_ERROR(device_.Finish());  // what is timed is the exchange
  if (const auto* const collective = std::get_if<CollectiveLaunch>(&launch.work)) {
    return Timed(times_, *collective, count, [&] { return exchange_.Run(*collective, count); });
  }
  const auto& transfer = std::get<TransferLaunch>(launch.work);
  return Timed(times_, transfer, count, [&] { return exchange_.Run(transfer, count); });
}

// Of peers, too, whose kernels are this program's own: then ranks need not have the same to load before.
bool StepRunner::CallsLibrary(const GpuLaunch& launch, const RowCounts& counts) const {
  if (std::holds_alternative<CollectiveLaunch>(launch.work)) return !exchange_.IsAlone();
  if (std::holds_alternative<TransferLaunch>(launch.work)) return true;
  if (std::holds_alternative<SumNormLaunch>(launch.work)) return true;
  const int64_t rows = counts.of_kernels[static_cast<size_t>(launch.rows)];
  return std::visit(
      [&](const auto& work) {
        if constexpr (requires { products_.CallsCublaslt(work, rows); }) {
          return products_.CallsCublaslt(work, rows);
        } else {
          return false;
        }
      },
      launch.work);
}

Status StepRunner::Run(GpuLaunch& launch, const RowCounts& counts) {
  const int64_t rows = counts.of_kernels[static_cast<size_t>(launch.rows)];
  if (const auto* const collective = std::get_if<CollectiveLaunch>(&launch.work)) {
    return exchange_.IsAlone() ? exchange_.Run(*collective, rows) : RunInStream(*collective, rows);
  }
  if (auto* const joined = std::get_if<SumNormLaunch>(&launch.work)) {
    joined->norm.args.rows = rows;
    return exchange_.Run(*joined, rows);
  }
  if (const auto* const transfer = std::get_if<TransferLaunch>(&launch.work)) return RunInStream(*transfer, rows);
  return std::visit(
      [&](auto& work) -> Status {
        if constexpr (requires { Start(work, rows, device_.stream()); }) {
          return device_.Launched(Start(work, rows, device_.stream()));
        } else if constexpr (requires { products_.Run(work, rows); }) {
          return products_.Run(work, rows);
        } else {
          return Status();
        }
      },
      launch.work);
}

// Where it is timed, by itself: from an empty stream until that is empty again.
template <typename Exchanged>
Status StepRunner::RunInStream(const Exchanged& launch, int64_t rows) {
  if (times_ == nullptr) return exchange_.Run(launch, rows);
  MRS_RETURN_IF_ERROR(exchange_.Finish());
  return Timed(times_, launch, rows, [&]() -> Status {
    MRS_RETURN_IF_ERROR(exchange_.Run(launch, rows));
    return exchange_.Finish();
  });
}

Error StepRunner::AtStep(uint32_t index, const Error& error) const {
  const plan::Step& step = *StageOf(plan_, rank_).steps()->Get(index);
  return Error{error.kind, fmt::format("rank {} step {} '{}': {}", rank_, index,
                                       plan_.names()->Get(step.name())->c_str(), error.message)};
}

Status StepRunner::OfRank(const Status& done) const {
  if (done.ok()) return done;
  return Error{done.error().kind, fmt::format("rank {}: {}", rank_, done.message())};
}

}  // namespace mrs
