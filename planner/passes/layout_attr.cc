#include "planner/passes/layout_attr.h"

#include "ir/program.h"

namespace mrs::planner {

void WriteLayout(const Layout& layout, mlir::ModuleOp module) {
  mlir::Builder builder(module.getContext());
  const auto number = [&](llvm::StringRef name, int64_t value) {
    return builder.getNamedAttr(name, builder.getI64IntegerAttr(value));
  };
  llvm::SmallVector<mlir::Attribute> stages;
  for (const LayoutStage& stage : layout.stages) {
    stages.push_back(
        builder.getDictionaryAttr({number("device", stage.device), number("layer_begin", stage.layer_begin),
                                   number("layer_end", stage.layer_end)}));
  }
  module->setAttr("mrs.layout",
                  builder.getDictionaryAttr({builder.getNamedAttr("buckets", ir::BucketsAttr(builder, layout.buckets)),
                                             builder.getNamedAttr("mesh", ir::MeshAttr(builder, layout.mesh)),
                                             builder.getNamedAttr("stages", builder.getArrayAttr(stages))}));
}

mlir::FailureOr<Layout> ReadLayout(mlir::ModuleOp module) {
  auto dictionary = module->getAttrOfType<mlir::DictionaryAttr>("mrs.layout");
  if (!dictionary) return module.emitError() << "the module has no mrs.layout; mrs-plan build --ir-out writes it";
  auto mesh = dictionary.getAs<mlir::DictionaryAttr>("mesh");
  auto stages = dictionary.getAs<mlir::ArrayAttr>("stages");
  if (!mesh || !stages) {
    return module.emitError() << "mrs.layout is " << dictionary << ", expected {buckets, mesh, stages}";
  }
  if (mlir::failed(ir::VerifyMesh(module, mesh))) return mlir::failure();
  Layout layout;
  layout.mesh = ir::MeshOf(mesh);
  layout.buckets = ir::BucketsOf(dictionary.get("buckets"));
  if (layout.buckets.empty()) {
    return module.emitError() << "mrs.layout has no buckets, or one with less than 1 or more than 2^19 rows";
  }
  for (mlir::Attribute entry : stages) {
    auto stage = mlir::dyn_cast<mlir::DictionaryAttr>(entry);
    const auto number = [&](llvm::StringRef name) {
      auto value = stage ? stage.getAs<mlir::IntegerAttr>(name) : nullptr;
      return value ? value.getInt() : -1;
    };
    const LayoutStage read = {number("layer_begin"), number("layer_end"), number("device")};
    const int64_t begin = layout.stages.empty() ? 0 : layout.stages.back().layer_end;
    if (read.layer_begin != begin || read.layer_end <= begin || read.device < 0) {
      return module.emitError() << "stage " << layout.stages.size() << " of mrs.layout is " << entry
                                << ", expected a device, and layers that follow those of the stage before";
    }
    layout.stages.push_back(read);
  }
  if (static_cast<int64_t>(layout.stages.size()) != layout.mesh.stage) {
    return module.emitError() << "mrs.layout has " << layout.stages.size() << " stages, its mesh " << layout.mesh.stage;
  }
  return layout;
}

}  // namespace mrs::planner
