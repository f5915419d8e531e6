#include "builder/rehearse/firstboot_questions.hpp"

#include <sstream>

#include "builder/rehearse/probe.hpp"
#include "firstboot/bundle/bundle.hpp"
#include "firstboot/status.hpp"

namespace makina {
namespace {

/// One that had to be started again has crashed.
constexpr const char* runs = R"sh(
systemctl show -p ActiveState,NRestarts makina-firstboot
systemctl is-active --quiet makina-firstboot && [ "$(systemctl show -p NRestarts --value makina-firstboot)" = 0 ]
)sh";

/// Waits for most of the minute that a question has, for what the node comes to on its own. Everything before the stage
/// at which it may wait is done.
constexpr const char* status = R"sh(
says() { case $text in *"$1"*) ;; *) return 1 ;; esac }
joined() { says '"state":"joined"'; }
waits() { says '"state":"waiting","stage":"'$last'"'; }
i=0
while [ $i -lt 26 ]; do
    text=$(makina-firstboot status --json)
    if joined || { [ "$alone" != yes ] && waits; }; then break; fi
    i=$((i + 1))
    sleep 2
done
echo "$text"
joined || waits || { echo "it is not as far as $last"; exit 1; }
says '"node":"'$node'","role":"'$role'"' || { echo "it is not $node, $role"; exit 1; }
joined || text=${text%%'{"name":"'$last'"'*}
! says '"done":false' || { echo "something before $last is not done"; exit 1; }
)sh";

constexpr const char* bundle = R"sh(
ls -l "$bundle"
case $(makina-firstboot status --json) in
    *'"state":"joined"'*) [ ! -e "$bundle" ] ;;
    *) [ "$(stat -c %F:%a:%u:%g "$bundle")" = 'regular file:600:0:0' ] ;;
esac
)sh";

/// Asked at the address that the daemon says it has, with what every Debian has.
constexpr const char* page = R"sh(
address=$(makina-firstboot status --json | sed 's|.*"address":"\([0-9.]*\).*|\1|')
page=$(bash -c 'exec 3<>"/dev/tcp/$0/$1" && printf "GET / HTTP/1.0\r\n\r\n" >&3 && cat <&3' "$address" "$port")
echo "$address: $page"
case $page in *' 200 OK'*'</html>'*) ;; *) exit 1 ;; esac
)sh";

/// ext4 leaves a group at its end unused that would be too small for its own tables: a few megabytes.
constexpr const char* grown = R"sh(
root=$(findmnt -no SOURCE /)
name=$(basename "$(readlink -f "$root")")
facts=$(dumpe2fs -h "$root" 2>/dev/null)
blocks=$(echo "$facts" | sed -n 's/^Block count: *//p')
bytes=$(echo "$facts" | sed -n 's/^Block size: *//p')
system=$((blocks * bytes / 1048576))
partition=$(($(cat "/sys/class/block/$name/size") / 2048))
echo "file system $system MiB, partition $partition MiB"
[ $((system + 16)) -ge $partition ]
)sh";

std::string with(const std::string& name, const std::string& value) {
    return name + '=' + shell_word(value) + '\n';
}

/// True if the node has to fetch packages; they come from the internet, which an emulated node has not.
bool lacks_packages(const Card& card) {
    if (!card.exists("/etc/makina/packages")) return false;
    std::istringstream lines(card.read_file("/etc/makina/packages"));
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty() && line.front() != '#') return true;
    }
    return false;
}

}  // namespace

std::vector<Question> firstboot_questions(const Card& card) {
    if (!card.exists("/usr/sbin/makina-firstboot")) return {};
    std::string facts = with("last", lacks_packages(card) ? "packages" : "join");
    const auto manifest = card.manifest();
    const std::string role = manifest ? manifest->role : "";
    const bool joins_alone = role == "load-balancer" || role == "gateway";
    facts +=
        with("node", manifest ? manifest->node : "") + with("role", role) + with("alone", joins_alone ? "yes" : "no");
    return {{"firstboot", runs},
            {"firstboot-status", facts + status},
            {"bundle", with("bundle", Bundle::path) + bundle},
            {"status-page", with("port", std::to_string(status_port)) + page},
            {"root-grown", grown}};
}

}  // namespace makina
