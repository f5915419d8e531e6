#include <gtest/gtest.h>

#include <filesystem>

#include "builder/plan.hpp"
#include "tests/unit/clusters.hpp"

namespace makina {
namespace {

const std::filesystem::path overlays = std::filesystem::path(MAKINA_SOURCE) / "overlays";

TEST(Rendered, EveryNodeOfEveryTopologyHasAPlan) {
    for (const Profile& profile :
         {clusters::pair(), clusters::external_etcd(), clusters::static_pods(), clusters::single()}) {
        for (const Node& node : profile.nodes) {
            const ImagePlan plan = plan_image(profile, node, clusters::debian(profile), overlays);
            EXPECT_TRUE(plan.warnings.empty()) << node.name << ": " << plan.warnings.front();
