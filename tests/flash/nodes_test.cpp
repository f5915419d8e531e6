#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "builder/card/card.hpp"
#include "builder/pki/pki.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/handle.hpp"
#include "tests/flash/loop.hpp"
#include "tests/flash/person.hpp"
#include "tests/unit/scratch.hpp"
#include "tests/unit/vendor_images.hpp"

// The program with a cluster's nodes, whose base is a vendor's image of 60 MiB.
namespace makina::flashing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class Nodes : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        folder_ = std::make_unique<Scratch>();
        (void)vendors::write(*folder_, "vendor.img", vendors::rpios_trixie());
    }
    static void TearDownTestSuite() { folder_.reset(); }

    Nodes() {
        scratch_.write("daemon", vendors::program(183));
        profile_ = scratch_.write("makina.yaml",
                                  "name: small\nkubernetes: {version: 1.34.1}\n"
                                  "network: {subnet: 192.168.68.0/24, gateway: 192.168.68.1}\n"
                                  "api: {balancer: none}\nbase: {image: " +
                                      (*folder_ / "vendor.img").string() +
                                      ", free: 16MiB}\nnodes:\n"
                                      "  master-1: {role: control-plane, address: 192.168.68.11}\n"
                                      "  worker-1: {role: worker, address: 192.168.68.21}\n"
                                      "  worker-2: {role: worker, address: 192.168.68.22}\n");
    }
    [[nodiscard]] std::vector<std::string> with_keys(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), MAKINA_IMAGE);
        for (const std::string& word : {std::string("--keys"), (scratch_ / "keys").string(), std::string("--cache"),
                                        (*folder_ / "cache").string(), std::string("--offline")})
            arguments.push_back(word);
        return arguments;
    }
    [[nodiscard]] std::vector<std::string> command(std::vector<std::string> arguments) const {
        arguments.insert(arguments.end(), {"--profile", profile_.string(), "--daemon", (scratch_ / "daemon").string()});
        return with_keys(std::move(arguments));
    }
    [[nodiscard]] std::vector<FlashReceipt> receipts() const {
        const Keys keys(scratch_ / "keys", "small", "");
        std::vector<FlashReceipt> all = keys.receipts();
        for (const FlashReceipt& receipt : all) EXPECT_TRUE(keys.is_genuine(receipt)) << receipt.node;
        return all;
    }
    [[nodiscard]] std::string card(const std::string& name) const { return (scratch_ / name).string(); }
    [[nodiscard]] static Json last_event(const std::string& output) {
        return Json::parse(output.substr(output.rfind('\n', output.size() - 2) + 1));
    }
    [[nodiscard]] static std::string node_of(const fs::path& image) {
        const auto manifest = Card(image).manifest();
        return manifest ? manifest->node : "";
    }

    static inline std::unique_ptr<Scratch> folder_;
    Scratch scratch_;
    fs::path profile_;
};

TEST_F(Nodes, AreWrittenByTheirNameWithAReceipt) {
    const Result result = run({command({"flash", "--role", "worker-1", card("card")})});
    ASSERT_EQ(result.status, 0) << result.errors;
    EXPECT_EQ(node_of(scratch_ / "card"), "worker-1");
    const auto all = receipts();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].node, "worker-1");
    EXPECT_EQ(all[0].medium, card("card"));
    EXPECT_TRUE(all[0].verified);
    EXPECT_NE(all[0].card, std::string(32, '0'));
    EXPECT_NE(all[0].sha256, std::string(64, '0'));
    EXPECT_GT(all[0].bytes, 0U);
}

TEST_F(Nodes, AreAllWrittenToCardsOfTheirOwn) {
    const Result result = run({command({"flash", "--all", "--json", card("a"), card("b"), card("c")})});
    ASSERT_EQ(result.status, 0) << result.errors;
    EXPECT_EQ(node_of(scratch_ / "a"), "master-1");
    EXPECT_EQ(node_of(scratch_ / "b"), "worker-1");
    EXPECT_EQ(node_of(scratch_ / "c"), "worker-2");
    EXPECT_EQ(receipts().size(), 3U);
    const Json summary = last_event(result.output);
    EXPECT_EQ(summary, Json::parse(R"({"event":"summary","cards":3,"verified":3,"failed":[],"not_begun":[]})"));
}

TEST_F(Nodes, GoOnWithTheOthersIfOneTargetIsBad) {
    scratch_.write("b", "old");
    const Descriptor held(open(card("b").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(flock(held.get(), LOCK_EX | LOCK_NB), 0);
    const Result result =
        run({command({"flash", "--all", "--json", card("a"), card("b"), card("c"), "--yes-device", card("b")})});
    EXPECT_EQ(result.status, 1) << result.errors;
    EXPECT_NE(result.output.find("somebody else is writing it"), std::string::npos) << result.output;
    EXPECT_EQ(node_of(scratch_ / "a"), "master-1");
    EXPECT_EQ(node_of(scratch_ / "c"), "worker-2");
    EXPECT_EQ(slurp(scratch_ / "b"), "old");
    const Json summary = last_event(result.output);
    EXPECT_EQ(summary,
              Json::parse(R"({"event":"summary","cards":3,"verified":2,"failed":["worker-1"],"not_begun":[]})"));
    EXPECT_EQ(receipts().size(), 2U);
}

TEST_F(Nodes, EndWithASummaryIfNobodyPutsInTheNextCard) {
    const Result result = run({command({"flash", "--all", card("a")})});
    EXPECT_EQ(result.status, 1);
    EXPECT_NE(result.errors.find("nobody is there to put in the next cards, for worker-1\n"
                                 "1 of 3 cards are verified; not begun: worker-1, worker-2\n"),
              std::string::npos)
        << result.errors;
}

TEST_F(Nodes, NeverGoOverTheCardThatWasJustVerified) {
    const auto [said, code] = on_a_terminal(start(command({"flash", "--all", card("a"), "--yes-device", card("a")})),
                                            {{"worker-1, and press Enter: ", "\n"},
                                             {"(s and Enter leaves out worker-1): ", "s\n"},
                                             {"worker-2, and press Enter: ", "\x03"}},
                                            300);
    EXPECT_EQ(code, 1) << said;
    EXPECT_NE(said.find(card("a") + " is the card of master-1: move it away first"), std::string::npos) << said;
    EXPECT_NE(said.find("1 of 3 cards are verified; failed: worker-1; not begun: worker-2\r\n"), std::string::npos)
        << said;
    EXPECT_EQ(node_of(scratch_ / "a"), "master-1");
}

TEST_F(Nodes, AreWrittenFromTheirBlocksWithAReceipt) {
    const std::string blocks = (scratch_ / "worker-1.blocks").string();
    const Result built = run({command({"build", "--role", "worker-1", "--blocks", "--output", blocks})});
    ASSERT_EQ(built.status, 0) << built.errors;
    const Result result = run({with_keys({"flash", blocks, card("card")})});
    ASSERT_EQ(result.status, 0) << result.errors;
    EXPECT_EQ(node_of(scratch_ / "card"), "worker-1");
    const auto all = receipts();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].node, "worker-1");
    EXPECT_TRUE(all[0].verified);
    EXPECT_EQ(result.errors.find("receipt"), std::string::npos) << result.errors;
}

TEST_F(Nodes, AreWrittenFromPackedImagesWithAReceipt) {
    const std::string packed = (scratch_ / "worker-1.img.zst").string();
    const Result built = run({command({"build", "--role", "worker-1", "--compress", "zstd", "--output", packed})});
    ASSERT_EQ(built.status, 0) << built.errors;
    ASSERT_EQ(run({with_keys({"flash", packed, card("card")})}).status, 0);
    ASSERT_EQ(receipts().size(), 1U);
    EXPECT_EQ(receipts()[0].node, "worker-1");
    EXPECT_NE(receipts()[0].card, std::string(32, '0'));
    // The same of a card, which is read as a device.
    std::ofstream(scratch_ / "disk").close();
    fs::resize_file(scratch_ / "disk", 128 << 20);
    const Loop loop(scratch_ / "disk");
    if (loop.name().empty()) GTEST_SKIP() << "losetup takes root and a kernel with loop devices";
    const Result result = run({with_keys({"flash", packed, loop.name(), "--yes-device", loop.name()})});
    ASSERT_EQ(result.status, 0) << result.errors;
    ASSERT_EQ(receipts().size(), 2U) << result.errors;
    EXPECT_EQ(receipts()[1].node, "worker-1");
    EXPECT_EQ(receipts()[1].medium, loop.name());
}

TEST_F(Nodes, WithoutABundleHaveAReceiptOfNoCard) {
    const std::string image = (scratch_ / "worker-1.img").string();
    ASSERT_EQ(run({command({"build", "--role", "worker-1", "--no-bundle", "--output", image})}).status, 0);
    ASSERT_EQ(run({with_keys({"flash", image, card("card")})}).status, 0);
    const auto all = receipts();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].node, "worker-1");
    EXPECT_EQ(all[0].card, std::string(32, '0'));
}

TEST_F(Nodes, OfOtherKeysAreSaidToHaveNoReceipt) {
    const std::string image = (scratch_ / "worker-1.img").string();
    ASSERT_EQ(run({command({"build", "--role", "worker-1", "--output", image})}).status, 0);
    fs::rename(scratch_ / "keys", scratch_ / "other");
    ASSERT_EQ(run({command({"build", "--role", "worker-2", "--output", (scratch_ / "w.img").string()})}).status, 0);
    const Result result = run({with_keys({"flash", image, card("card")})});
    EXPECT_EQ(result.status, 0);
    EXPECT_NE(result.errors.find("the ledger gets no receipt of worker-1.img: its bundle is none of those"),
              std::string::npos)
        << result.errors;
}

TEST_F(Nodes, AskForAnotherCardAsLongAsTheReaderHasTheOneJustVerified) {
    std::ofstream(scratch_ / "disk").close();
    fs::resize_file(scratch_ / "disk", 128 << 20);
    const Loop loop(scratch_ / "disk");
    if (loop.name().empty()) GTEST_SKIP() << "losetup takes root and a kernel with loop devices";
    const auto [said, code] =
        on_a_terminal(start(command({"flash", "--all", loop.name(), "--yes-device", loop.name()})),
                      {{"worker-1, and press Enter: ", "\n"}, {"(s and Enter leaves out worker-1): ", "\x03"}}, 300);
    EXPECT_EQ(code, 1) << said;
    EXPECT_NE(said.find("the card of master-1 is still in " + loop.name() + ": put in another one"), std::string::npos)
        << said;
    EXPECT_NE(said.find("1 of 3 cards are verified; not begun: worker-1, worker-2"), std::string::npos) << said;
    EXPECT_EQ(node_of(scratch_ / "disk"), "master-1");
}

}  // namespace
}  // namespace makina::flashing
