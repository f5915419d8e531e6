#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"
#include "tests/bundle/bundles.hpp"
#include "tests/bundle/refusals.hpp"

namespace makina {
namespace {

using forge::refusal_of_content;
using forge::replaced;

TEST(Bundle, ReadsWhatItWrote) {
    Bundle bundle = forge::worker_bundle();
    EXPECT_EQ(decode_bundle(encode(bundle)), bundle);
    bundle.serial = bundle.mac = bundle.interface = "";
    bundle.payloads.clear();
    bundle.spare = 0;
    bundle.genesis_again = true;
    bundle.api = "api.example.org:6443";
    EXPECT_EQ(decode_bundle(encode(bundle)), bundle);
    bundle.genesis = "";
    bundle.genesis_again = false;
    bundle.peers.clear();
    EXPECT_EQ(decode_bundle(encode(bundle)), bundle);
}

TEST(Bundle, NamesTheSnapshotThatEtcdBeginsWith) {
    Bundle bundle = forge::worker_bundle();
    bundle.role = "etcd";
    bundle.payloads.clear();
    bundle.restore = std::string(64, 'a');
    const std::string good = encode(bundle);
    EXPECT_EQ(decode_bundle(good), bundle);
    EXPECT_NE(good.find(" first\nrestore " + bundle.restore + "\npeer "), std::string::npos);
    EXPECT_EQ(without_payloads(bundle).restore, bundle.restore);
    for (const auto& [is, instead, words] : std::vector<std::array<std::string, 3>>{
             {"restore a", "restore ", "\"restore\" is not 64 lower-case hex digits, line 19"},
             {"restore a", "restore A", "\"restore\" is not 64 lower-case hex digits, line 19"},
             {"role etcd", "role control-plane", "only etcd begins from a snapshot, line 19"},
             {"genesis 00112233445566778899aabbccddeeff first\n", "", "\"end\" is expected, line 18"},
             {"peer etcd-1", "restore " + bundle.restore + "\npeer etcd-1", "\"end\" is expected, line 20"}}) {
        EXPECT_EQ(refusal_of_content(replaced(good, is, instead)), words);
    }
    bundle.genesis.clear();
    EXPECT_THROW((void)encode(bundle), Error);
}

TEST(Bundle, IsWrittenAsDocumented) {
    Bundle bundle = forge::worker_bundle();
    bundle.payloads = {{"trust", "x"}};
    EXPECT_EQ(encode(bundle),
              "MAKINA-BOOTSTRAP-v1\ncluster-id 00112233445566778899aabbccddeeff\ncluster makina\nnode worker-1\n"
              "role worker\ncard ffeeddccbbaa99887766554433221100\nepoch 3\nissued 1767225600\nexpires 1769817600\n"
              "architecture arm64\nboard rpi4\nserial 10000000abcdef01\nmac dc:a6:32:01:02:03\n"
              "address 192.168.3.251/24\ninterface eth0\napi 192.168.3.240:9000\nspare 1073741824\n"
              "genesis 00112233445566778899aabbccddeeff first\n"
              "peer etcd-1 etcd 192.168.3.231\npeer lb-1 load-balancer 192.168.3.241\n"
              "payload trust 1 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\nend\nx");
}

TEST(Bundle, CarriesEveryPayloadOfEveryRole) {
    Bundle bundle = forge::worker_bundle();
    std::string before;
    for (const PayloadKind& kind : payload_kinds()) {
        if (kind.role != before) bundle.payloads.clear();
        before = bundle.role = kind.role;
        bundle.payloads.push_back({std::string(kind.name), std::string(kind.name)});
        EXPECT_EQ(decode_bundle(encode(bundle)), bundle);
    }
}

TEST(Bundle, LeavesOutPayloads) {
    Bundle bundle = forge::worker_bundle();
    const Bundle bare = without_payloads(bundle);
    EXPECT_TRUE(bare.payloads.empty());
    bundle.payloads.clear();
    EXPECT_EQ(bare, bundle);
}

/// A line's text, what stands there instead, and what is said.
struct Bad {
    std::string is;
    std::string instead;
    std::string words;
};

TEST(Bundle, RefusesEachWrongLineOfItsHead) {
    const std::string name = "\" is no DNS label, line ";
    const std::string number = " in its shortest form, line ";
    const std::string latest = " to 253402300799" + number;
    const std::vector<Bad> all = {
        {"BOOTSTRAP", "BOOTSTRAp", "\"MAKINA-BOOTSTRAP-v1\" is expected, line 1"},
        {"cluster-id 0", "cluster-id 00", "\"cluster-id\" is not 32 lower-case hex digits, line 2"},
        {"eeff\nclu", "eeFF\nclu", "\"cluster-id\" is not 32 lower-case hex digits, line 2"},
        {"cluster-id ", "cluster_id ", "\"cluster-id\" and a value are expected, line 2"},
        {"cluster makina", "cluster", "\"cluster\" and a value are expected, line 3"},
        {"cluster makina", "cluster ", "\"cluster\" and a value are expected, line 3"},
        {"cluster makina", "cluster  makina", "\"cluster" + name + "3"},
        {"cluster makina\n", "", "\"cluster\" and a value are expected, line 3"},
        {"cluster makina\n", "cluster makina\ncluster makina\n", "\"node\" and a value are expected, line 4"},
        {"node worker-1\nrole worker\n", "role worker\nnode worker-1\n", "\"node\" and a value are expected, line 4"},
        {"node worker-1", "node Worker-1", "\"node" + name + "4"},
        {"node worker-1", "node -worker", "\"node" + name + "4"},
        {"node worker-1", "node ..", "\"node" + name + "4"},
        {"node worker-1", "node " + std::string(64, 'a'), "\"node" + name + "4"},
        {"role worker", "role master", "\"role\" is no role that this program knows, line 5"},
        {"card f", "card ", "\"card\" is not 32 lower-case hex digits, line 6"},
        {"epoch 3", "epoch 0", "\"epoch\" is no number from 1 to 18446744073709551615" + number + "7"},
        {"epoch 3", "epoch 03", "\"epoch\" is no number from 1 to 18446744073709551615" + number + "7"},
        {"epoch 3", "epoch +3", "\"epoch\" is no number from 1 to 18446744073709551615" + number + "7"},
        {"epoch 3", "epoch 0x3", "\"epoch\" is no number from 1 to 18446744073709551615" + number + "7"},
        {"epoch 3", "epoch 18446744073709551616",
         "\"epoch\" is no number from 1 to 18446744073709551615" + number + "7"},
        {"issued 1767225600", "issued 0", "\"issued\" is no number from 1 to 253402300798" + number + "8"},
        {"issued 1767225600", "issued -1", "\"issued\" is no number from 1 to 253402300798" + number + "8"},
        {"expires 1769817600", "expires 1767225600", "\"expires\" is no number from 1767225601" + latest + "9"},
        {"expires 1769817600", "expires 253402300800", "\"expires\" is no number from 1767225601" + latest + "9"},
        {"arm64", "armhf", "\"architecture\" is neither arm64 nor amd64, line 10"},
        {"rpi4", "rpi2", "\"board\" is no board that this program knows, line 11"},
        {"serial 1", "serial ", "\"serial\" is not 16 lower-case hex digits, line 12"},
        {"dc:a6", "DC:a6", "\"mac\" is no lower-case aa:bb:cc:dd:ee:ff, line 13"},
        {"dc:a6", "dc-a6", "\"mac\" is no lower-case aa:bb:cc:dd:ee:ff, line 13"},
        {"251/24", "251", "\"address\" is no IPv4 address with its prefix length, line 14"},
        {"251/24", "251/33", "\"address\" is no IPv4 address with its prefix length, line 14"},
        {"251/24", "251/0", "\"address\" is no IPv4 address with its prefix length, line 14"},
        {"251/24", "256/24", "\"address\" is no IPv4 address with its prefix length, line 14"},
        {"251/24", "0251/24", "\"address\" is no IPv4 address with its prefix length, line 14"},
        {"251/24", "251.1/24", "\"address\" is no IPv4 address with its prefix length, line 14"},
        {"interface eth0", "interface ../x", "\"interface\" is no name of an interface, line 15"},
        {"interface eth0", "interface a234567890123456", "\"interface\" is no name of an interface, line 15"},
        {":9000", ":0", "\"api\" is no host and port, line 16"},
        {":9000", ":65536", "\"api\" is no host and port, line 16"},
        {"192.168.3.240:9000", "192.168.3:9000", "\"api\" is no host and port, line 16"},
        {"192.168.3.240:9000", "api..example:9000", "\"api\" is no host and port, line 16"},
        {"192.168.3.240:9000", "[::1]:9000", "\"api\" is no host and port, line 16"},
        {"spare 1073741824", "spare 01", "\"spare\" is no number from 0 to 9223372036854775807" + number + "17"},
        {"spare 1073741824", "spare 9223372036854775808",
         "\"spare\" is no number from 0 to 9223372036854775807" + number + "17"},
        {"interface", "mac dc:a6:32:01:02:03\ninterface", "\"api\" and a value are expected, line 15"},
        {"spare", "colour blue\nspare", "\"spare\" and a value are expected, line 17"},
        {"ff first", "f first", "\"genesis\" is without 32 lower-case hex digits, and first or again, line 18"},
        {" first", "", "\"genesis\" is without 32 lower-case hex digits, and first or again, line 18"},
        {" first", " First", "\"genesis\" is without 32 lower-case hex digits, and first or again, line 18"},
        {"peer etcd-1 etcd 192.168.3.231", "peer etcd-1 etcd", "\"peer\" is without name, role and address, line 19"},
        {"etcd-1 etcd", "etcd-1  etcd", "\"peer\" is not a name, a role and an IPv4 address, line 19"},
        {"etcd-1 etcd", "../1 etcd", "\"peer\" is not a name, a role and an IPv4 address, line 19"},
        {"etcd-1 etcd", "etcd-1 member", "\"peer\" is not a name, a role and an IPv4 address, line 19"},
        {"3.231", "3.231/24", "\"peer\" is not a name, a role and an IPv4 address, line 19"},
        {"peer lb-1", "peer etcd-1", "the peers' names do not ascend, line 20"},
        {"peer lb-1", "peer a", "the peers' names do not ascend, line 20"},
        {"makina\n", "makina\r\n", "a character that is not printable ASCII, line 3"},
    };
    const std::string good = encode(forge::worker_bundle());
    for (const Bad& bad : all)
        EXPECT_EQ(refusal_of_content(replaced(good, bad.is, bad.instead)), bad.words) << bad.instead;
}

TEST(Bundle, RefusesEachWrongPayload) {
    const std::string hash = sha256("a key\n");
    const std::vector<Bad> all = {
        {"payload kubelet.key 6 ", "payload kubelet.key ", "\"payload\" is without name, size and SHA-256, line 22"},
        {"payload kubelet.key 6 ", "payload etcd-ca.key 6 ", "a worker has no payload of this name, line 22"},
        {"payload kubelet.key 6 ", "payload kubelet.key 06 ", "the payload's size is no number up to 65536, line 22"},
        {"payload kubelet.key 6 ", "payload kubelet.key 65537 ",
         "the payload's size is no number up to 65536, line 22"},
        {"payload kubelet.key 6 ", "payload kubelet.key 18446744073709551615 ",
         "the payload's size is no number up to 65536, line 22"},
        {"payload kubelet.key 6 ", "payload kubelet.key 7 ", "payload kubelet.key has another SHA-256, line 24"},
        {"payload kubelet.key 6 ", "payload kubelet.key 65536 ", "payload kubelet.key ends early, line 24"},
        {hash, hash + " ", "the payload's SHA-256 is not 64 lower-case hex digits, line 22"},
        {hash, std::string(64, '0'), "payload kubelet.key has another SHA-256, line 24"},
        {"payload kubelet.key", "payload kubelet.crt", "the payloads' names do not ascend, line 22"},
        {"payload kubelet.key", "payload a", "a worker has no payload of this name, line 22"},
        {"a key\n", "A key\n", "payload kubelet.key has another SHA-256, line 24"},
        {"a key\n", "a key", "payload kubelet.key has another SHA-256, line 24"},
        {"\nend\n", "\nEND\n", "\"end\" is expected, line 24"},
        {"\nend\n", "\n", "\"end\" is expected, line 24"},
        {"payload trust", "payload  trust", "a worker has no payload of this name, line 23"},
    };
    const std::string good = encode(forge::worker_bundle());
    for (const Bad& bad : all)
        EXPECT_EQ(refusal_of_content(replaced(good, bad.is, bad.instead)), bad.words) << bad.instead;
    EXPECT_EQ(refusal_of_content(good + "x"), "bytes that no payload accounts for, line 24");
    EXPECT_EQ(refusal_of_content(good.substr(0, good.size() - 1)), "payload trust ends early, line 24");
    EXPECT_EQ(refusal_of_content(""), "a line without its end, line 1");
    EXPECT_EQ(refusal_of_content(good.substr(0, 19)), "a line without its end, line 1");
    EXPECT_EQ(refusal_of_content(std::string(Bundle::largest + 1, 'x')), "the bundle is larger than any can be");
}

TEST(Bundle, IsNotWrittenIfItCouldNotBeRead) {
    const auto words = [](const Bundle& bundle) {
        try {
            return encode(bundle);
        } catch (const Untrusted&) {
            return std::string("distrusts itself");
        } catch (const Error& error) {
            return std::string(error.what());
        }
    };
    Bundle bundle = forge::worker_bundle();
    bundle.node = "Worker";
    EXPECT_EQ(words(bundle), "the bundle cannot be written: \"node\" is no DNS label, line 4");
    bundle = forge::worker_bundle();
    bundle.serial += "\nmac 00:00:00:00:00:00";
    bundle.mac = "";
    EXPECT_EQ(words(bundle), "the bundle cannot be written: a value has a line break in it");
    bundle = forge::worker_bundle();
    std::swap(bundle.payloads[0], bundle.payloads[1]);
    EXPECT_EQ(words(bundle), "the bundle cannot be written: the payloads' names do not ascend, line 22");
    bundle = forge::worker_bundle();
    bundle.payloads[0].content.resize(largest_payload + 1);
    EXPECT_EQ(words(bundle), "the bundle cannot be written: the payload's size is no number up to 65536, line 21");
}

}  // namespace
}  // namespace makina
