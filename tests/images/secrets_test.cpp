#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/mman.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "builder/card/card.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"
#include "firstboot/bundle/payload.hpp"
#include "firstboot/bundle/sealed.hpp"
#include "tests/images/suite.hpp"
#include "tests/unit/scratch.hpp"

// Where a card has secrets, and where not.
namespace makina::images {
namespace {

using testing::Contains;
using testing::Not;

std::string content_of(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

std::string base64(const std::string& bytes) {
    std::string text(4 * (bytes.size() / 3 + 1) + 1, '\0');
    const int length =
        EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                        reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
    text.resize(static_cast<std::size_t>(length));
    return text;
}

std::string hex(const std::string& bytes, const char* digits) {
    std::string text;
    for (const char byte : bytes) {
        text += digits[static_cast<unsigned char>(byte) >> 4U];
        text += digits[static_cast<unsigned char>(byte) & 15U];
    }
    return text;
}

/// A secret's bytes in every spelling that somebody may have left behind.
std::set<std::string> spellings(const std::string& bytes) {
    std::set<std::string> all = {bytes, hex(bytes, "0123456789abcdef"), hex(bytes, "0123456789ABCDEF")};
    // Base64 of a longer text has these bytes at one of three places; the first and last letters hold neighbours' bits.
    for (std::size_t before = 0; before < 3; ++before) {
        const std::string encoded = base64(std::string(before, '\0') + bytes);
        const std::size_t skipped = before == 0 ? 0 : before + 1;
        all.insert(encoded.substr(skipped, encoded.size() - skipped - 4));
    }
    return all;
}

/// The number that is a private key, as bytes: on a curve the scalar, of RSA the private exponent.
std::string private_number(const std::string& pem) {
    const Handle<BIO, BIO_free_all> text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const Handle<EVP_PKEY, EVP_PKEY_free> key(PEM_read_bio_PrivateKey(text.get(), nullptr, nullptr, nullptr));
    if (key == nullptr) throw Error("a file of the keys' folder is no private key");
    BIGNUM* number = nullptr;
    const bool curve = EVP_PKEY_is_a(key.get(), "EC") == 1;
    EVP_PKEY_get_bn_param(key.get(), curve ? OSSL_PKEY_PARAM_PRIV_KEY : OSSL_PKEY_PARAM_RSA_D, &number);
    const Handle<BIGNUM, BN_clear_free> owned(number);
    std::string bytes(static_cast<std::size_t>(BN_num_bytes(number)), '\0');
    BN_bn2bin(number, reinterpret_cast<unsigned char*>(bytes.data()));
    return bytes;
}

/// The lines of a PEM that hold the private part; the others are public, and in the certificate as well. A key on a
/// curve begins with its number (RFC 5915), an RSA key with its modulus (RFC 8017).
std::set<std::string> pem_lines(const std::string& pem) {
    std::vector<std::string> lines;
    for (const std::string& line : images::lines(pem)) {
        if (line.find("-----") == std::string::npos) lines.push_back(line);
    }
    constexpr std::size_t of_a_curve = 5;
    constexpr std::size_t of_a_modulus = 8;
    if (lines.size() <= of_a_curve) return {lines.begin(), lines.begin() + 2};
    return {lines.begin() + of_a_modulus, lines.end() - 1};
}

/// A file of which only what is there is read.
class Mapped {
  public:
    explicit Mapped(const fs::path& file)
        : file_(open(file.c_str(), O_RDONLY | O_CLOEXEC)), size_(fs::file_size(file)) {
        data_ = static_cast<char*>(mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file_.get(), 0));
    }
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;
    ~Mapped() { munmap(data_, size_); }
    [[nodiscard]] bool has(const std::string& bytes, std::uint64_t from = 0, std::uint64_t to = UINT64_MAX) const {
        for (const Extent& extent : data_extents(file_.get(), from, std::min(to, size_) - from)) {
            if (memmem(data_ + extent.offset, extent.size, bytes.data(), bytes.size()) != nullptr) return true;
        }
        return false;
    }

  private:
    Descriptor file_;
    std::uint64_t size_;
    char* data_;
};

bool has_any(const Mapped& image, const std::set<std::string>& forms, std::uint64_t from = 0,
             std::uint64_t to = UINT64_MAX) {
    return std::any_of(forms.begin(), forms.end(),
                       [&](const std::string& bytes) { return image.has(bytes, from, to); });
}

/// Every secret of the keys' folder, by file name, in every spelling.
std::map<std::string, std::set<std::string>> folder_secrets(const Subject& subject) {
    std::map<std::string, std::set<std::string>> secrets;
    for (const auto& entry : fs::recursive_directory_iterator(keys_of(subject))) {
        if (!entry.is_regular_file()) continue;
        const std::string name = entry.path().filename();
        const std::string text = content_of(entry.path());
        if (text.find("PRIVATE KEY-----") != std::string::npos) {
            secrets[name] = spellings(private_number(text));
            secrets[name].merge(pem_lines(text));
        } else if (name == "encryption.key") {
            secrets[name] = {text.substr(0, text.find('\n'))};
        }
    }
    return secrets;
}

class Secrets : public testing::TestWithParam<Subject> {};

TEST_P(Secrets, OfTheClusterAreOnACardOnlyIfItsRoleNeedsThem) {
    const Subject& subject = GetParam();
    const Mapped image(card(subject).path);
    std::set<std::string> found;
    const auto secrets = folder_secrets(subject);
    ASSERT_GE(secrets.size(), 7U) << "the keys' folder was not read";
    for (const auto& [name, forms] : secrets) {
        if (has_any(image, forms)) found.insert(name);
    }
    const std::map<std::string, std::set<std::string>> needed = {
        {"control-plane",
         {"kubernetes-ca.key", "etcd-ca.key", "front-proxy-ca.key", "service-account.key", "encryption.key"}},
        {"load-balancer", {}},
        {"worker", {}},
        {"gateway", {}},
        {"etcd", {}}};
    EXPECT_EQ(found, needed.at(subject.role));
    EXPECT_THAT(found, Not(Contains("signer.key")));
    EXPECT_THAT(found, Not(Contains("ca.key")));
    count("secrets_looked_for", secrets.size());
}

TEST_P(Secrets, OfTheNodeAreInItsBundleAndNotOnTheBootPartition) {
    const Subject& subject = GetParam();
    const Card opened(card(subject).path);
    const std::string sealed = opened.read_file(Bundle::path);
    const Trust trust = decode_trust(opened.read_file(std::string(Trust::path)));
    const Bundle bundle = open_sealed(sealed, trust).bundle;
    EXPECT_EQ(bundle.node, subject.node);
    const Mapped image(card(subject).path);
    const Partition& boot = *opened.boot_partition();
    std::size_t secret = 0;
    for (const Payload& payload : bundle.payloads) {
        if (!payload_kind(bundle.role, payload.name)->secret) continue;
        ++secret;
        std::set<std::string> forms = {payload.content};
        if (payload.content.find("PRIVATE KEY-----") != std::string::npos) {
            forms = spellings(private_number(payload.content));
            forms.merge(pem_lines(payload.content));
        }
        EXPECT_TRUE(has_any(image, forms)) << payload.name << " is not found where it is";
        EXPECT_FALSE(has_any(image, forms, boot.offset, boot.offset + boot.size)) << payload.name;
    }
    EXPECT_GE(secret, 1U);
}

INSTANTIATE_TEST_SUITE_P(On, Secrets, testing::ValuesIn(subjects()), [](const auto& subject) {
    return std::regex_replace(subject.param.role, std::regex("-"), "");
});

TEST(Secrets, ACardWithoutABundleHasNone) {
    const Subject master = {"control-plane", "master-1", "makina.yaml"};
    const Mapped image(bare_card(master).path);
    for (const auto& [name, forms] : folder_secrets(master)) EXPECT_FALSE(has_any(image, forms)) << name;
    const Card opened(bare_card(master).path);
    EXPECT_FALSE(opened.exists(Bundle::path));
    EXPECT_EQ(decode_trust(opened.read_file(std::string(Trust::path))).node, "master-1");
}

/// What debugfs says of a file in the card's root file system.
std::string debugfs(const Card& card, const std::string& request) {
    const std::string where = card.path().string() + "?offset=" + std::to_string(card.root_partition()->offset);
    return run_checked({{"debugfs", "-R", request, where}});
}

/// Blocks of the root file system that are a file's own: its data, and its place in the inode table.
std::set<std::uint64_t> blocks_of(const Card& card, const std::string& path) {
    std::set<std::uint64_t> blocks;
    std::istringstream data(debugfs(card, "blocks " + path));
    for (std::uint64_t block = 0; data >> block;) blocks.insert(block);
    const std::string place = debugfs(card, "imap " + path);
    std::smatch match;
    if (std::regex_search(place, match, std::regex("located at block ([0-9]+)"))) blocks.insert(std::stoull(match[1]));
    EXPECT_GE(blocks.size(), 2U) << place;
    return blocks;
}

class SameCardTwice : public testing::TestWithParam<Subject> {};

TEST_P(SameCardTwice, HasTheSameBytesButForTheBundleAndItsHash) {
    const Subject& subject = GetParam();
    const Card one(card(subject).path);
    const Scratch scratch;
    // A signature's length varies by a few bytes: once in many builds the bundle takes another block.
    for (int tries = 0; tries < 3; ++tries) {
        fs::remove(scratch / "again.img");
        ASSERT_EQ(makina(build_arguments(subject, scratch / "again.img", {"--no-checksum"})).status, 0);
        if (blocks_of(Card(scratch / "again.img"), Bundle::path).size() == blocks_of(one, Bundle::path).size()) break;
    }
    const Card other(scratch / "again.img");
    EXPECT_NE(one.read_file(Bundle::path), other.read_file(Bundle::path));
    std::set<std::uint64_t> allowed;
    for (const std::string path : {Bundle::path, Manifest::path}) {
        allowed.merge(blocks_of(one, path));
        allowed.merge(blocks_of(other, path));
    }
    const std::uint64_t root = one.root_partition()->offset;
    std::ifstream a(one.path(), std::ios::binary);
    std::ifstream b(other.path(), std::ios::binary);
    std::string left(4096, '\0');
    std::string right = left;
    std::uint64_t differing = 0;
    std::string elsewhere;
    for (std::uint64_t offset = 0; a.read(left.data(), 4096) && b.read(right.data(), 4096); offset += 4096) {
        if (left == right) continue;
        ++differing;
        const bool known = offset >= root && allowed.contains((offset - root) / 4096);
        if (!known) elsewhere += " " + std::to_string(offset);
    }
    EXPECT_EQ(elsewhere, "") << "bytes differ outside the bundle and the manifest";
    EXPECT_GE(differing, 2U);
    EXPECT_EQ(fs::file_size(one.path()), fs::file_size(other.path()));
}

INSTANTIATE_TEST_SUITE_P(On, SameCardTwice, testing::ValuesIn(subjects()), [](const auto& subject) {
    return std::regex_replace(subject.param.role, std::regex("-"), "");
});

}  // namespace
}  // namespace makina::images
