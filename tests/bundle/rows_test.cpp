#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"
#include "firstboot/bundle/sealed.hpp"
#include "firstboot/machine/files.hpp"
#include "tests/bundle/bundles.hpp"
#include "tests/bundle/refusals.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

/// Empty if the card accepts it, else what is said.
std::string refusal(const std::string& sealed, const Trust& trust) {
    try {
        static_cast<void>(open_sealed(sealed, trust));
        return "";
    } catch (const Untrusted& error) {
        return error.what();
    }
}

using forge::refusal_of_content;
using forge::replaced;

TEST(Row1, NamesTheRuleAndGivesNothingOut) {
    const forge::World world;
    EXPECT_EQ(refusal(replaced(world.sealed(), "a key", "A key"), world.trust),
              "the signature does not fit the content: content verify error");
    EXPECT_EQ(refusal(replaced(world.sealed(), "BOOTSTRAP", "BOOTSTRAp"), world.trust),
              "the sealed content does not begin with MAKINA-BOOTSTRAP-v1");
}

TEST(Row4, OpensOnTheCardOfItsOwnNodeAlone) {
    const forge::World world;
    struct Who {
        const char* node;
        const char* role;
    };
    const std::vector<Who> nodes = {{"master-1", "control-plane"},
                                    {"worker-1", "worker"},
                                    {"worker-2", "worker"},
                                    {"lb-1", "load-balancer"},
                                    {"worker-1", "gateway"}};
    std::size_t opened = 0;
    for (const Who& card : nodes) {
        Trust trust = world.trust;
        trust.node = card.node;
        trust.role = card.role;
        for (const Who& node : nodes) {
            Bundle bundle = forge::worker_bundle();
            bundle.node = node.node;
            bundle.role = node.role;
            bundle.payloads.clear();
            const bool same = &card == &node;
            const std::string said = refusal(world.sealed(bundle), trust);
            EXPECT_EQ(said.empty(), same) << card.node << " " << node.node << ": " << said;
            if (said.empty()) ++opened;
        }
    }
    EXPECT_EQ(opened, nodes.size());
    Trust other = world.trust;
    other.cluster_id.back() = '0';
    EXPECT_EQ(refusal(world.sealed(), other),
              "the bundle is for the cluster with the id 00112233445566778899aabbccddeeff, not "
              "00112233445566778899aabbccddeef0");
    other = world.trust;
    other.node = "worker-2";
    EXPECT_EQ(refusal(world.sealed(), other), "the bundle is for the node worker-1, not worker-2");
    other = world.trust;
    other.role = "etcd";
    EXPECT_EQ(refusal(world.sealed(), other), "the bundle is for a node of the role worker, not etcd");
}

TEST(Row7, MixesNoPayloadsOfTwoGenuineBundles) {
    const forge::World world;
    Bundle one = forge::worker_bundle();
    one.payloads = {{"kubelet.crt", "1111"}, {"kubelet.key", "2222"}, {"node.key", "3333"}, {"trust", "4444"}};
    Bundle other = one;
    for (Payload& payload : other.payloads) payload.content = std::string(4, payload.content.front() + 4);
    for (const Bundle* bundle : {&one, &other}) {
        for (const Payload& here : bundle->payloads) {
            for (const Payload& there : (bundle == &one ? other : one).payloads) {
                // In the sealed bytes, and as if a signer had sealed the mixture.
                const std::string sealed = replaced(world.sealed(*bundle), here.content, there.content);
                EXPECT_EQ(refusal(sealed, world.trust), "the signature does not fit the content: content verify error");
                const std::string content = replaced(encode(*bundle), here.content, there.content);
                EXPECT_EQ(refusal_of_content(content), "payload " + here.name + " has another SHA-256, line 25");
            }
        }
    }
    // Two payloads of one bundle, exchanged.
    const std::string content = replaced(encode(one), "11112222", "22221111");
    EXPECT_EQ(refusal_of_content(content), "payload kubelet.crt has another SHA-256, line 25");
}

TEST(Row8, GivesOutTheBytesThatWereVerified) {
    const forge::World world;
    const Scratch scratch;
    const std::string genuine = world.sealed();
    const auto file = scratch.write("var/lib/makina/bundle", genuine);
    const auto read = [&] { return Files(scratch.path()).read(Bundle::path, Bundle::largest).value_or(""); };
    const Sealed verified = verify_seal(read(), world.trust);
    const Opened opened = open_sealed(read(), world.trust);
    // What lies there changes after it was verified: in its place, and as another file.
    std::fstream(file, std::ios::in | std::ios::out | std::ios::binary) << std::string(genuine.size(), 'x');
    ASSERT_EQ(read(), std::string(genuine.size(), 'x'));
    std::filesystem::rename(scratch.write("another", replaced(genuine, "a key", "A key")), file);
    ASSERT_NE(refusal(read(), world.trust), "");
    EXPECT_EQ(verified.content, world.content);
    EXPECT_EQ(verified.signer, sha256(world.signer.der));
    EXPECT_EQ(opened.bundle, forge::worker_bundle());
    EXPECT_EQ(opened.not_before, 1767139200);
    EXPECT_EQ(opened.not_after, 2082672000);
}

/// Names that a payload might bring to be written elsewhere than intended.
std::vector<std::string> hostile_names() {
    std::vector<std::string> names;
    for (const std::string base : {"node.key", "trust", "kubelet.crt", "etc/passwd", "makina"}) {
        for (const std::string before : {"/",     "../",    "./",   "..\\", "a/../",     "a/./",        "//",
                                         "/dev/", "/boot/", "C:",   "~/",   "%2e%2e/",   ".",           " ",
                                         "\t",    "-",      "$(x)", "`x`",  "node.key/", "\xef\xbc\x8f"}) {
            names.push_back(before + base);
        }
        for (const std::string after :
             {"/", "/.", "/..", ".", " ", ".bak", "~", "\\", ":x", ";x", "*", "?", "\x7f", "\x1b[2J", "\xe2\x80\xae"}) {
            names.push_back(base + after);
        }
        std::string upper = base;
        std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
        names.push_back(upper);
        names.push_back(base + std::string(1, '\0'));
        names.push_back(base + std::string(1, '\0') + ".txt");
        names.push_back(base + std::string(4096, 'a'));
    }
    for (const char* const other : {"", ".", "..", "etcd-ca.key", "kubernetes-ca.key", "service-account.key",
                                    "admin.conf", "ca.key", "authorized_keys", "shadow"}) {
        names.emplace_back(other);
    }
    return names;
}

TEST(Row9, KnowsNoHostileName) {
    const forge::World world;
    const auto names = hostile_names();
    EXPECT_GE(names.size(), 200U);
    for (const std::string& name : names) {
        EXPECT_EQ(payload_kind("worker", name), nullptr);
        const std::string content = replaced(world.content, "payload kubelet.key ", "payload " + name + " ");
        EXPECT_NE(refusal_of_content(content), "") << name;
        EXPECT_NE(refusal(message(forge::good_seal(content, world.signer)), world.trust), "") << name;
    }
}

TEST(Row9, HasDestinationsThatTheBundleCannotChoose) {
    std::string before;
    for (const PayloadKind& kind : payload_kinds()) {
        const std::string path(kind.path);
        EXPECT_EQ(path.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-/"), std::string::npos) << path;
        EXPECT_EQ(kind.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-"), std::string::npos) << path;
        EXPECT_TRUE(!kind.name.empty() && kind.name.size() <= 64) << path;
        EXPECT_EQ(path.front(), '/');
        EXPECT_EQ(path.find(".."), std::string::npos) << path;
        EXPECT_EQ(path.find("//"), std::string::npos) << path;
        EXPECT_NE(path.rfind("/boot", 0), 0U) << path;
        EXPECT_EQ(kind.mode, kind.secret ? 0600U : 0644U) << path;
        const std::string sorted = std::string(kind.role) + " " + std::string(kind.name);
        EXPECT_LT(before, sorted);
        before = sorted;
    }
}

/// Thousands of zeros in a few bytes, as gzip (RFC 1952): what an unpacker would make of a payload.
std::string gzip_bomb() {
    // One deflate block: a zero, and 258 zeros again and again (RFC 1951, 3.2.6).
    std::string deflated("\x63\x60\x18\x05\xa3\x60\x14\x0c\x77\x00", 10);
    return std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10) + deflated + std::string(8, '\0');
}

TEST(Row10, UnpacksNothingThatABundleBrings) {
    const forge::World world;
    Bundle bundle = forge::worker_bundle();
    const std::string zstd("\x28\xb5\x2f\xfd\xa4\x00\x00\x00\x40\x4b\x00\x00\x00\x00\x01\x00", 16);
    const std::string xz("\xfd\x37zXZ\0\0\x04\xe6\xd6\xb4\x46", 12);
    bundle.payloads = {{"kubelet.crt", gzip_bomb()}, {"kubelet.key", zstd}, {"node.key", xz}};
    EXPECT_EQ(open_sealed(world.sealed(bundle), world.trust).bundle.payloads, bundle.payloads);
    // Neither is the whole: CompressedData (RFC 3274) is another type than signedData, and a packed file is none.
    forge::Seal packed = forge::good_seal(world.content, world.signer);
    packed.outer = "1.2.840.113549.1.9.16.1.9";
    EXPECT_EQ(refusal(message(packed), world.trust), "the bundle's outer type is not signedData");
    for (const std::string& bytes : {gzip_bomb(), zstd, xz}) {
        EXPECT_EQ(refusal(bytes, world.trust), "the seal is not strict DER: the whole is cut off, or begins wrong");
    }
}

TEST(Row10, GivesOutNoMoreThanItIsGiven) {
    const forge::World world;
    for (const std::size_t size : {std::size_t{1}, std::size_t{10'000}, std::size_t{60'000}}) {
        const std::string sealed = world.sealed(forge::bundle_of_size(size));
        const Opened opened = open_sealed(sealed, world.trust);
        EXPECT_LT(encode(opened.bundle).size(), sealed.size());
    }
}

TEST(Row13, BelievesOldAndNewInTheOverlapOnly) {
    const forge::World older;
    const forge::World newer;
    const std::string by_older = older.sealed();
    const std::string by_newer = newer.sealed();
    Trust trust = older.trust;
    const std::string no = "the signer does not lead to an anchor: unable to get local issuer certificate";
    EXPECT_EQ(refusal(by_older, trust), "");
    EXPECT_NE(refusal(by_newer, trust), "");
    trust.anchors = {older.root.der, newer.root.der};
    EXPECT_EQ(refusal(by_older, trust), "");
    EXPECT_EQ(refusal(by_newer, trust), "");
    std::reverse(trust.anchors.begin(), trust.anchors.end());
    EXPECT_EQ(refusal(by_older, trust), "");
    EXPECT_EQ(refusal(by_newer, trust), "");
    trust.anchors = {newer.root.der};
    EXPECT_EQ(refusal(by_older, trust), no);
    EXPECT_EQ(refusal(by_newer, trust), "");
}

TEST(Row14, BelievesNoRevokedSigner) {
    const forge::World world;
    Trust trust = world.trust;
    const std::string words = "a certificate of the chain is revoked: ";
    trust.revoked = {sha256("another"), sha256(world.signer.der)};
    EXPECT_EQ(refusal(world.sealed(), trust), words + sha256(world.signer.der));
    trust.revoked = {sha256(world.root.der)};
    EXPECT_EQ(refusal(world.sealed(), trust), words + sha256(world.root.der));
    // The list has no date: it does not matter when the bundle is read. Another signer is still believed.
    trust.revoked = {sha256("another")};
    EXPECT_EQ(refusal(world.sealed(), trust), "");
    const forge::Certificate next = issue(forge::signer_wish("next"), &world.root);
    trust.revoked = {sha256(world.signer.der)};
    EXPECT_EQ(refusal(message(forge::good_seal(world.content, next)), trust), "");
}

TEST(Row21, NeverSaysBytesThatATerminalObeys) {
    const forge::World world;
    const std::vector<std::string> hostile = {
        "\x1b[2J\x1b[H", "\x1b]0;joined\a",          "\r\nmakina: joined", "\xe2\x80\xae", "\xe2\x81\xa6",
        "\b\b\b\b",      std::string("\x9b") + "2J", std::string(1, '\0'), "\x7f",         "%n%s",
        "\u202e\u2066"};
    std::size_t refused = 0;
    for (const std::string& text : hostile) {
        for (const char* const place :
             {"cluster-id ", "cluster ", "node ",        "role ",         "card ",
              "epoch ",      "issued ",  "expires ",     "architecture ", "board ",
              "serial ",     "mac ",     "address ",     "interface ",    "api ",
              "spare ",      "genesis ", "peer etcd-1 ", "peer ",         "payload kubelet.key ",
              "payload ",    "end"}) {
            const std::string content = replaced(world.content, place, place + text);
            for (const std::string& said : {refusal_of_content(content),
                                            refusal(message(forge::good_seal(content, world.signer)), world.trust)}) {
                EXPECT_NE(said, "");
                EXPECT_TRUE(std::all_of(said.begin(), said.end(), [](char c) { return c >= ' ' && c <= '~'; })) << said;
                ++refused;
            }
        }
    }
    EXPECT_EQ(refused, hostile.size() * 22 * 2);
    // What a certificate says of itself is not said at all.
    for (const std::string& text : hostile) {
        if (text.front() == '\0') continue;
        const forge::Certificate other = issue(forge::authority_wish("x" + text));
        const forge::Certificate signer = issue(forge::signer_wish("y" + text), &other);
        EXPECT_EQ(refusal(message(forge::good_seal(world.content, signer)), world.trust),
                  "the signer does not lead to an anchor: unable to get local issuer certificate");
    }
}

TEST(Row23, KnowsOneVersionOfTheBundle) {
    const forge::World world;
    for (const char* const version : {"v0", "v2", "v255", "v01", "v", "plain", "V1", "v1 "}) {
        const std::string content = replaced(world.content, "v1", version);
        EXPECT_EQ(refusal_of_content(content), "\"MAKINA-BOOTSTRAP-v1\" is expected, line 1");
        EXPECT_EQ(refusal(message(forge::good_seal(content, world.signer)), world.trust),
                  "the sealed content does not begin with MAKINA-BOOTSTRAP-v1");
    }
    for (const int version : {0, 2, 3, 4, 5, 127, 255}) {
        forge::Seal seal = forge::good_seal(world.content, world.signer);
        seal.version = std::string(version > 127 ? 1 : 0, '\0') + static_cast<char>(version);
        EXPECT_EQ(refusal(message(seal), world.trust), "the seal's version is not 1") << version;
        seal = forge::good_seal(world.content, world.signer);
        seal.signers.front().version = std::string(version > 127 ? 1 : 0, '\0') + static_cast<char>(version);
        EXPECT_EQ(refusal(message(seal), world.trust), "the signer's version is not 1") << version;
    }
}

}  // namespace
}  // namespace makina
