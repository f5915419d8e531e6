#include "firstboot/bundle/digest.hpp"
#include "tests/bundle/vectors.hpp"

namespace makina::forge {
namespace {

/// The world's bundle by a signer, with these certificates, to the world's card.
Case by(const World& world, const Certificate& signer, const std::vector<Certificate>& others = {}) {
    Seal seal = good_seal(world.content, signer);
    for (const Certificate& other : others) seal.certificates.push_back(other.der);
    return {message(seal), world.trust};
}

/// As by, to a card that believes other anchors.
Case anchored(const World& world, const Certificate& signer, const std::vector<Certificate>& others,
              const std::vector<Certificate>& anchors) {
    Case made = by(world, signer, others);
    made.trust.anchors.clear();
    for (const Certificate& anchor : anchors) made.trust.anchors.push_back(anchor.der);
    return made;
}

/// A signer below an authority that is below the world's root; the authority is in the message.
Case over(const World& world, const Wish& authority, const Wish& signer = signer_wish()) {
    const Certificate middle = issue(authority, &world.root);
    return by(world, issue(signer, &middle), {middle});
}

/// The same name and key, certified by the world's root and by a foreign one.
struct Crossed {
    explicit Crossed(const World& world) {
        const Wish wish = sub_wish("crossed");
        const Certificate foreign = issue(authority_wish(std::string(world.root.subject.size(), 'x')));
        ours = issue(wish, &world.root);
        theirs = issue(wish, &foreign);
        signer = issue(signer_wish(), &ours);
    }
    Certificate ours, theirs, signer;
};

/// Both branches in one message. DER orders them, by their size first, and the library follows the first one.
Case both_branches(const World& world, bool ours_first) {
    Crossed crossed(world);
    // A signature has 70 to 72 bytes, as chance will have it.
    for (int i = 0; i < 1000 && (crossed.ours.der < crossed.theirs.der) != ours_first; ++i) crossed = Crossed(world);
    return by(world, crossed.signer, {crossed.ours, crossed.theirs});
}

std::vector<Vector> right_chains() {
    return {
        {"straight from the anchor", "", Openssl::accepts, [](const World& w) { return by(w, w.signer); }},
        {"the anchor is in the message too", "", Openssl::accepts,
         [](const World& w) { return by(w, w.signer, {w.root}); }},
        {"over one authority", "", Openssl::accepts, [](const World& w) { return over(w, sub_wish("middle")); }},
        {"over one authority, anchor in the message", "", Openssl::accepts,
         [](const World& w) {
             const Certificate middle = issue(sub_wish("middle"), &w.root);
             return by(w, issue(signer_wish(), &middle), {middle, w.root});
         }},
        {"an authority for this purpose and another", "", Openssl::accepts,
         [](const World& w) {
             return over(w,
                         sub_wish("middle").with("extendedKeyUsage", std::string("codeSigning,") + bundle_signing_oid));
         }},
        {"two anchors, the signer below the second", "", Openssl::accepts,
         [](const World& w) {
             return anchored(w, w.signer, {}, {issue(authority_wish("older")), w.root});
         }},
        {"two anchors of the same name", "", Openssl::accepts,
         [](const World& w) {
             return anchored(w, w.signer, {}, {issue(authority_wish(w.root.subject)), w.root});
         }},
        {"an anchor that allows no authority below it", "", Openssl::accepts,
         [](const World& w) {
             const Certificate root =
                 issue(authority_wish("flat").with("basicConstraints", "critical,CA:TRUE,pathlen:0"));
             return anchored(w, issue(signer_wish(), &root), {}, {root});
         }},
        {"a name that the constraints permit", "", Openssl::accepts,
         [](const World& w) {
             return over(w, sub_wish("middle").with("nameConstraints", "critical,permitted;DNS:good.example"),
                         signer_wish().with("subjectAltName", "DNS:signer.good.example"));
         }},
        {"a cross-signed authority, the branch to the anchor", "", Openssl::accepts,
         [](const World& w) {
             const Crossed crossed(w);
             return by(w, crossed.signer, {crossed.ours});
         }},
    };
}

std::vector<Vector> wrong_ends() {
    constexpr const char* no_issuer = "the signer does not lead to an anchor: unable to get local issuer certificate";
    return {
        {"a signer below another root", no_issuer, Openssl::refuses,
         [=](const World& w) {
             const Certificate other = issue(authority_wish("kubernetes-ca"));
             return by(w, issue(signer_wish(), &other));
         }},
        {"a wrong anchor brought along",
         "the signer does not lead to an anchor: self-signed certificate in certificate chain", Openssl::refuses,
         [](const World& w) {
             const Certificate other = issue(authority_wish("other"));
             return by(w, issue(signer_wish(), &other), {other});
         }},
        {"a root of the same name and another key", no_issuer, Openssl::refuses,
         [](const World& w) {
             const Certificate twin = issue(authority_wish(w.root.subject));
             return by(w, issue(signer_wish(), &twin));
         }},
        {"a root of the same name and key id, another key",
         "the signer does not lead to an anchor: certificate signature failure", Openssl::refuses,
         [](const World& w) {
             // The signer says the true root's key id, so that its issuer is found; only the signature is another's.
             Certificate forger = w.root;
             forger.key = make_key("P-256");
             return by(w, issue(signer_wish(), &forger));
         }},
        {"a root of the same name brought along",
         "the signer does not lead to an anchor: self-signed certificate in certificate chain", Openssl::refuses,
         [](const World& w) {
             const Certificate twin = issue(authority_wish(w.root.subject));
             return by(w, issue(signer_wish(), &twin), {twin});
         }},
        {"a signer by itself", "the signer does not lead to an anchor: self-signed certificate", Openssl::refuses,
         [](const World& w) { return by(w, issue(signer_wish().with("authorityKeyIdentifier", ""))); }},
        {"a signer that is an anchor", "the signer does not lead to an anchor over at most one authority",
         Openssl::accepts,
         [](const World& w) {
             const Certificate alone = issue(signer_wish().with("authorityKeyIdentifier", ""));
             return anchored(w, alone, {}, {alone});
         }},
        {"an anchor that has an issuer", "the signer does not lead to an anchor: unable to get issuer certificate",
         Openssl::refuses,
         [](const World& w) {
             const Certificate middle = issue(sub_wish("middle"), &w.root);
             return anchored(w, issue(signer_wish(), &middle), {}, {middle});
         }},
        {"an authority left out", no_issuer, Openssl::refuses,
         [](const World& w) {
             const Certificate middle = issue(sub_wish("middle"), &w.root);
             return by(w, issue(signer_wish(), &middle));
         }},
        {"a cross-signed authority, the branch away",
         "the signer does not lead to an anchor: unable to get local issuer certificate", Openssl::refuses,
         [](const World& w) {
             const Crossed crossed(w);
             return by(w, crossed.signer, {crossed.theirs});
         }},
        {"a cross-signed authority, the branch to the anchor and then the other",
         "the seal has a certificate that its signer does not need", Openssl::accepts,
         [](const World& w) { return both_branches(w, true); }},
        {"a cross-signed authority, the other branch and then that to the anchor", no_issuer, Openssl::refuses,
         [](const World& w) { return both_branches(w, false); }},
        {"a certificate that nothing needs", "the seal has a certificate that its signer does not need",
         Openssl::accepts, [](const World& w) { return by(w, w.signer, {issue(authority_wish("idle"))}); }},
        {"an anchor that is damaged", "an anchor is no X.509 certificate in strict DER", Openssl::refuses,
         [](const World& w) {
             Case made = by(w, w.signer);
             made.trust.anchors.front().pop_back();
             return made;
         }},
        {"no anchor at all", no_issuer, Openssl::refuses, [](const World& w) { return anchored(w, w.signer, {}, {}); }},
    };
}

std::vector<Vector> wrong_authorities() {
    return {
        {"over two authorities", "the signer does not lead to an anchor: certificate chain too long", Openssl::accepts,
         [](const World& w) {
             const Certificate upper = issue(sub_wish("upper"), &w.root);
             const Certificate lower = issue(sub_wish("lower"), &upper);
             return by(w, issue(signer_wish(), &lower), {upper, lower});
         }},
        {"a path length of the anchor", "the signer does not lead to an anchor: path length constraint exceeded",
         Openssl::refuses,
         [](const World& w) {
             const Certificate root =
                 issue(authority_wish("flat").with("basicConstraints", "critical,CA:TRUE,pathlen:0"));
             const Certificate middle = issue(sub_wish("middle"), &root);
             return anchored(w, issue(signer_wish(), &middle), {middle}, {root});
         }},
        {"a signer as authority", "the signer does not lead to an anchor: invalid CA certificate", Openssl::refuses,
         [](const World& w) { return by(w, issue(signer_wish("below"), &w.signer), {w.signer}); }},
        {"an authority that may not sign certificates", "the signer does not lead to an anchor: invalid CA certificate",
         Openssl::refuses,
         [](const World& w) { return over(w, sub_wish("middle").with("keyUsage", "critical,cRLSign")); }},
        {"an authority without basic constraints", "the signer does not lead to an anchor: invalid CA certificate",
         Openssl::refuses, [](const World& w) { return over(w, sub_wish("middle").with("basicConstraints", "")); }},
        {"an authority whose basic constraints are not critical",
         "the signer does not lead to an anchor: Basic Constraints of CA cert not marked critical", Openssl::accepts,
         [](const World& w) { return over(w, sub_wish("middle").with("basicConstraints", "CA:TRUE")); }},
        {"an authority without a key id", "the signer does not lead to an anchor: Missing Subject Key Identifier",
         Openssl::accepts,
         [](const World& w) {
             return over(w, sub_wish("middle").with("subjectKeyIdentifier", ""),
                         signer_wish().with("authorityKeyIdentifier", "DER:3006800401020304"));
         }},
        {"an authority for another purpose", "an authority of the signer may not issue for the signing of bundles",
         Openssl::accepts,
         [](const World& w) { return over(w, sub_wish("middle").with("extendedKeyUsage", "serverAuth")); }},
        {"an anchor for another purpose", "an authority of the signer may not issue for the signing of bundles",
         Openssl::accepts,
         [](const World& w) {
             const Certificate root = issue(authority_wish("mail").with("extendedKeyUsage", "emailProtection"));
             return anchored(w, issue(signer_wish(), &root), {}, {root});
         }},
        {"a name that the constraints do not permit",
         "the signer does not lead to an anchor: permitted subtree violation", Openssl::refuses,
         [](const World& w) {
             return over(w, sub_wish("middle").with("nameConstraints", "critical,permitted;DNS:good.example"),
                         signer_wish().with("subjectAltName", "DNS:signer.evil.example"));
         }},
        {"a name that the constraints exclude", "the signer does not lead to an anchor: excluded subtree violation",
         Openssl::refuses,
         [](const World& w) {
             return over(w, sub_wish("middle").with("nameConstraints", "critical,excluded;DNS:evil.example"),
                         signer_wish().with("subjectAltName", "DNS:signer.evil.example"));
         }},
        {"an authority that is revoked", nullptr, Openssl::accepts,
         [](const World& w) {
             Wish wish = sub_wish("revoked");
             const Certificate middle = issue(wish, &w.root);
             Case made = by(w, issue(signer_wish(), &middle), {middle});
             made.trust.revoked = {sha256(middle.der)};
             return made;
         }},
        {"a signer that is revoked", nullptr, Openssl::accepts,
         [](const World& w) {
             Case made = by(w, w.signer);
             made.trust.revoked = {std::string(64, '0'), sha256(w.signer.der)};
             return made;
         }},
    };
}

std::vector<Vector> wrong_times() {
    constexpr const char* words = "the signer's chain was not valid when the bundle was issued";
    return {
        {"a signer that had expired", words, Openssl::accepts,
         [](const World& w) {
             Wish wish = signer_wish();
             wish.to = issue_time - 1;
             return by(w, issue(wish, &w.root));
         }},
        {"a signer that was not valid yet", words, Openssl::accepts,
         [](const World& w) {
             Wish wish = signer_wish();
             wish.from = issue_time + 1;
             return by(w, issue(wish, &w.root));
         }},
        {"an authority that had expired", words, Openssl::accepts,
         [](const World& w) {
             Wish wish = sub_wish("middle");
             wish.to = issue_time - 1;
             return over(w, wish);
         }},
        {"an anchor that had expired", words, Openssl::accepts,
         [](const World& w) {
             Wish wish = authority_wish("short");
             wish.to = issue_time - 1;
             const Certificate root = issue(wish);
             return anchored(w, issue(signer_wish(), &root), {}, {root});
         }},
        {"a chain that is never valid as a whole", words, Openssl::accepts,
         [](const World& w) {
             Wish upper = sub_wish("middle");
             upper.to = issue_time + 10;
             Wish lower = signer_wish();
             lower.from = issue_time + 20;
             return over(w, upper, lower);
         }},
        {"a signer valid in that second alone", "", Openssl::accepts,
         [](const World& w) {
             Wish wish = signer_wish();
             wish.from = wish.to = issue_time;
             return by(w, issue(wish, &w.root));
         }},
    };
}

}  // namespace

std::vector<Vector> chain_vectors() {
    std::vector<Vector> all;
    for (const auto& part : {right_chains(), wrong_ends(), wrong_authorities(), wrong_times()}) {
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

}  // namespace makina::forge
