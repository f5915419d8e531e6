#include "builder/base/fetch.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <thread>

#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

namespace fs = std::filesystem;

constexpr int attempts = 4;
constexpr int range_refused = 33;  // curl(1), "EXIT CODES"
constexpr int http_error = 22;
constexpr int range_not_satisfiable = 416;  // RFC 9110, 15.5.17

std::uint64_t size_of(const fs::path& file) {
    std::error_code none;
    const std::uintmax_t size = fs::file_size(file, none);
    return none ? 0 : size;
}

/// Passes on curl's progress meter in steps of ten percent; its first column is the part of the whole that has come.
class Meter {
  public:
    explicit Meter(const Download& download) : download_(download) {}
    void line(const std::string& text) {
        if (text.rfind("curl: (", 0) == 0) problem_ = text;
        const std::size_t digit = text.find_first_not_of(' ');
        if (digit == std::string::npos || std::isdigit(static_cast<unsigned char>(text[digit])) == 0) return;
        const std::size_t space = std::min(text.find(' ', digit), digit + 4);
        const int percent = std::stoi(text.substr(digit, space - digit));
        if (percent < next_ || percent > 100) return;
        download_.say("fetching " + download_.url + ": " + std::to_string(percent) + " %");
        next_ = percent / 10 * 10 + 10;
    }
    [[nodiscard]] const std::string& problem() const { return problem_; }

  private:
    const Download& download_;
    std::string problem_;
    int next_ = 10;
};

struct Attempt {
    int status = 0;       ///< curl's exit code
    int http = 0;         ///< of the last answer; 0 for none
    std::string problem;  ///< curl's own words
};

Attempt attempt(const Download& download, const fs::path& part) {
    Meter meter(download);
    Command command;
    command.argv = curl_command(20);
    const std::vector<std::string> more = {"--speed-limit",  "1000",        "--speed-time",  "60",
                                           "--max-filesize", "68719476736", "--continue-at", "-",
                                           "--output",       part.string(), "--write-out",   "%{http_code}",
                                           "--url",          download.url};
    command.argv.insert(command.argv.end(), more.begin(), more.end());
    command.on_line = [&](const std::string& line) { meter.line(line); };
    const Result result = run(command);
    Attempt done{result.status, 0, meter.problem()};
    if (result.output.size() == 3 && std::isdigit(static_cast<unsigned char>(result.output[0])) != 0) {
        done.http = std::stoi(result.output);
    }
    if (done.problem.empty()) done.problem = "curl ended with " + std::to_string(result.status);
    return done;
}

/// True if the same request may work a moment later.
bool is_passing(const Attempt& done) {
    if (done.status == http_error) return done.http == 408 || done.http == 429 || done.http >= 500;
    // Name not resolved, no connection, connection lost, too slow, TLS cut off, nothing came, HTTP/2 and 3 errors.
    constexpr std::array passing = {5, 6, 7, 16, 18, 28, 35, 52, 55, 56, 92, 95};
    return std::find(passing.begin(), passing.end(), done.status) != passing.end();
}

/// Fills `part`. Gives true if some of it was there before.
bool fill(const Download& download, const fs::path& part) {
    bool resumed = size_of(part) > 0;
    for (int left = attempts;;) {
        const Attempt done = attempt(download, part);
        if (done.status == 0) return resumed;
        if (done.status == range_refused && resumed) {
            download.say(download.url + ": the server cannot resume, starting again from the beginning");
            fs::remove(part);
            resumed = false;
            continue;
        }
        const std::uint64_t have = size_of(part);
        // Nothing is left to send: the part is whole, or of another file; its hash tells.
        if (done.http == range_not_satisfiable && have > 0) return true;
        if (!is_passing(done)) throw Error(done.problem);
        if (--left == 0) {
            throw Error(done.problem + ": " + std::to_string(have) +
                        " bytes are here, run the same command again and it goes on from there");
        }
        download.say(done.problem + ": trying again");
        std::this_thread::sleep_for(download.pause);
        resumed = resumed || have > 0;
    }
}

}  // namespace

std::vector<std::string> curl_command(int connect_seconds) {
    return {"curl",        "--fail",    "--location",        "--max-redirs",
            "10",          "--proto",   "=http,https",       "--proto-redir",
            "=http,https", "--globoff", "--connect-timeout", std::to_string(connect_seconds)};
}

void fetch(const Download& download) {
    if (download.sha256.empty()) throw Error(download.url + ": give the sha256 of what is fetched");
    const fs::path part = download.file.string() + ".part";
    during("fetching " + download.url, [&] {
        const bool resumed = fill(download, part);
        std::string found = sha256_of_file(part);
        if (found != download.sha256 && resumed) {
            // The file at the server may have changed between the two parts: what is wrong is ours, not theirs.
            download.say(download.url + ": the parts do not fit together, starting again from the beginning");
            fs::remove(part);
            (void)fill(download, part);
            found = sha256_of_file(part);
        }
        if (found != download.sha256) {
            fs::remove(part);
            throw Untrusted("sha256 is " + found + " but must be " + download.sha256 +
                            ": the file is not the one that was meant");
        }
        fs::rename(part, download.file);
    });
}

}  // namespace makina
