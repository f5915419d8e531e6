#include "firstboot/bundle/trust.hpp"

#include <algorithm>
#include <cstdint>

#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

constexpr std::size_t most_revoked = 64;
constexpr std::string_view first_line = "makina-trust 1";

template <typename T>
bool repeats(const std::vector<T>& list) {
    return std::find(list.begin(), list.end() - 1, list.back()) != list.end() - 1;
}

}  // namespace

std::string encode(const Trust& trust) {
    std::string text = std::string(first_line) + "\ncluster-id " + trust.cluster_id + "\nnode " + trust.node +
                       "\nrole " + trust.role + "\n";
    for (const std::string& anchor : trust.anchors) text += "anchor " + to_base64(anchor) + "\n";
    for (const std::string& signer : trust.revoked) text += "revoked " + signer + "\n";
    Trust read;
    try {
        read = decode_trust(text);
    } catch (const Untrusted& error) {
        throw Error(std::string("the trust file cannot be written: ") + error.what());
    }
    if (read != trust) throw Error("the trust file cannot be written: a value has a line break in it");
    return text;
}

Trust decode_trust(std::string_view text) {
    if (text.size() > Trust::largest) throw Untrusted("the trust file is larger than any can be");
    Lines lines(text);
    Trust trust;
    lines.expect(first_line);
    trust.cluster_id = lines.hex("cluster-id", 32);
    trust.node = lines.label("node");
    trust.role = lines.role("role");
    do {
        trust.anchors.push_back(from_base64(lines.value("anchor")));
        if (trust.anchors.back().empty()) lines.refuse("\"anchor\" is not strict base64");
        if (repeats(trust.anchors)) lines.refuse("an anchor twice");
        if (trust.anchors.size() > Trust::most_anchors) lines.refuse("more than 4 anchors");
    } while (lines.follows("anchor"));
    while (lines.follows("revoked")) {
        trust.revoked.push_back(lines.hex("revoked", 64));
        if (repeats(trust.revoked)) lines.refuse("a revoked signer twice");
        if (trust.revoked.size() > most_revoked) lines.refuse("more than 64 revoked signers");
    }
    if (!lines.rest().empty()) lines.refuse("something else follows the last line");
    return trust;
}

}  // namespace makina
