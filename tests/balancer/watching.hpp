#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace makina::balancer {

// What the programs beside the test have seen. All times are seconds of the clock that never jumps.

/// One connection of the client.
struct Attempt {
    double begun = 0;
    double ended = 0;
    bool lasting = false;  ///< one of those that are held open, told of when it is open and when it ends
    bool good = false;     ///< it came about; of a lasting one: it is open
    std::string word;      ///< the server's name, or why it failed
};

/// Somebody on the network says that the address is his.
struct Claim {
    double at = 0;
    std::string mac;
    bool unasked = false;
};

/// The whole lines that a growing file has had since the last time.
class Lines {
  public:
    explicit Lines(std::filesystem::path file) : file_(std::move(file)) {}
    [[nodiscard]] std::vector<std::string> fresh();

  private:
    std::filesystem::path file_;
    std::uintmax_t read_ = 0;
};

/// Everything that client and asker have told; `look` takes in what is new.
class Watching {
  public:
    Watching(const std::vector<std::filesystem::path>& clients, const std::filesystem::path& asker);
    void look();

    [[nodiscard]] const std::vector<Attempt>& attempts() const { return attempts_; }
    [[nodiscard]] const std::vector<Claim>& claims() const { return claims_; }

    /// Who has claimed the address since then, each once.
    [[nodiscard]] std::vector<std::string> owners(double since) const;
    /// When this one first claimed the address after that moment.
    [[nodiscard]] double first_claim(const std::string& mac, double since) const;
    /// Connections begun in this time that did not come about.
    [[nodiscard]] int failed(double from, double to) const;
    [[nodiscard]] int begun(double from, double to) const;
    /// Lasting connections that ended in this time, and those that are open now.
    [[nodiscard]] int broken(double from, double to) const;
    [[nodiscard]] int lasting() const;
    /// From this moment to the first connection after the last that failed or had to wait; 0 if none had to.
    [[nodiscard]] double outage(double from, double to) const;
    /// What there was to see since then, for a failure's message.
    [[nodiscard]] std::string summary(double since) const;
    /// How long in this time more than one had the address, each as long as its answers came without a gap.
    [[nodiscard]] double doubled(double from, double to) const;

  private:
    std::vector<Lines> clients_;
    Lines asker_;
    std::vector<Attempt> attempts_;
    std::vector<Claim> claims_;
};

}  // namespace makina::balancer
