#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/daemon/fake_host.hpp"
#include "tests/unit/figures.hpp"

namespace makina::test {

using figures::count;

/// Every role, as profiles spell it.
[[nodiscard]] const std::vector<std::string>& roles();
/// A role as a part of a test's name.
[[nodiscard]] std::string name_of(const std::string& role);

/// Two signers, in the form of the certificates' checksums.
[[nodiscard]] std::string first_signer();
[[nodiscard]] std::string second_signer();

inline constexpr std::int64_t issued = 1790000000;
inline constexpr std::int64_t a_day = 86400;

/// A bundle of the test's node of this role, with every payload that the role may have but a new trust.
[[nodiscard]] Bundle bundle_of(const std::string& role, std::uint64_t epoch = 1);
[[nodiscard]] Trust trust_of(const std::string& role);

/// systemd-networkd's settings on that card, and where they are.
[[nodiscard]] std::string network_settings();
inline constexpr const char* network_file = "/etc/systemd/network/10-makina.network";

/// A card with its image just written, in a board of the right kind, with a cable; nothing of it has run yet.
[[nodiscard]] FakeMachine new_machine(const std::string& role);

/// A host for the machine with the programs of an image, and outside of it a time server and the cluster.
/// It asserts at every change what must always hold (see `hold`).
[[nodiscard]] std::unique_ptr<FakeHost> host_of(FakeMachine& machine, const std::string& role);

/// Fails the test if a bundle has gone before its done-mark, if the mark is there or "joined" is told before all of it
/// is true, or if a secret lies where it may not.
void hold(FakeHost& host, const std::string& role);

/// Runs until the node has joined.
void run_to_end(FakeHost& host);

/// What two machines that have come to the same end have in common: everything on the card but diaries, clocks and
/// time stamps.
[[nodiscard]] std::string essence(const FakeMachine& machine);

}  // namespace makina::test
