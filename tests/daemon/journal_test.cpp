#include "firstboot/journal.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "firstboot/bundle/error.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/scene.hpp"

namespace makina {
namespace {

using namespace makina::test;
using testing::HasSubstr;

TEST(Journal, ReadsWhatItWrote) {
    Journal journal;
    EXPECT_EQ(encode(journal), "makina-journal 1\n");
    EXPECT_EQ(decode_journal(encode(journal)), journal);
    journal.add({Note::Kind::intent, 1790000000, "network", ""});
    journal.add({Note::Kind::fault, 0, "network", "networkctl: no bus"});
    journal.add({Note::Kind::done, 1790000001, "network", " two  spaces "});
    EXPECT_EQ(encode(journal),
              "makina-journal 1\nintent 1790000000 network\nfault 0 network networkctl: no bus\n"
              "done 1790000001 network  two  spaces \n");
    EXPECT_EQ(decode_journal(encode(journal)), journal);
}

TEST(Journal, CanBeReadWhateverWasNoted) {
    Journal journal;
    journal.add({Note::Kind::fault, -5, "a stage\n", "line\nline\x1b[31m\xff" + std::string(1000, 'x')});
    journal.notes.push_back({Note::Kind::fault, -5, "", "\n"});
    EXPECT_EQ(decode_journal(encode(journal)).notes.size(), 2U);
    EXPECT_EQ(journal.notes[0].text.substr(0, 16), "line?line?[31m?x");
    EXPECT_EQ(journal.notes[0].text.size(), 400U);
}

TEST(Journal, ForgetsOlderNotes) {
    Journal journal;
    for (std::int64_t i = 0; i < 1000; ++i) journal.add({Note::Kind::intent, i, "network", ""});
    EXPECT_EQ(journal.notes.size(), Journal::most_notes);
    EXPECT_EQ(journal.notes.front().when, 800);
    EXPECT_EQ(decode_journal(encode(journal)), journal);
}

TEST(Journal, RefusesEverythingElse) {
    std::string many = "makina-journal 1\n";
    for (int i = 0; i < 201; ++i) many += "done 1 time\n";
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"", "line 1: it is not ended"},
        {"makina-journal 1", "line 1: it is not ended"},
        {"makina-journal 2\n", "line 1: \"makina-journal 1\" is expected"},
        {"makina-journal 1\n\n", "line 2: no note begins so"},
        {"makina-journal 1\nDone 1 time\n", "line 2: no note begins so"},
        {"makina-journal 1\ndone\n", "line 2: no time"},
        {"makina-journal 1\ndone 01 time\n", "line 2: no time"},
        {"makina-journal 1\ndone -1 time\n", "line 2: no time"},
        {"makina-journal 1\ndone 9223372036854775808 time\n", "line 2: no time"},
        {"makina-journal 1\ndone 1\n", "line 2: no stage"},
        {"makina-journal 1\ndone 1 \n", "line 2: no stage"},
        {"makina-journal 1\ndone 1  time\n", "line 2: no stage"},
        {"makina-journal 1\ndone 1 Time\n", "line 2: no stage"},
        {"makina-journal 1\ndone 1 " + std::string(33, 'a') + "\n", "line 2: no stage"},
        {"makina-journal 1\ndone 1 time \n", "line 2: no text"},
        {"makina-journal 1\ndone 1 time a\tb\n", "line 2: no text"},
        {"makina-journal 1\ndone 1 time \x80\n", "line 2: no text"},
        {"makina-journal 1\ndone 1 time " + std::string(401, 'a') + "\n", "line 2: no text"},
        {"makina-journal 1\ndone 1 time\ndone 2 time", "line 3: it is not ended"},
        {many, "line 202: too many notes"}};
    for (const auto& [text, words] : cases) {
        try {
            (void)decode_journal(text);
            ADD_FAILURE() << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.what(), words) << text;
        }
    }
}

TEST(Journal, NotesEachStageBeforeAndAfter) {
    FakeMachine machine = new_machine("gateway");
    const auto host = host_of(machine, "gateway");
    run_to_end(*host);
    std::string stages;
    for (const Note& note : decode_journal(host->text(std::string(Journal::path))).notes) {
        stages += (note.kind == Note::Kind::intent ? "+" : "-") + note.stage + " ";
    }
    EXPECT_EQ(stages,
              "+identity -identity +storage -storage +network -network +packages -packages +preflight -preflight +keys "
              "-keys +join -join +seal -seal ");
    EXPECT_EQ(machine.files.at(std::string(Journal::path)).access, (Access{0600, "root", "root"}));
}

TEST(Journal, SaysWhereTheLastRunEnded) {
    FakeMachine machine = new_machine("gateway");
    const auto host = host_of(machine, "gateway");
    host->programs["networkctl"] = [](FakeHost&, const std::vector<std::string>&) -> Answer { throw Cut{}; };
    EXPECT_THROW(run_to_end(*host), Cut);
    power_cycle(machine);
    const auto next = host_of(machine, "gateway");
    run_to_end(*next);
    EXPECT_EQ(next->lines.at(0), "the last run ended at network: everything is asked again");
}

TEST(Journal, ThatIsDamagedIsMovedAsideAndBegunAnew) {
    for (const std::string damaged : {"half a no", "", "makina-journal 1\ndone 1 time"}) {
        FakeMachine machine = new_machine("gateway");
        FakeHost(machine).put(std::string(Journal::path), damaged, {0600, "root", "root"});
        const auto host = host_of(machine, "gateway");
        run_to_end(*host);
        EXPECT_EQ(host->text("/var/lib/makina/journal.bad"), damaged);
        EXPECT_GT(decode_journal(host->text(std::string(Journal::path))).notes.size(), 5U);
        EXPECT_THAT(host->lines.at(0), HasSubstr("the journal is begun anew: line "));
    }
    FakeMachine machine = new_machine("gateway");
    FakeHost(machine).put(std::string(Journal::path), std::string(2 << 20, 'x'), {0600, "root", "root"});
    const auto host = host_of(machine, "gateway");
    run_to_end(*host);
    EXPECT_LT(host->text(std::string(Journal::path)).size(), 4096U);
}

}  // namespace
}  // namespace makina
