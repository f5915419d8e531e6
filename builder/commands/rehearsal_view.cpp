#include "builder/commands/rehearsal_view.hpp"

#include <unistd.h>

#include <algorithm>
#include <ostream>

#include "builder/commands/terminal.hpp"

namespace makina {
namespace {

using Json = nlohmann::ordered_json;

std::string names(const std::vector<std::string>& all) {
    std::string text;
    for (const std::string& one : all) text += (text.empty() ? "" : ", ") + one;
    return text.empty() ? "nobody" : text;
}

std::string subject(const Outcome& outcome) {
    return outcome.drill ? to_string(*outcome.drill) : "start";
}

Json json_of(const Outcome& outcome) {
    Json json = {{"event", "outcome"}, {"drill", outcome.drill ? to_string(outcome.drill->kind) : "start"}};
    if (outcome.drill) json["node"] = outcome.drill->node;
    json["passed"] = outcome.passed();
    json["took"] = outcome.seconds;
    json["held_before"] = outcome.held_before;
    json["held_after"] = outcome.held_after;
    json["moved_after"] = outcome.moved ? Json(*outcome.moved) : Json();
    json["nobody_held"] = outcome.nobody;
    json["several_held"] = outcome.several;
    json["objections"] = outcome.objections;
    return json;
}

Json json_of(const Seen& seen) {
    return {{"event", "node"},
            {"node", seen.node.name},
            {"role", seen.node.role},
            {"reached", !seen.status.is_null()},
            {"state", seen.node.state},
            {"stage", seen.node.stage},
            {"waiting_for", seen.node.waiting_for},
            {"epoch", seen.node.epoch},
            {"status", seen.status}};
}

bool same(const Seen& before, const Seen& now) {
    return to_line(before.node) == to_line(now.node) && before.node.epoch == now.node.epoch;
}

}  // namespace

std::string to_text(const Outcome& outcome, const std::string& shared) {
    std::string text = subject(outcome) + (outcome.passed() ? ": passed after " : ": did not pass, judged after ") +
                       tenths(outcome.seconds) + " s";
    if (outcome.drill && outcome.moved) {
        text += ", " + shared + " moved from " + names(outcome.held_before) + " to " + names(outcome.held_after) +
                " in " + tenths(*outcome.moved) + " s";
    } else if (outcome.drill && !shared.empty() && outcome.held_before == outcome.held_after) {
        text += ", " + shared + (outcome.nobody > 0 ? " came back to " : " stayed with ") + names(outcome.held_after);
    }
    if (outcome.drill && outcome.nobody > 0) text += ", held by nobody for " + tenths(outcome.nobody) + " s";
    if (outcome.several > 0) text += ", held by more than one for " + tenths(outcome.several) + " s";
    for (const std::string& objection : outcome.objections) text += "\n    " + objection;
    return text;
}

std::string RehearsalView::holder() const {
    if (shared_.empty()) return {};
    const std::vector<std::string> by = held_.empty() ? std::vector<std::string>() : held_.back().by;
    return shared_ + " is held by " + names(by) + (answers_ ? " and answers" : "");
}

void RehearsalView::say(double at, const std::string& text, Json event) {
    const double seconds = at - start_;
    switch (voice_) {
        case RehearsalVoice::table:
            said_.push_back(tenths(seconds) + " s: " + printable(text));
            return;
        case RehearsalVoice::lines:
            out_ << tenths(seconds) << " s: " << printable(text) << std::endl;
            return;
        case RehearsalVoice::json:
            event["seconds"] = seconds;
            // What a guest says need not be UTF-8; JSON must be.
            out_ << event.dump(-1, ' ', true, Json::error_handler_t::replace) << std::endl;
            return;
    }
}

void RehearsalView::draw(const std::vector<Seen>& all, double now) {
    std::vector<WatchedNode> rows;
    rows.reserve(all.size());
    for (const Seen& seen : all) rows.push_back(seen.node);
    const auto joined =
        std::count_if(rows.begin(), rows.end(), [](const WatchedNode& node) { return node.state == "joined"; });
    // From the screen's first line on, over the table before.
    out_ << "\x1b[H\x1b[J" << cluster_ << " in emulation, " << static_cast<int>(now - start_) << " s: " << joined
         << " of " << rows.size() << " nodes have joined\n";
    if (!shared_.empty()) out_ << holder() << '\n';
    out_ << '\n' << to_table(rows, terminal_width(STDOUT_FILENO), true) << '\n';
    for (const std::string& line : said_) out_ << line << '\n';
    out_.flush();
}

void RehearsalView::nodes(const std::vector<Seen>& all, double now) {
    if (voice_ == RehearsalVoice::table) return draw(all, now);
    for (std::size_t at = 0; at < all.size(); ++at) {
        if (before_.empty() || !same(before_[at], all[at])) say(now, to_line(all[at].node), json_of(all[at]));
    }
    before_ = all;
}

void RehearsalView::held(const std::vector<Held>& all) {
    for (std::size_t at = held_.size(); at < all.size(); ++at) {
        held_.push_back(all[at]);
        say(all[at].since, shared_ + " is held by " + names(all[at].by),
            {{"event", "held"}, {"address", shared_}, {"by", all[at].by}});
    }
}

void RehearsalView::answers(bool shared_answers, double now) {
    if (shared_.empty() || answers_ == shared_answers) return;
    answers_ = shared_answers;
    say(now, shared_ + (answers_ ? " answers" : " does not answer"),
        {{"event", "answers"}, {"address", shared_}, {"answers", answers_}});
}

void RehearsalView::drill(const Drill& drill, std::size_t number, std::size_t of, double now) {
    say(now, "drill " + std::to_string(number) + " of " + std::to_string(of) + ": " + to_string(drill),
        {{"event", "drill"}, {"drill", to_string(drill.kind)}, {"node", drill.node}, {"for", drill.seconds}});
}

void RehearsalView::outcome(const Outcome& outcome, double now) {
    say(now, to_text(outcome, shared_), json_of(outcome));
}

void RehearsalView::reply(const std::string& node, const Reply& reply, double now) {
    if (voice_ != RehearsalVoice::json) return;
    say(now, {},
        {{"event", "answer"},
         {"node", node},
         {"question", reply.question.name},
         {"good", reply.status == 0},
         {"status", reply.status},
         {"output", reply.output}});
}

void RehearsalView::console(const std::string& node, const std::vector<std::string>& lines, double now) {
    std::string text = "the last lines of " + node + "'s console:";
    for (const std::string& line : lines) text += "\n    " + line;
    say(now, text, {{"event", "console"}, {"node", node}, {"lines", lines}});
}

void RehearsalView::end(const Director& director, const RehearsalEnd& end, double now) {
    const std::vector<Outcome>& outcomes = director.outcomes();
    const auto done = static_cast<std::size_t>(
        std::count_if(outcomes.begin(), outcomes.end(), [](const Outcome& one) { return one.drill && one.passed(); }));
    if (voice_ == RehearsalVoice::json) {
        return say(now, {},
                   {{"event", "end"},
                    {"passed", director.passed()},
                    {"nodes", end.nodes},
                    {"drills", end.drills},
                    {"drills_passed", done},
                    {"played", end.played}});
    }
    out_ << '\n';
    // On a terminal they stand below the table.
    if (voice_ == RehearsalVoice::lines) {
        for (const Outcome& one : outcomes) out_ << printable(to_text(one, shared_)) << '\n';
    }
    if (!shared_.empty()) out_ << holder() << '\n';
    if (!end.played.empty()) {
        out_ << "not booted: " << names(end.played) << "; a stand-in said for them that all is well\n";
    }
    const std::string drills = end.drills == 0 ? ""
                                               : ", " + std::to_string(done) + " of " + std::to_string(end.drills) +
                                                     (end.drills == 1 ? " drill passed" : " drills passed");
    out_ << cluster_ << ": " << end.nodes << (end.nodes == 1 ? " node" : " nodes") << drills << ", "
         << tenths(now - start_) << " s: " << (director.passed() ? "passed" : "did not pass") << std::endl;
}

}  // namespace makina
