#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "firstboot/bundle/trust.hpp"
#include "firstboot/bundle/validity.hpp"
#include "firstboot/status.hpp"

namespace makina {

/// Who may read a file, and who owns it; names, as the node's /etc/passwd has them.
struct Access {
    std::uint32_t mode = 0644;
    std::string user = "root";
    std::string group = "root";
    bool operator==(const Access&) const = default;
};

/// What a path is, without following a symbolic link.
struct PathFacts {
    enum class Kind { regular, directory, symlink, other } kind = Kind::regular;
    std::uint64_t size = 0;
    std::int64_t modified = 0;  ///< seconds since 1970
    Access access;
};

/// What a program said.
struct Answer {
    int status = 0;  ///< exit code, 128 + signal, or 127 if there is no such program
    std::string output;
    std::string errors;
};

/// A wired network interface: neither loopback, nor radio, nor made by software.
struct Interface {
    std::string name;
    std::string mac;  ///< lower-case aa:bb:cc:dd:ee:ff
    bool carrier = false;
    std::vector<std::string> addresses;  ///< IPv4 with prefix length
};

/// The card that the root file system is on. Sizes and places in sectors of 512 bytes.
struct Disk {
    std::string name;  ///< "mmcblk0", for messages
    std::uint64_t sectors = 0;
    std::string table;               ///< the first 512 bytes
    int root_partition = 0;          ///< from 1
    std::uint64_t root_sectors = 0;  ///< of the partition as the kernel has it
    /// Of the file system in it; as large as the partition if what is left of it is too little for ext4 to use.
    std::uint64_t file_system_sectors = 0;
    std::vector<int> partitions;  ///< as the kernel has them
};

/// The name of a bundle that is handed over, on a stick or on the boot partition.
inline constexpr const char* delivery_name = "makina.bundle";

/// A bundle that somebody has handed over: on the boot partition or on a stick.
struct Delivery {
    std::string place;  ///< for people and for take_delivery: "/boot/firmware/makina.bundle"
    std::string bytes;  ///< at most Bundle::largest; empty if it is larger or cannot be read
};

/// With what TLS is spoken: PEM files by their paths on the node.
struct Credentials {
    std::string authority;    ///< who must have signed the other side's certificate
    std::string certificate;  ///< ours, for both directions
    std::string key;
    bool operator==(const Credentials&) const = default;
};

/// The TCP port at which nodes tell each other their statements.
inline constexpr std::uint16_t peers_port = 6481;

/// One question by HTTP to a numeric address.
struct Request {
    std::string address;  ///< IPv4
    std::uint16_t port = 0;
    std::string target;                          ///< "/health"
    std::string body = {};                       ///< JSON to post; empty: GET
    std::optional<Credentials> tls = {};         ///< nothing: plain HTTP
    std::string name = {};                       ///< whom the other certificate must name; empty: the address
    std::uint32_t milliseconds = 2000;           ///< for everything, from connecting to the last byte
    std::size_t largest = std::size_t{1} << 20;  ///< bytes of the answer
};

/// What became of a question.
struct Response {
    int status = 0;          ///< HTTP's; 0: no whole answer by whom we asked for
    std::string body;        ///< whole, or empty
    std::string fault;       ///< without a status, why: "connection refused"
    bool connected = false;  ///< somebody took the connection, whoever it was
};

/// How the node looks from outside: each has its own pattern of the ACT light.
enum class Light { working, waiting, refused, failed, joined };

/// Everything that a stage may do to the machine, and all that it may ask. One real one (firstboot/machine) and one for
/// tests that keeps a machine in memory and can end at every change. Paths are absolute on the node. Everything that
/// changes is durable when it returns. All throw Error.
class Host {
  public:
    Host() = default;
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;
    virtual ~Host() = default;

    // Files.
    /// The content of a regular file, nothing if there is none. Throws Error if it has more than `cap` bytes.
    [[nodiscard]] virtual std::optional<std::string> read(const std::string& path, std::size_t cap) = 0;
    [[nodiscard]] virtual std::optional<PathFacts> look(const std::string& path) = 0;
    /// Names in a folder, sorted; empty if there is none.
    [[nodiscard]] virtual std::vector<std::string> list(const std::string& path) = 0;
    /// Writes beside, syncs, renames, syncs the folder: the old file or the new one, whatever happens. Folders above
    /// are made (0755, or 0700 if the file is not for others).
    virtual void write(const std::string& path, const std::string& content, const Access& access) = 0;
    /// The same for a secret: what was there is overwritten with zeros as soon as the new file is durable. What a power
    /// cut leaves of it lies beside, for clear_beside.
    virtual void replace(const std::string& path, const std::string& content, const Access& access) = 0;
    /// Overwrites and removes what a power cut has left beside a file that was written; nothing is fine.
    virtual void clear_beside(const std::string& path) = 0;
    /// Removes a file; none is fine.
    virtual void remove(const std::string& path) = 0;
    /// Overwrites a file, and what lies beside, with zeros, syncs, removes it and syncs the folder; none is fine.
    virtual void wipe(const std::string& path) = 0;
    /// Gives a file or folder another name in the same folder: "/var/lib/etcd/default", "default.old-1". Throws Error
    /// if that name is taken; nothing to rename is fine.
    virtual void rename(const std::string& path, const std::string& name) = 0;
    /// Makes durable what a program has left in a folder: its regular files, and its names. No folder is fine.
    virtual void sync(const std::string& path) = 0;
    /// Tells the card which blocks are free, so that it forgets what was in them. Does nothing if the card cannot.
    virtual void trim() = 0;

    /// Bytes that root may still write to the root file system.
    [[nodiscard]] virtual std::uint64_t free_bytes() = 0;

    // Programs.
    /// Runs a program to its end, for at most `seconds`; argv[0] is looked up in the node's usual folders.
    virtual Answer run(const std::vector<std::string>& argv, unsigned seconds) = 0;
    /// Tells a running service that systemd calls notify-reload to read its settings anew, as `systemctl reload` does,
    /// in no time; false if there is no such service.
    [[nodiscard]] virtual bool reload(const std::string& service) = 0;

    // Time.
    [[nodiscard]] virtual Moment moment() = 0;
    /// Sets the clock forward; never back.
    virtual void set_clock(std::int64_t seconds) = 0;
    /// Seconds since power-on, from a clock that never jumps.
    [[nodiscard]] virtual std::int64_t uptime() = 0;
    /// Waits; false if the daemon has been asked to end.
    [[nodiscard]] virtual bool wait(unsigned seconds) = 0;
    /// Waits a tenth of a second, for what comes within moments.
    virtual void pause() = 0;

    // The board.
    [[nodiscard]] virtual std::string architecture() = 0;  ///< Debian's name: "arm64"
    [[nodiscard]] virtual std::string model() = 0;         ///< "Raspberry Pi 4 Model B Rev 1.4"; empty if unknown
    [[nodiscard]] virtual std::string serial() = 0;        ///< 16 hex digits; empty if it has none
    [[nodiscard]] virtual std::string random(std::size_t bytes) = 0;
    /// Sets the kernel's host name.
    virtual void set_hostname(const std::string& name) = 0;

    // Network.
    [[nodiscard]] virtual std::vector<Interface> interfaces() = 0;
    /// Asks the network who has the address (ARP probes as RFC 5227, sender 0.0.0.0); the MAC of another machine that
    /// answers, or nothing. Less than a second.
    [[nodiscard]] virtual std::optional<std::string> probe(const std::string& interface,
                                                           const std::string& address) = 0;

    /// Asks all of them at the same time; answers in the order of the questions. What goes wrong is in the answer.
    /// Throws Error only if our own certificate or key cannot be read.
    [[nodiscard]] virtual std::vector<Response> fetch(const std::vector<Request>& requests) = 0;
    /// From now on tells `statement` to every node of the cluster that asks at `address` and peers_port, by TLS with
    /// certificates on both sides.
    virtual void answer_peers(const std::string& address, const Credentials& tls, const std::string& statement) = 0;

    // The card.
    [[nodiscard]] virtual Disk disk() = 0;
    /// Writes the first sector (one sector: all or nothing) and syncs it.
    virtual void write_table(const std::string& sector) = 0;
    /// Tells the kernel where a partition is now; makes it known if it was not.
    virtual void tell_partition(int number, std::uint64_t start, std::uint64_t sectors) = 0;
    /// Grows the mounted root file system to its partition.
    virtual void grow_root() = 0;

    // Bundles.
    [[nodiscard]] virtual Opened open_bundle(const std::string& sealed, const Trust& trust) = 0;
    /// Bundles that lie on the boot partition or on a stick.
    [[nodiscard]] virtual std::vector<Delivery> deliveries() = 0;
    /// Wipes a delivery where it lies.
    virtual void wipe_delivery(const Delivery& delivery) = 0;

    // People.
    /// One line in the journal and on the console; printable, without a newline.
    virtual void say(const std::string& line) = 0;
    /// The status, for the socket, the file and the page.
    virtual void publish(const Status& status) = 0;
    virtual void show(Light light) = 0;
};

}  // namespace makina
