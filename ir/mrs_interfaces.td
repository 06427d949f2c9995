// What every operation says of itself: its sharding rule, and where K may be cut of what reads its result. Parsed once.
#ifndef MRS_IR_INTERFACES_TD
#define MRS_IR_INTERFACES_TD

include "mlir/IR/Interfaces.td"

def Mrs_RuledOp : OpInterface<"RuledOp"> {
  let cppNamespace = "::mrs::ir";
  let methods = [
    StaticInterfaceMethod<"", "const ::mrs::ir::ShardingRule &", "getShardingRule", (ins), [{
      static const ::mrs::ir::ShardingRule rule = ::mrs::ir::ParseShardingRule(ConcreteOp::kShardingRule);
      return rule;
    }]>,
    StaticInterfaceMethod<"", "::mrs::ir::KCut", "getKCut", (ins), [{ return ConcreteOp::kKCut; }]>
  ];
}

#endif
