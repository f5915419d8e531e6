#include "builder/manifest.hpp"

#include <gtest/gtest.h>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

const std::string zeros(64, '0');
const std::string head = "makina-manifest 1\ncluster c\nnode n\nrole etcd\nbase b\nbuilt 7\n";

Manifest sample() {
    Manifest manifest{"home", "master-1", "control-plane", "0123abcd", 1700000000, {}};
    manifest.files.push_back(
        {std::string(64, 'a'), 0644, "root", "root", "/etc/hostname", "overlays/any/etc/hostname"});
    manifest.files.push_back({zeros, 04755, "makina", "adm", "/a b%c\n\x7f\xc3\xa9", "the profile, line 3"});
    manifest.files.push_back({zeros, 0, "root", "root", "/x", ""});
    return manifest;
}

std::string refusal(const std::string& text) {
    try {
        (void)decode(text);
    } catch (const Error& error) {
        return error.what();
    }
    return "accepted";
}

std::string refused_entry(const std::string& line) {
    return refusal(head + line + "\n");
}

TEST(Manifest, GivesBackWhatWasEncoded) {
    EXPECT_EQ(decode(encode(sample())), sample());
    EXPECT_EQ(decode(head).files.size(), 0U);
}

TEST(Manifest, IsOneLineAFileWithTheBytesOfItsPathEncoded) {
    Manifest manifest = sample();
    manifest.files.erase(manifest.files.begin());
    manifest.files.pop_back();
    EXPECT_EQ(encode(manifest),
              "makina-manifest 1\ncluster home\nnode master-1\nrole control-plane\nbase 0123abcd\nbuilt 1700000000\n"
              "file " +
                  zeros + " 4755 makina adm /a%20b%25c%0a%7f%c3%a9\tthe profile, line 3\n");
}

TEST(Manifest, CannotBeGivenAnExtraLineThroughAName) {
    Manifest manifest = sample();
    manifest.node = "n\nrole gateway";
    manifest.files[0].origin = "o\nfile";
    EXPECT_EQ(decode(encode(manifest)), manifest);
}

TEST(Manifest, RefusesToEncodeWhatItCouldNotRead) {
    Manifest manifest = sample();
    manifest.files[0].sha256 = "none";
    try {
        (void)encode(manifest);
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "the manifest of master-1: line 7: the hash is not 64 lower-case hex digits");
    }
}

TEST(Manifest, NamesTheLineThatIsWrong) {
    EXPECT_EQ(refusal(""), "line 1: missing, the manifest ends too early");
    EXPECT_EQ(refusal("makina-manifest 2\n"), "line 1: not \"makina-manifest 1\"");
    EXPECT_EQ(refusal("makina-manifest 1"), "line 1: not ended by a newline");
    EXPECT_EQ(refusal("makina-manifest 1\ncluster c\n"), "line 3: missing, the manifest ends too early");
    EXPECT_EQ(refusal("makina-manifest 1\nnode n\n"), "line 2: \"node\" where cluster belongs");
    EXPECT_EQ(refusal("makina-manifest 1\ncluster\n"), "line 2: no key");
    EXPECT_EQ(refusal("makina-manifest 1\ncluster %zz\n"), "line 2: the value is not percent-encoded as it should be");
    EXPECT_EQ(refusal("makina-manifest 1\ncluster %4\n"), "line 2: the value is not percent-encoded as it should be");
    EXPECT_EQ(refusal("makina-manifest 1\ncluster %41\n"), "line 2: the value is not percent-encoded as it should be");
    EXPECT_EQ(refusal("makina-manifest 1\ncluster c\nnode n\nrole r\nbase b\nbuilt now\n"),
              "line 6: the time is \"now\", not a number");
    EXPECT_EQ(refusal(head + "cluster again\n"), "line 7: \"cluster\" where file belongs");
    EXPECT_EQ(refusal(head + "\n"), "line 7: no key");
}

TEST(Manifest, NamesWhatIsWrongInAFileLine) {
    EXPECT_EQ(refused_entry("file "), "line 7: no hash");
    EXPECT_EQ(refused_entry("file " + zeros + "0 644 root root /x\t"),
              "line 7: the hash is not 64 lower-case hex digits");
    EXPECT_EQ(refused_entry("file " + zeros + " 648 root root /x\t"), "line 7: the mode is \"648\", not a number");
    EXPECT_EQ(refused_entry("file " + zeros + " 10644 root root /x\t"), "line 7: the mode is more than 7777");
    EXPECT_EQ(refused_entry("file " + zeros + " 644 root /x\t"), "line 7: no group");
    EXPECT_EQ(refused_entry("file " + zeros + " 644 root root x\t"), "line 7: the path is not absolute");
    EXPECT_EQ(refused_entry("file " + zeros + " 644 root root /x origin"), "line 7: no path and tab");
    EXPECT_EQ(refused_entry("file " + zeros + " 644 root root /a b\t"),
              "line 7: the path is not percent-encoded as it should be");
    EXPECT_EQ(refused_entry("file " + zeros + " 644 root root /a\to\tp"),
              "line 7: the origin is not percent-encoded as it should be");
}

}  // namespace
}  // namespace makina
