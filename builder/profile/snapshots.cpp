#include <algorithm>
#include <charconv>
#include <filesystem>

#include "builder/profile/check.hpp"
#include "builder/profile/sections.hpp"
#include "builder/profile/syntax.hpp"

namespace makina {
namespace {

constexpr std::string_view store = "s3://";
constexpr std::uint64_t shortest = 600;               // seconds
constexpr std::uint64_t longest = 720 * 3600;         // seconds
constexpr std::uint64_t largest_object = 5ULL << 30;  // bytes, what S3 takes in one piece

/// Seconds of what `duration` accepts; nothing if it is one that no clock of ours counts.
std::optional<std::uint64_t> seconds_of(const std::string& text) {
    std::uint64_t total = 0;
    const char* at = text.data();
    const char* const end = text.data() + text.size();
    while (at != end) {
        std::uint64_t count = 0;
        const auto read = std::from_chars(at, end, count);
        if (read.ec != std::errc{} || read.ptr == end || count > longest) return std::nullopt;
        total += count * (*read.ptr == 'h' ? 3600 : *read.ptr == 'm' ? 60 : 1);
        at = read.ptr + 1;
    }
    return total;
}

Rule<std::uint64_t> interval() {
    return {"a duration from 10m to 720h such as 6h, or never", [](const std::string& text) {
                if (text == "never") return std::optional<std::uint64_t>(0);
                const auto seconds = duration().parse(text) ? seconds_of(text) : std::nullopt;
                return seconds && *seconds >= shortest && *seconds <= longest ? seconds : std::nullopt;
            }};
}

/// Names between slashes, of letters, digits and ._-, none of them empty, "." or "..".
bool is_folder(std::string_view text) {
    while (!text.empty()) {
        const std::string_view name = text.substr(0, text.find('/'));
        if (!is_made_of(name, "._-") || name == "." || name == "..") return false;
        if (name.size() == text.size()) return true;
        text.remove_prefix(name.size() + 1);
    }
    return false;
}

/// What both ssh and rsync take as one: nothing in it means anything to a shell, and nothing begins as an option does.
bool is_ssh_place(const std::string& text) {
    const auto at = text.find('@');
    const auto colon = text.find(':');
    if (at == std::string::npos || colon == std::string::npos || colon < at) return false;
    const std::string user = text.substr(0, at);
    const std::string folder = text.substr(colon + 1);
    return user.size() <= 32 && is_made_of(user, "._-") && user.front() != '-' &&
           host().parse(text.substr(at + 1, colon - at - 1)) && !folder.starts_with('-') &&
           is_folder(folder.starts_with('/') ? folder.substr(1) : folder);
}

/// The bucket's name by "Bucket naming rules" of the Amazon S3 user guide, which every other store follows.
bool is_bucket_place(std::string_view text) {
    const std::string_view bucket = text.substr(0, text.find('/'));
    const auto fits = [](char letter) {
        return is_lower(letter) || is_digit(letter) || letter == '-' || letter == '.';
    };
    const bool named = bucket.size() >= 3 && bucket.size() <= 63 && std::ranges::all_of(bucket, fits) &&
                       is_alphanumeric(bucket.front()) && is_alphanumeric(bucket.back());
    return named && (bucket.size() == text.size() || is_folder(text.substr(bucket.size() + 1)));
}

Rule<std::string> place() {
    return text_that("a place such as backup@nas.home.arpa:etcd or s3://bucket/folder", [](const std::string& text) {
        if (text.size() > 255) return false;
        return text.starts_with(store) ? is_bucket_place(std::string_view(text).substr(store.size()))
                                       : is_ssh_place(text);
    });
}

/// A scheme, a host and perhaps a port: the bucket is the first part of the path.
Rule<std::string> endpoint() {
    return text_that("an address without a path such as https://s3.home.arpa:9000", [](const std::string& text) {
        if (!is_web_address(text)) return false;
        const std::string rest = text.substr(text.find("//") + 2);
        const auto colon = std::min(rest.find(':'), rest.size());
        const bool plain = colon == rest.size();
        return host().parse(rest.substr(0, colon)) && (plain || port().parse(rest.substr(colon + 1)));
    });
}

Rule<std::string> region() {
    return text_that("a region such as eu-central-1", [](const std::string& text) {
        const auto fits = [](char letter) { return is_lower(letter) || is_digit(letter) || letter == '-'; };
        return !text.empty() && text.size() <= 32 && std::ranges::all_of(text, fits);
    });
}

Rule<std::filesystem::path> file_beside(const std::filesystem::path& profile) {
    return {"a file, paths begin at the profile's folder",
            [folder = std::filesystem::absolute(profile).parent_path()](
                const std::string& name) -> std::optional<std::filesystem::path> {
                std::error_code error;
                auto path = (folder / name).lexically_normal();
                if (!file_name().parse(name) || !std::filesystem::is_regular_file(path, error)) return std::nullopt;
                return path;
            }};
}

/// What has no meaning as the rest is.
void refuse(Draft& draft, const std::vector<std::string>& keys, const std::string& reason) {
    for (const std::string& key : keys) {
        const std::string path = "etcd.snapshots." + key;
        if (draft.given(path) && draft.sound(path)) draft.complain(path, path + ": " + reason);
    }
}

}  // namespace

void read_snapshots(Fields& etcd) {
    Fields fields = etcd.section("snapshots");
    Profile& profile = etcd.draft().profile;
    Snapshots& snapshots = profile.etcd.snapshots;
    std::string push;
    fields.read("every", snapshots.every, interval());
    fields.read("keep", snapshots.keep, number(1, 100));
    fields.read("push", push, place());
    fields.read("endpoint", snapshots.endpoint, endpoint());
    fields.read("region", snapshots.region, region());
    fields.read("credentials", snapshots.credentials, file_beside(profile.path));
    if (push.starts_with(store)) {
        snapshots.bucket = push.substr(store.size());
        fields.require("endpoint", "the address of the store such as https://s3.home.arpa:9000");
    } else {
        snapshots.ssh = push;
    }
    if (!push.empty()) fields.require("credentials", "the file with what opens " + push);
    fields.finish();
}

void check_snapshots(Draft& draft) {
    const Etcd& etcd = draft.profile.etcd;
    const Snapshots& snapshots = etcd.snapshots;
    if (!draft.given("etcd.snapshots") || !draft.sound("etcd.topology")) return;
    if (etcd.topology == EtcdTopology::stacked) {
        return draft.complain("etcd.snapshots",
                              "etcd.snapshots: of etcd on the control planes none are taken yet, remove it or set "
                              "etcd.topology to external");
    }
    if (draft.sound("etcd.snapshots.every") && snapshots.every == 0) {
        return refuse(draft, {"keep", "push", "endpoint", "region", "credentials"},
                      "has no meaning while none are taken, set etcd.snapshots.every or remove it");
    }
    if (!draft.sound("etcd.snapshots.push")) return;
    if (!draft.given("etcd.snapshots.push")) {
        return refuse(draft, {"endpoint", "region", "credentials"},
                      "has no meaning while nothing is pushed, set etcd.snapshots.push or remove it");
    }
    if (snapshots.bucket.empty()) {
        return refuse(draft, {"endpoint", "region"},
                      "belongs to a store, set etcd.snapshots.push to s3://... or remove it");
    }
    if (draft.sound("etcd.quota") && etcd.quota_bytes > largest_object) {
        draft.complain("etcd.quota",
                       "etcd.quota: a snapshot may get larger than the 5GiB that a store takes in one piece");
    }
}

}  // namespace makina
