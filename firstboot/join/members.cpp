#include "firstboot/join/members.hpp"

#include <algorithm>
#include <limits>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

constexpr std::string_view first_line = "makina-etcd-join 1";

/// For people: a member has no name before its first start.
std::string called(const Member& member) {
    return member.name.empty() ? (member.peer_urls.empty() ? "a member" : host_of(member.peer_urls[0])) : member.name;
}

bool is_at(const Member& member, const std::string& peer_url) {
    return std::find(member.peer_urls.begin(), member.peer_urls.end(), peer_url) != member.peer_urls.end();
}

bool is_our_place(const Member& member, const Sighting& sighting) {
    return member.name == sighting.name || is_at(member, sighting.peer_url);
}

/// What the others say, put together.
class Assembly {
  public:
    explicit Assembly(const Sighting& sighting) : sighting_(sighting) {
        for (const auto& [address, report] : sighting.reports) {
            if (!report.list || !report.healthy) continue;
            list_ = &*report.list;
            via_ = address;
            return;
        }
    }

    [[nodiscard]] const MemberList* list() const { return list_; }
    [[nodiscard]] const std::string& via() const { return via_; }
    [[nodiscard]] std::vector<const Member*> ours() const {
        std::vector<const Member*> found;
        for (const Member& member : list_->members) {
            if (is_our_place(member, sighting_)) found.push_back(&member);
        }
        return found;
    }
    [[nodiscard]] std::vector<const Member*> others() const {
        std::vector<const Member*> found;
        for (const Member& member : list_->members) {
            if (!is_our_place(member, sighting_)) found.push_back(&member);
        }
        return found;
    }
    [[nodiscard]] const EtcdApi::Report* report_of(const Member& member) const {
        for (const auto* const urls : {&member.client_urls, &member.peer_urls}) {
            for (const std::string& url : *urls) {
                const auto found = sighting_.reports.find(host_of(url));
                if (found != sighting_.reports.end()) return &found->second;
            }
        }
        return nullptr;
    }
    /// What hinders any change of the list: somebody else who is not well, or of another opinion, or just joining.
    [[nodiscard]] std::string objection() const;

  private:
    const Sighting& sighting_;
    const MemberList* list_ = nullptr;
    std::string via_;
};

std::string Assembly::objection() const {
    for (const Member* const member : others()) {
        if (member->learner) return called(*member) + ", which is joining, to have a vote";
        const EtcdApi::Report* const report = report_of(*member);
        if (report == nullptr || !report->list || !report->healthy) {
            return called(*member) + " to be healthy: a member is replaced only while all the others are";
        }
        if (*report->list != *list_) return called(*member) + " to have the same list of members as the others";
    }
    return "";
}

Decision waiting(const std::string& reason) {
    return {.waiting_for = reason};
}

/// We are in the list under the id that we noted.
Decision go_on_as(const Member& own, const Sighting& sighting, const Assembly& assembly) {
    Decision decision{.id = own.id, .via = assembly.via(), .list = *assembly.list()};
    if (!own.learner) {
        decision.step = Decision::Step::joined;
        return decision;
    }
    if (!sighting.has_data) {
        decision.step = Decision::Step::start;
        return decision;
    }
    if (sighting.silent_for >= patience_with_learner || sighting.unready_for >= patience_with_start) {
        // etcd #16596: a power cut in a member's first seconds can leave data that it never starts with again. One that
        // ends each time after it has spoken to the others is not silent. Nobody has to be well without its vote.
        decision.step = Decision::Step::remove;
        decision.aside = true;
        return decision;
    }
    decision.step = Decision::Step::promote;
    return decision;
}

/// Why nobody may take the place of a member that is not known to be ours; empty if it is proven dead.
std::string sign_of_life(const Member& old, const Sighting& sighting) {
    if (!sighting.other_mac.empty()) {
        return sighting.other_mac + " to leave our address: the member that is to be replaced lives";
    }
    // Nobody was ever it, and only we can be, at our address.
    if (old.learner && old.name.empty()) return "";
    if (sighting.dead_for >= proof_of_death) return "";
    return "the proof that " + called(old) + " is dead: " + std::to_string(proof_of_death) +
           " s without a sign of life";
}

/// Two have our place, and nobody can tell which is the wrong one.
std::string ambiguity(const std::vector<const Member*>& ours) {
    return "a person: " + called(*ours[0]) + " and " + called(*ours[1]) +
           " both have our name or our address in the cluster's list; remove the wrong one by its id";
}

/// Somebody has our place.
Decision take_over(const Member& old, const Sighting& sighting, const Assembly& assembly) {
    Decision decision{.id = old.id, .via = assembly.via(), .list = *assembly.list()};
    if (sighting.has_data) {
        return waiting("a person: " + called(old) +
                       " is in our place in the cluster's list, and this card has data of "
                       "another member; a new card is needed");
    }
    const bool is_taken = !sighting.other_mac.empty();
    if (std::string reason = is_taken ? "" : assembly.objection(); !reason.empty()) return waiting(reason);
    if (const std::string life = sign_of_life(old, sighting); !life.empty()) return waiting(life);
    decision.step = old.learner && old.name.empty() ? Decision::Step::start : Decision::Step::remove;
    return decision;
}

}  // namespace

std::string encode(const JoinRecord& record) {
    std::string text = std::string(first_line) + "\n";
    if (record.removing != 0) text += "removing " + std::to_string(record.removing) + "\n";
    if (record.own != 0) text += "own " + std::to_string(record.own) + "\n";
    if (record.promoting) text += "promoting yes\n";
    return text + "end\n";
}

JoinRecord decode_join_record(std::string_view text) {
    constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    Lines lines(text);
    JoinRecord record;
    lines.expect(first_line);
    if (lines.follows("removing")) record.removing = lines.number("removing", 1, most);
    if (lines.follows("own")) record.own = lines.number("own", 1, most);
    if (lines.follows("promoting")) {
        if (lines.value("promoting") != "yes") lines.refuse("\"promoting\" is not \"yes\"");
        record.promoting = true;
    }
    lines.expect("end");
    if (!lines.rest().empty()) lines.refuse("something after the end");
    return record;
}

std::string host_of(const std::string& url) {
    constexpr std::string_view scheme = "https://";
    if (url.rfind(scheme, 0) != 0) return "";
    const std::size_t end = url.find_first_of(":/", scheme.size());
    return url.substr(scheme.size(), end == std::string::npos ? end : end - scheme.size());
}

Vigil::Ears Vigil::ears(const Sighting& sighting, std::uint64_t id) {
    const Assembly assembly(sighting);
    Ears now;
    if (assembly.list() == nullptr || !sighting.other_mac.empty()) return {};
    now.id = id;
    for (const Member* const member : assembly.others()) {
        if (member->learner) continue;
        const EtcdApi::Report* const report = assembly.report_of(*member);
        if (report == nullptr || report->received.empty()) return {};
        const std::string address = host_of(member->peer_urls[0]);
        const auto heard = report->received.find(id);
        now.heard[address] = heard == report->received.end() ? "" : heard->second;
        if (report->leader) now.leader = address;
    }
    return now.leader.empty() ? Ears{} : now;
}

std::int64_t Vigil::seconds(const Sighting& sighting, std::uint64_t id, std::int64_t now) {
    const Ears current = ears(sighting, id);
    const auto leader = sighting.reports.find(current.leader);
    if (current.id == 0 || leader == sighting.reports.end() || !(current == before_)) {
        before_ = current;
        begun_ = now;
        living_ = leader == sighting.reports.end() ? std::map<std::uint64_t, std::string>() : leader->second.received;
        return 0;
    }
    for (const Member& member : leader->second.list ? leader->second.list->members : std::vector<Member>()) {
        const bool is_leader = host_of(member.peer_urls[0]) == current.leader;
        if (member.id == id || member.learner || is_leader) continue;
        const auto then = living_.find(member.id);
        const auto since = leader->second.received.find(member.id);
        if (since == leader->second.received.end() || (then != living_.end() && then->second == since->second))
            return 0;
    }
    return now - begun_;
}

std::optional<std::uint64_t> predecessor(const Sighting& sighting, const JoinRecord& record) {
    const Assembly assembly(sighting);
    if (assembly.list() == nullptr) return std::nullopt;
    const auto ours = assembly.ours();
    if (ours.size() != 1 || ours[0]->id == record.own || sighting.has_data) return std::nullopt;
    return ours[0]->id;
}

Decision decide(const Sighting& sighting, const JoinRecord& record) {
    const Assembly assembly(sighting);
    if (assembly.list() == nullptr) {
        std::string names;
        for (const auto& [address, report] : sighting.reports) {
            names += (names.empty() ? "" : ", ") + address + " (" +
                     (report.list ? "without a majority" : report.fault) + ")";
        }
        return waiting("a member of the cluster that has a majority behind it: " +
                       (names.empty() ? "none is known" : names));
    }
    const auto ours = assembly.ours();
    if (ours.size() > 1) return waiting(ambiguity(ours));
    if (ours.size() == 1) {
        // Who has founded the cluster was given no id: data without a note is a founder's.
        const bool is_us = ours[0]->id == record.own || (record.own == 0 && sighting.has_data);
        if (is_us) return go_on_as(*ours[0], sighting, assembly);
        return take_over(*ours[0], sighting, assembly);
    }
    const bool was_removed_by_us = record.own != 0 && record.removing == record.own;
    const bool had_a_vote = record.own == 0 || (record.promoting && !was_removed_by_us);
    if (sighting.has_data && had_a_vote) {
        return waiting(
            "a person: this member was removed from the cluster while its card was away; a new card is needed");
    }
    if (std::string reason = assembly.objection(); !reason.empty()) return waiting(reason);
    return {.step = Decision::Step::add, .aside = sighting.has_data, .via = assembly.via(), .list = *assembly.list()};
}

Decision retreat(const Sighting& sighting, const JoinRecord& record) {
    const Assembly assembly(sighting);
    const std::string kept = "; this node's etcd and its data are kept for it";
    if (assembly.list() == nullptr) return waiting("etcd on the other control planes to have a majority" + kept);
    const std::vector<const Member*> ours = assembly.ours();
    Decision decision{.via = assembly.via(), .list = *assembly.list()};
    decision.step = Decision::Step::add;
    if (ours.empty()) return decision;
    if (ours.size() > 1) return waiting(ambiguity(ours));
    const Member& member = *ours.front();
    if (record.own != 0 && member.id != record.own) {
        return waiting("a person: " + called(member) +
                       " is in our place in the cluster's list, and is not what this card has joined as; a new card is "
                       "needed");
    }
    const std::string reason = member.learner ? "" : assembly.objection();
    if (!reason.empty()) return waiting(reason + kept);
    if (const std::string life = record.own != 0 ? "" : sign_of_life(member, sighting); !life.empty()) {
        Decision proof = waiting(life);
        proof.silence = member.learner;
        return proof;
    }
    decision.step = Decision::Step::remove;
    decision.id = member.id;
    return decision;
}

std::string healthy_member(const Sighting& sighting) {
    return Assembly(sighting).via();
}

std::optional<Member> member_of(const Sighting& sighting, std::uint64_t id) {
    const Assembly assembly(sighting);
    if (assembly.list() == nullptr) return std::nullopt;
    const auto& members = assembly.list()->members;
    const auto found = std::ranges::find(members, id, &Member::id);
    return found == members.end() ? std::nullopt : std::optional<Member>(*found);
}

std::string initial_cluster(const MemberList& list, std::uint64_t own, const std::string& name) {
    std::string text;
    for (const Member& member : list.members) {
        const std::string called = member.id == own ? name : member.name;
        for (const std::string& url : member.peer_urls) {
            if (!called.empty()) text += (text.empty() ? "" : ",") + called + "=" + url;
        }
    }
    return text;
}

}  // namespace makina
