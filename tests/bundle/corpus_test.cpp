#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/sealed.hpp"
#include "tests/fuzz/known_signer.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

TEST(Corpus, OpensItsGenuineBundles) {
    // Else a fuzz target would begin at nothing, and say that all is well.
    const std::filesystem::path corpus = std::filesystem::path(MAKINA_SOURCE) / "tests/fuzz/corpus/open_sealed";
    std::size_t opened = 0;
    for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
        const std::string sealed = slurp(entry.path()).substr(1);
        if (std::find(forge::genuine.begin(), forge::genuine.end(), sha256(sealed)) == forge::genuine.end()) continue;
        EXPECT_EQ(open_sealed(sealed, forge::known_trust()).bundle.node, "worker-1") << entry.path();
        ++opened;
    }
    EXPECT_EQ(opened, forge::genuine.size());
}

TEST(Corpus, KeepsItsSeedsSmallAndFew) {
    const std::filesystem::path corpus = std::filesystem::path(MAKINA_SOURCE) / "tests/fuzz/corpus";
    for (const char* const target : {"open_sealed", "manifest", "trust"}) {
        std::size_t files = 0;
        std::uintmax_t bytes = 0;
        for (const auto& entry : std::filesystem::directory_iterator(corpus / target)) {
            ++files;
            bytes += entry.file_size();
        }
        EXPECT_TRUE(files > 0 && files <= 40) << target;
        EXPECT_LE(bytes, 300U << 10) << target;
    }
}

}  // namespace
}  // namespace makina
