#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace makina {

/// One named blob of a bundle. Where it goes on the node is decided by payload_kinds, never by the bundle.
struct Payload {
    std::string name;
    std::string content;
    bool operator==(const Payload&) const = default;
};

/// Another node that a node has to know, or itself.
struct Peer {
    std::string name;     ///< a DNS label
    std::string role;     ///< as profiles spell it
    std::string address;  ///< IPv4, without a prefix length
    bool operator==(const Peer&) const = default;
};

/// What one card of one node carries: who the node is, and the least it needs to join. The content that is sealed.
struct Bundle {
    /// First line of every bundle: the signing context, so that a signature made for this purpose fits nothing else.
    static constexpr std::string_view context = "MAKINA-BOOTSTRAP-v1";
    /// Where a card carries its sealed bundle: root:root 0600, in a folder that is root's alone.
    static constexpr const char* path = "/var/lib/makina/bundle";
    /// No sealed bundle is larger, in bytes; looked at before anything is read.
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr std::size_t most_peers = 256;

    std::string cluster_id;      ///< 128 random bits, 32 lower-case hex digits
    std::string cluster;         ///< the profile's name
    std::string node;            ///< the node's name, a DNS label
    std::string role;            ///< as profiles spell it: "control-plane"
    std::string card;            ///< 128 random bits that name this card, 32 lower-case hex digits
    std::uint64_t epoch = 0;     ///< counts up with each bundle of this node, from 1
    std::int64_t issued = 0;     ///< seconds since 1970
    std::int64_t expires = 0;    ///< seconds since 1970, after `issued`
    std::string architecture;    ///< "arm64" | "amd64"
    std::string board;           ///< "rpi3" | "rpi4" | "rpi5" | "generic"
    std::string serial;          ///< the board's serial number, 16 lower-case hex digits; empty: any board
    std::string mac;             ///< lower-case aa:bb:cc:dd:ee:ff; empty: any card
    std::string address;         ///< IPv4 address with prefix length: "192.168.3.251/24"
    std::string interface;       ///< the interface that has it: "eth1"; empty: the first wired one
    std::string api;             ///< where the Kubernetes API is reached: "192.168.3.240:9000"
    std::uint64_t spare = 0;     ///< bytes left as an unformatted partition; 0 for none
    std::string genesis;         ///< the right to found the cluster: the formation's token, 32 lower-case hex digits;
                                 ///< empty: this card only joins
    bool genesis_again = false;  ///< an earlier card of this node had the same right, and may have used it
    std::string restore;  ///< SHA-256 of the snapshot that an etcd cluster is founded from, 64 lower-case hex digits;
                          ///< empty: it begins with nothing
    std::vector<Peer> peers;        ///< by name, ascending: every node of the cluster but workers
    std::vector<Payload> payloads;  ///< by name, ascending
    bool operator==(const Bundle&) const = default;
};

/// The bundle as the bytes that are sealed. Lines of text, each ended by a newline, in this order:
///     MAKINA-BOOTSTRAP-v1
///     cluster-id HEX      cluster NAME     node NAME        role ROLE       card HEX       epoch NUMBER
///     issued SECONDS      expires SECONDS  architecture A   board BOARD     serial HEX     mac MAC
///     address CIDR        interface NAME   api HOST:PORT    spare BYTES
///     genesis HEX first|again             restore SHA256
///     peer NAME ROLE ADDRESS              up to 256 times, names ascending
///     payload NAME SIZE SHA256            any number of times, names ascending
///     end
/// and then the payloads' bytes, in the same order, up to the last byte. The lines serial, mac, interface, genesis
/// and restore are absent if they say nothing; restore follows genesis, for the role etcd. Throws Error for what
/// `decode_bundle` would refuse.
[[nodiscard]] std::string encode(const Bundle& bundle);

/// Reads what `encode` wrote, and nothing else: an unknown, missing, repeated or misplaced line, a number that is not
/// in its shortest form, a name that payload_kinds does not give to the role, a size or a hash that differs, a byte
/// too many or too few throws Untrusted "<what>, line 3". Never prints bytes of the bundle that are not printable
/// ASCII. Needs verified bytes: call it on nothing that has not passed the seal.
[[nodiscard]] Bundle decode_bundle(std::string_view content);

/// Who the card is, without payloads: what the node keeps when it has joined.
[[nodiscard]] Bundle without_payloads(const Bundle& bundle);

}  // namespace makina
