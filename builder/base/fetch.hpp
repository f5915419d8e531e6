#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace makina {

/// A file to fetch over http or https.
struct Download {
    std::string url;
    std::string sha256;  ///< 64 lower-case hex digits; required
    std::filesystem::path file;
    std::chrono::milliseconds pause = std::chrono::seconds(3);                ///< between two attempts
    std::function<void(const std::string&)> say = [](const std::string&) {};  ///< one line of progress, for people
};

/// Fetches with curl(1) into `<file>.part`, and renames it to `file` once the hash is right. What is there of an
/// interrupted download is resumed; a server that cannot resume is asked for the whole again; a lost connection is
/// tried again a few times. A wrong hash removes the part, so that it is not resumed for ever. Throws Untrusted for a
/// wrong hash, Error if the network or the server fails.
void fetch(const Download& download);

/// The beginning of every curl command: http and https only, redirects too, and no answer but a good one.
/// `connect_seconds` is how long a server may take to accept a connection.
[[nodiscard]] std::vector<std::string> curl_command(int connect_seconds);

}  // namespace makina
