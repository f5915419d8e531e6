#include "tests/balancer/watching.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

namespace makina::balancer {
namespace {

constexpr double slow = 0.9;  // a connection that TCP had to try again takes a second at least (RFC 6298)
constexpr double gap = 0.3;   // six questions without an answer

bool within(double at, double from, double to) {
    return at >= from && at < to;
}

struct Span {
    double from = 0;
    double to = 0;
};

/// How long each had the address without a gap.
std::vector<std::pair<std::string, Span>> spans_of(const std::vector<Claim>& claims, double from, double to) {
    std::map<std::string, Span> open;
    std::vector<std::pair<std::string, Span>> all;
    for (const Claim& claim : claims) {
        if (claim.unasked || !within(claim.at, from, to)) continue;
        const auto [found, first] = open.try_emplace(claim.mac, Span{claim.at, claim.at});
        if (!first && claim.at - found->second.to > gap) {
            all.emplace_back(claim.mac, found->second);
            found->second.from = claim.at;
        }
        found->second.to = claim.at;
    }
    all.insert(all.end(), open.begin(), open.end());
    return all;
}

}  // namespace

std::vector<std::string> Lines::fresh() {
    std::ifstream file(file_, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(read_));
    std::ostringstream text;
    text << file.rdbuf();
    std::vector<std::string> lines;
    const std::string all = text.str();
    for (std::size_t begin = 0;;) {
        const std::size_t end = all.find('\n', begin);
        if (end == std::string::npos) return lines;
        lines.push_back(all.substr(begin, end - begin));
        read_ += end + 1 - begin;
        begin = end + 1;
    }
}

Watching::Watching(const std::vector<std::filesystem::path>& clients, const std::filesystem::path& asker)
    : asker_(asker) {
    for (const std::filesystem::path& client : clients) clients_.emplace_back(client);
}

void Watching::look() {
    for (Lines& client : clients_) {
        for (const std::string& line : client.fresh()) {
            std::istringstream words(line);
            Attempt attempt;
            std::string kind;
            std::string end;
            if (!(words >> kind >> attempt.begun >> attempt.ended >> end >> attempt.word)) continue;
            attempt.lasting = kind == "watch";
            attempt.good = end == "ok" || end == "open";
            attempts_.push_back(attempt);
        }
    }
    for (const std::string& line : asker_.fresh()) {
        std::istringstream words(line);
        Claim claim;
        std::string kind;
        if (!(words >> claim.at >> kind >> claim.mac)) continue;
        claim.unasked = kind == "announce";
        claims_.push_back(claim);
    }
}

std::vector<std::string> Watching::owners(double since) const {
    std::vector<std::string> macs;
    for (auto claim = claims_.rbegin(); claim != claims_.rend() && claim->at >= since; ++claim) {
        if (!claim->unasked && std::ranges::find(macs, claim->mac) == macs.end()) macs.push_back(claim->mac);
    }
    return macs;
}

double Watching::first_claim(const std::string& mac, double since) const {
    const auto found = std::ranges::find_if(
        claims_, [&](const Claim& claim) { return !claim.unasked && claim.at >= since && claim.mac == mac; });
    return found == claims_.end() ? INFINITY : found->at;
}

int Watching::failed(double from, double to) const {
    return static_cast<int>(std::ranges::count_if(
        attempts_, [&](const Attempt& one) { return !one.lasting && !one.good && within(one.begun, from, to); }));
}

int Watching::begun(double from, double to) const {
    return static_cast<int>(std::ranges::count_if(
        attempts_, [&](const Attempt& one) { return !one.lasting && within(one.begun, from, to); }));
}

int Watching::broken(double from, double to) const {
    return static_cast<int>(std::ranges::count_if(
        attempts_, [&](const Attempt& one) { return one.lasting && !one.good && within(one.ended, from, to); }));
}

int Watching::lasting() const {
    const auto count = [&](bool open) {
        return std::ranges::count_if(attempts_, [&](const Attempt& one) { return one.lasting && one.good == open; });
    };
    return static_cast<int>(count(true) - count(false));
}

std::string Watching::summary(double since) const {
    std::map<std::string, std::pair<int, double>> words;
    for (const Attempt& one : attempts_) {
        if (one.lasting || one.begun < since) continue;
        auto& [count, longest] = words[(one.good ? "answered by " : "failed with ") + one.word];
        ++count;
        longest = std::max(longest, one.ended - one.begun);
    }
    std::ostringstream text;
    text << "owners:";
    for (const std::string& mac : owners(since)) text << " " << mac;
    for (const auto& [word, seen] : words) {
        text << "; " << seen.first << " " << word << ", the longest after " << seen.second << " s";
    }
    return text.str() + "\n";
}

double Watching::outage(double from, double to) const {
    double last = 0;
    for (const Attempt& one : attempts_) {
        const bool bad = !one.good || one.ended - one.begun > slow;
        if (!one.lasting && bad && within(one.begun, from, to)) last = std::max(last, one.begun);
    }
    if (last == 0) return 0;
    double next = to;
    for (const Attempt& one : attempts_) {
        if (!one.lasting && one.begun > last) next = std::min(next, one.begun);
    }
    return next - from;
}

double Watching::doubled(double from, double to) const {
    const auto spans = spans_of(claims_, from, to);
    double total = 0;
    for (auto one = spans.begin(); one != spans.end(); ++one) {
        for (auto other = one + 1; other != spans.end(); ++other) {
            if (one->first == other->first) continue;
            const double both =
                std::min(one->second.to, other->second.to) - std::max(one->second.from, other->second.from);
            total += std::max(both, 0.0);
        }
    }
    return total;
}

}  // namespace makina::balancer
