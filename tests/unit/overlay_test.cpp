#include "builder/overlay/overlay.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "firstboot/bundle/error.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

const Value::Group values = {
    {"name", "master-1"},
    {"port", std::uint64_t{6443}},
    {"yes", true},
    {"no", false},
    {"empty", ""},
    {"none", Value::List{}},
    {"words", Value::List{"a", "b"}},
    {"nodes",
     Value::List{Value::Group{{"name", "n1"}, {"up", true}, {"ports", Value::List{std::uint64_t{1}, std::uint64_t{2}}}},
                 Value::Group{{"name", "n2"}, {"up", false}, {"ports", Value::List{}}}}},
    {"node", Value::Group{{"name", "worker-1"}}},
    {"evil", "x\" # {{ name }}\n%% end\n$(reboot)'\\"},
    {"escape", "\x1b[2J"},
};

std::string rendered(const std::string& content) {
    return render(content, "t", values);
}

// What goes wrong with a template, word for word.
std::string problem(const std::string& content) {
    try {
        return "no error, but: " + rendered(content);
    } catch (const Error& error) {
        return error.what();
    }
}

TEST(Template, WritesANameAndAField) {
    EXPECT_EQ(rendered("%% syntax word\na {{ name }} b {{node.name}}\n"), "a master-1 b worker-1\n");
}

TEST(Template, KeepsWhatIsNotItsOwn) {
    const std::string text = "{ %i 100% } ${HOME} {% x %} # %%\n  %h\n";
    EXPECT_EQ(rendered(text), text);
}

TEST(Template, RepeatsLinesForEachItem) {
    EXPECT_EQ(rendered("%% syntax word\n%% for n in nodes\n{{ n.name }}:\n  %% for p in n.ports\n  {{ p }}\n  %% "
                       "end\n%% end\nz\n"),
              "n1:\n  1\n  2\nn2:\nz\n");
}

TEST(Template, ANameOfALoopHidesAnOuterOne) {
    EXPECT_EQ(rendered("%% syntax word\n%% for name in words\n{{ name }}\n%% end\n{{ name }}\n"), "a\nb\nmaster-1\n");
}

TEST(Template, ChoosesByFlagsTextsAndLists) {
    const auto chosen = [](const std::string& name) { return rendered("%% if " + name + "\n1\n%% else\n0\n%% end\n"); };
    EXPECT_EQ(chosen("yes"), "1\n");
    EXPECT_EQ(chosen("no"), "0\n");
    EXPECT_EQ(chosen("not yes"), "0\n");
    EXPECT_EQ(chosen("not no"), "1\n");
    EXPECT_EQ(chosen("empty"), "0\n");
    EXPECT_EQ(chosen("name"), "1\n");
    EXPECT_EQ(chosen("none"), "0\n");
    EXPECT_EQ(chosen("words"), "1\n");
}

TEST(Template, DoesNotLookAtPlaceholdersOfAPartThatIsLeftOut) {
    EXPECT_EQ(rendered("%% syntax word\n%% if no\n{{ nothing.like.it }}\n%% for x in nothing\n%% end\n%% end\nz\n"),
              "z\n");
    EXPECT_EQ(rendered("%% syntax word\n%% for x in none\n{{ nothing }}\n%% if x.up\n%% else\n%% end\n%% end\nz\n"),
              "z\n");
}

TEST(Template, TheFirstLineCanLeaveTheFileOut) {
    bool left_out = false;
    EXPECT_EQ(render("%% only if no\n{{ nothing }}\n", "t", values, &left_out), "");
    EXPECT_TRUE(left_out);
    EXPECT_EQ(render("%% only if not no\nx\n", "t", values, &left_out), "x\n");
    EXPECT_FALSE(left_out);
}

TEST(Template, AMissingLastLineFeedIsAdded) {
    EXPECT_EQ(rendered("x"), "x\n");
    EXPECT_EQ(rendered(""), "");
}

TEST(Template, RefusesWithFileAndLine) {
    const std::string word = "%% syntax word\n";
    EXPECT_EQ(problem(word + "ok\n{{ nmae }}\n"), "t:3: unknown name \"nmae\"");
    EXPECT_EQ(problem(word + "{{ node.nmae }}\n"), "t:2: unknown name \"node.nmae\"");
    EXPECT_EQ(problem(word + "{{ name.length }}\n"), "t:2: unknown name \"name.length\"");
    EXPECT_EQ(problem(word + "{{ }}\n"), "t:2: unknown name \"\"");
    EXPECT_EQ(problem(word + "{{ name\n"), "t:2: {{ without }}");
    EXPECT_EQ(problem("{{ name }}\n"), "t:1: a placeholder before %% syntax");
    EXPECT_EQ(problem("%% fro x in words\n"), "t:1: unknown directive \"fro\", use only, syntax, for, if, else or end");
    EXPECT_EQ(problem("%%\n"), "t:1: unknown directive \"\", use only, syntax, for, if, else or end");
    EXPECT_EQ(problem("%% syntax json\n"), "t:1: unknown syntax \"json\", use yaml, shell, word or line");
    EXPECT_EQ(problem("%% syntax\n"), "t:1: write %% syntax yaml, shell, word or line");
    EXPECT_EQ(problem("x\n%% only if yes\n"), "t:2: %% only if must be the first line");
    EXPECT_EQ(problem("%% only yes\n"), "t:1: write %% only if NAME or %% only if not NAME");
    EXPECT_EQ(problem("%% only if\n"), "t:1: write %% only if NAME or %% only if not NAME");
    EXPECT_EQ(problem("%% only if what\n"), "t:1: unknown name \"what\"");
}

TEST(Template, RefusesBlocksThatDoNotFit) {
    EXPECT_EQ(problem("a\n%% if yes\nx\n"), "t:2: %% if yes has no %% end");
    EXPECT_EQ(problem("%% for x in words\nx\n"), "t:1: %% for x in words has no %% end");
    EXPECT_EQ(problem("%% for x in none\nx\n"), "t:1: %% for x in none has no %% end");
    EXPECT_EQ(problem("%% if no\n%% else\nx\n"), "t:2: %% else has no %% end");
    EXPECT_EQ(problem("x\n%% end\n"), "t:2: %% end without its %% if or %% for");
    EXPECT_EQ(problem("%% else\n"), "t:1: %% else without its %% if");
    EXPECT_EQ(problem("%% if yes\n%% else\n%% else\n%% end\n"), "t:3: %% else without its %% if");
    EXPECT_EQ(problem("%% for x in words\n%% else\n%% end\n"), "t:2: %% else without its %% if");
    EXPECT_EQ(problem("%% for x of words\n%% end\n"), "t:1: write %% for X in NAME");
    EXPECT_EQ(problem("%% for x in name\n%% end\n"), "t:1: \"name\" is not a list");
    EXPECT_EQ(problem("%% if\n%% end\n"), "t:1: write %% if NAME or %% if not NAME");
    EXPECT_EQ(problem("%% if yes or no\n%% end\n"), "t:1: write %% if NAME or %% if not NAME");
    EXPECT_EQ(problem("%% if port\n%% end\n"),
              "t:1: \"port\" is neither yes or no, a list nor a text: it cannot be asked");
}

TEST(Template, RefusesAValueOfTheWrongKind) {
    EXPECT_EQ(problem("%% syntax word\n{{ words }}\n"), "t:2: \"words\" is a list: use %% for");
    EXPECT_EQ(problem("%% syntax word\n{{ node }}\n"), "t:2: \"node\" has fields: use one, as in {{ node.name }}");
    EXPECT_EQ(problem("%% syntax word\n{{ yes }}\n"), "t:2: \"yes\" is yes or no: use %% if");
}

TEST(Template, AYamlValueIsOneQuotedScalarWhateverItHolds) {
    EXPECT_EQ(rendered("%% syntax yaml\na: {{ evil }}\n"), "a: \"x\\\" # {{ name }}\\x0a%% end\\x0a$(reboot)'\\\\\"\n");
    EXPECT_EQ(
        rendered(
            "%% syntax yaml\na: {{ port }}\nb: {{ yes }}\n- {{ name }}\n{{ name }}: [{{ name }}, {{ empty }}] # c\n"),
        "a: 6443\nb: true\n- \"master-1\"\n\"master-1\": [\"master-1\", \"\"] # c\n");
}

TEST(Template, AYamlValueIsNeverAPartOfAnother) {
    const std::string text = "a placeholder in YAML must be a whole value, not a part of one";
    EXPECT_EQ(problem("%% syntax yaml\na: https://{{ name }}\n"), "t:2: " + text);
    EXPECT_EQ(problem("%% syntax yaml\na: {{ name }}:9000\n"), "t:2: " + text);
    EXPECT_EQ(problem("%% syntax yaml\na: \"{{ name }}\"\n"), "t:2: " + text);
    EXPECT_EQ(problem("%% syntax yaml\na: {{ name }} b\n"), "t:2: " + text);
}

TEST(Template, AShellValueIsInSingleQuotesAndOutsideOthers) {
    EXPECT_EQ(rendered("%% syntax shell\nA={{ name }}\n"), "A='master-1'\n");
    const Value::Group quote = {{"v", "it's $(reboot) `id` \\ \""}};
    EXPECT_EQ(render("%% syntax shell\nA={{ v }} \"b\" {{ v }}\n", "t", quote),
              "A='it'\\''s $(reboot) `id` \\ \"' \"b\" 'it'\\''s $(reboot) `id` \\ \"'\n");
    const std::string text = "t:2: a placeholder in a shell file must stand outside quotes";
    EXPECT_EQ(problem("%% syntax shell\nA=\"{{ name }}\"\n"), text);
    EXPECT_EQ(problem("%% syntax shell\nA='{{ name }}'\n"), text);
    EXPECT_EQ(problem("%% syntax shell\nA=`{{ name }}`\n"), text);
    EXPECT_EQ(
        problem("%% syntax shell\nA={{ evil }}\n"),
        "t:2: \"evil\" is \"x\" # {{ name }}\\x0a%% end\\x0a$(reboot)'\\\": a control character cannot stand here");
}

TEST(Template, AWordIsMadeOfHarmlessCharacters) {
    for (const char* bad : {"a b", "a\nb", "a\"", "a#", "a{", "a;", "$(a)", "a\\", "%i", "a'", "", "a*", "\xc3\xa9"}) {
        EXPECT_THROW((void)render("%% syntax word\n{{ v }}\n", "t", {{"v", bad}}), Error) << bad;
    }
    EXPECT_EQ(render("%% syntax word\n{{ v }}\n", "t", {{"v", "aZ09._:/,@+=~-"}}), "aZ09._:/,@+=~-\n");
    EXPECT_EQ(problem("%% syntax word\n{{ empty }}\n"),
              "t:2: \"empty\" is \"\": only letters, digits and ._:/,@+=~- can stand here");
}

TEST(Template, ALineStaysOneLine) {
    EXPECT_EQ(render("%% syntax line\n{{ v }}\n", "t", {{"v", "ssh-ed25519 AAA me \"x\" {{ y }}"}}),
              "ssh-ed25519 AAA me \"x\" {{ y }}\n");
    EXPECT_THROW((void)render("%% syntax line\n{{ v }}\n", "t", {{"v", "a\nb"}}), Error);
}

TEST(Template, AnErrorCannotMoveTheTerminal) {
    EXPECT_EQ(problem("%% syntax word\n{{ escape }}\n"),
              "t:2: \"escape\" is \"\\x1b[2J\": only letters, digits and ._:/,@+=~- can stand here");
}

class Overlay : public testing::Test {
  protected:
    void write(const std::string& path, const std::string& content) const { scratch_.write("any/" + path, content); }

    [[nodiscard]] FileTree read() const {
        FileTree tree;
        read_overlay(folder(), "overlays/any", values, tree);
        return tree;
    }

    [[nodiscard]] std::string problem() const {
        try {
            (void)read();
            return "no error";
        } catch (const Error& error) {
            return error.what();
        }
    }

    [[nodiscard]] std::filesystem::path folder() const { return scratch_ / "any"; }

  private:
    Scratch scratch_;
};

TEST_F(Overlay, MirrorsTheFolder) {
    write("etc/plain", "{{ not a template }}\n");
    write("etc/hostname.in", "%% syntax word\n{{ name }}\n");
    write("bin/tool", "#!/bin/sh\n");
    write("etc/empty", "");
    chmod((folder() / "bin/tool").c_str(), 0700);
    std::filesystem::create_symlink("../x.service", folder() / "etc/link");
    const FileTree tree = read();
    EXPECT_EQ(tree.files().size(), 5U);
    EXPECT_EQ(tree.find("/etc/plain")->content, "{{ not a template }}\n");
    EXPECT_EQ(tree.find("/etc/plain")->mode, 0644U);
    EXPECT_EQ(tree.find("/etc/hostname")->content, "master-1\n");
    EXPECT_EQ(tree.find("/etc/hostname")->origin, "overlays/any/etc/hostname.in");
    EXPECT_EQ(tree.find("/bin/tool")->mode, 0755U);
    EXPECT_EQ(tree.find("/etc/empty")->content, "");
    EXPECT_EQ(tree.find("/etc/link")->kind, FileKind::symlink);
    EXPECT_EQ(tree.find("/etc/link")->content, "../x.service");
}

TEST_F(Overlay, LeavesOutWhatOnlyIfLeavesOut) {
    write("etc/a.in", "%% only if no\nx\n");
    write(".modes", "0600 root root /etc/a\n");
    EXPECT_TRUE(read().files().empty());
}

TEST_F(Overlay, TakesModesAndOwnersAndMakesFolders) {
    write("etc/a", "x\n");
    write(".modes", "# why\n\n0440 root adm /etc/a\n0750 root etcd /etc/etcd/pki/\n");
    const FileTree tree = read();
    EXPECT_EQ(tree.find("/etc/a")->mode, 0440U);
    EXPECT_EQ(tree.find("/etc/a")->group, "adm");
    EXPECT_EQ(tree.find("/etc/etcd/pki")->kind, FileKind::directory);
    EXPECT_EQ(tree.find("/etc/etcd/pki")->mode, 0750U);
    EXPECT_EQ(tree.find("/.modes"), nullptr);
}

TEST_F(Overlay, RefusesAModeWithoutItsFile) {
    write("etc/a", "x\n");
    write(".modes", "0440 root root /etc/a\n0440 root root /etc/b\n");
    EXPECT_EQ(problem(), "overlays/any/.modes:2: no file \"/etc/b\" in this overlay");
}

TEST_F(Overlay, RefusesAModeLineThatIsNone) {
    for (const char* line : {"440 root root /etc/a", "0999 root root /etc/a", "0440 root /etc/a",
                             "0440 root root etc/a", "0440 root root /etc/a more"}) {
        write("etc/a", "x\n");
        write(".modes", line);
        EXPECT_EQ(problem(),
                  "overlays/any/.modes:1: write MODE USER GROUP PATH, as in 0440 root root /etc/sudoers.d/makina")
            << line;
    }
}

TEST_F(Overlay, NamesTheFileAndLineOfAWrongTemplate) {
    write("etc/a.in", "%% syntax word\n\n{{ what }}\n");
    EXPECT_EQ(problem(), "overlays/any/etc/a.in:3: unknown name \"what\"");
}

TEST_F(Overlay, RefusesAFolderThatIsNotThere) {
    EXPECT_EQ(problem(), "overlays/any: no such folder at " + folder().string());
}

}  // namespace
}  // namespace makina
