#include "plans/cluster_ports.h"

#include <gtest/gtest.h>

namespace mrs {
namespace {

TEST(ClusterPorts, RankRIsTheRthBehindTheHeads) {
  EXPECT_EQ(RankPort(kClusterPort, 0), 29501u);
  EXPECT_EQ(RankPort(kClusterPort, 15), 29516u);
  EXPECT_EQ(RankPort(65535, 0), 65536u);
}

TEST(ClusterPorts, EveryRankHasOneOrThePortIsRefused) {
  EXPECT_TRUE(CheckClusterPort(65533, 2).ok());
  EXPECT_EQ(CheckClusterPort(65534, 2).message(),
            "--cluster-port 65534: rank 1 would listen on 65536, and ports end at 65535; take one of at most 65533");
  EXPECT_TRUE(CheckClusterPort(1, 65534).ok());
  EXPECT_EQ(CheckClusterPort(1, 65535).message(), "a plan of 65535 ranks: each listens at a port, and there are 65535");
}

}  // namespace
}  // namespace mrs
