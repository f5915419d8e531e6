#include "builder/commands/bundle.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "builder/commands/cluster.hpp"
#include "builder/commands/keyring.hpp"
#include "builder/commands/recipient.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/payload.hpp"
#include "firstboot/bundle/sealed.hpp"
#include "firstboot/bundle/validity.hpp"

namespace makina {
namespace {

struct BundleOptions {
    std::filesystem::path profile;
    KeyringOptions keyring;
    std::string node;
    std::filesystem::path output = "makina.bundle";
    std::int64_t valid_days = default_valid_days;
    std::filesystem::path file;
    std::filesystem::path trust;
    bool json = false;
};

/// A bundle that was looked at: opened only if its seal is right.
struct Looked {
    std::size_t size = 0;
    std::string sha256;
    std::string against;  ///< whose keys it was verified with, for people
    std::string reason;   ///< why it was not believed; empty if it was
    Opened opened;
};

/// The size is looked at before anything is read.
std::string read_capped(const std::filesystem::path& file, std::size_t most) {
    if (!std::filesystem::is_regular_file(file)) throw Error(file.string() + " is no regular file");
    if (std::filesystem::file_size(file) > most) {
        throw Error(file.string() + " is larger than " + std::to_string(most) + " bytes");
    }
    std::ifstream stream(file, std::ios::binary);
    std::string content(most, '\0');
    stream.read(content.data(), static_cast<std::streamsize>(most));
    if (stream.bad() || !stream.is_open()) throw Error(file.string() + " cannot be read");
    content.resize(static_cast<std::size_t>(stream.gcount()));
    return content;
}

/// A folder of keys knows every node: whom the bundle is for is read when the seal has been found right.
Opened open_with_keys(const std::string& sealed, Trust trust) {
    const Bundle bundle = decode_bundle(verify_seal(sealed, trust).content);
    trust.node = bundle.node;
    trust.role = bundle.role;
    return open_sealed(sealed, trust);
}

std::filesystem::path folder_for(const BundleOptions& options) {
    if (!options.keyring.folder.empty()) return keys_folder_of("", options.keyring);
    return default_keys_folder(load_profile(profile_or_default(options.profile)).name);
}

Looked look_at(const BundleOptions& options) {
    Looked looked;
    const std::string sealed = read_capped(options.file, Bundle::largest);
    looked.size = sealed.size();
    looked.sha256 = sha256(sealed);
    try {
        if (!options.trust.empty()) {
            looked.against = options.trust.string();
            const Trust trust = decode_trust(read_capped(options.trust, Trust::largest));
            looked.against += " of " + trust.node;
            looked.opened = open_sealed(sealed, trust);
            return looked;
        }
        const std::filesystem::path folder = folder_for(options);
        looked.against = "the keys in " + folder.string();
        if (keys_folder(folder) == KeysFolder::missing) {
            looked.reason = "there are no keys: say --trust FILE or --keys FOLDER";
        } else {
            looked.opened = open_with_keys(sealed, trust_of_keys(folder));
        }
    } catch (const Untrusted& error) {
        looked.reason = error.what();
    }
    return looked;
}

std::string time_objection(const Opened& opened, std::int64_t now) {
    switch (judge(opened, {now, true})) {
        case Validity::valid:
            return "";
        case Validity::not_yet:
            return "it is not valid yet: issued " + date_of(opened.bundle.issued);
        case Validity::expired:
            return "it expired " + date_of(opened.bundle.expires);
    }
    throw Error("an unknown validity");
}

std::string genesis_of(const Bundle& bundle) {
    if (bundle.genesis.empty()) return "only joins";
    return bundle.genesis_again ? "may begin the cluster, an earlier card of this node could too"
                                : "may begin the cluster";
}

void print_line(const char* name, const std::string& value) {
    if (!value.empty()) std::cout << name << std::string(14 - std::string(name).size(), ' ') << value << '\n';
}

void print(const Looked& looked, const std::filesystem::path& file, std::int64_t now) {
    std::cout << file.string() << ": " << looked.size << " bytes, sha256 " << looked.sha256 << '\n';
    if (!looked.reason.empty()) {
        print_line("seal", "NOT VERIFIED against " + looked.against + ": " + looked.reason);
        std::cout << "nothing in it can be believed, so that nothing of it is shown\n";
        return;
    }
    const Bundle& bundle = looked.opened.bundle;
    print_line("seal", "verified against " + looked.against);
    print_line("signer", looked.opened.signer);
    print_line("cluster", bundle.cluster + " (" + bundle.cluster_id + ")");
    print_line("node", bundle.node + ", " + bundle.role);
    print_line("card", bundle.card);
    print_line("epoch", std::to_string(bundle.epoch));
    print_line("genesis", genesis_of(bundle));
    print_line("issued", date_of(bundle.issued));
    const std::string objection = time_objection(looked.opened, now);
    print_line("expires", date_of(bundle.expires) + (objection.empty() ? "" : ", " + objection));
    print_line("board", bundle.board + ", " + bundle.architecture);
    print_line("serial", bundle.serial);
    print_line("mac", bundle.mac);
    print_line("address", bundle.address + (bundle.interface.empty() ? "" : " on " + bundle.interface));
    print_line("api", bundle.api);
    print_line("spare", bundle.spare == 0 ? "" : std::to_string(bundle.spare) + " bytes");
    for (const Payload& payload : bundle.payloads) {
        const PayloadKind* const kind = payload_kind(bundle.role, payload.name);
        std::cout << "payload       " << payload.name << ", " << payload.content.size() << " bytes"
                  << (kind != nullptr && kind->secret ? ", secret" : "") << ", sha256 " << sha256(payload.content)
                  << '\n';
    }
}

void print_json(const Looked& looked, const std::filesystem::path& file, std::int64_t now) {
    using Json = nlohmann::ordered_json;
    Json json = {{"file", file.string()},
                 {"size", looked.size},
                 {"sha256", looked.sha256},
                 {"verified", looked.reason.empty()},
                 {"against", looked.against}};
    if (!looked.reason.empty()) {
        json["reason"] = looked.reason;
    } else {
        const Bundle& bundle = looked.opened.bundle;
        json["signer"] = looked.opened.signer;
        json["objection"] = time_objection(looked.opened, now);
        Json header = {{"cluster_id", bundle.cluster_id},
                       {"cluster", bundle.cluster},
                       {"node", bundle.node},
                       {"role", bundle.role},
                       {"card", bundle.card},
                       {"epoch", bundle.epoch},
                       {"issued", bundle.issued},
                       {"expires", bundle.expires},
                       {"architecture", bundle.architecture},
                       {"board", bundle.board},
                       {"serial", bundle.serial},
                       {"mac", bundle.mac},
                       {"address", bundle.address},
                       {"interface", bundle.interface},
                       {"api", bundle.api},
                       {"spare", bundle.spare},
                       {"genesis", bundle.genesis.empty() ? "none"
                                   : bundle.genesis_again ? "again"
                                                          : "first"}};
        json["bundle"] = std::move(header);
        json["payloads"] = Json::array();
        for (const Payload& payload : bundle.payloads) {
            json["payloads"].push_back(
                {{"name", payload.name}, {"size", payload.content.size()}, {"sha256", sha256(payload.content)}});
        }
    }
    // File names need not be UTF-8; JSON must be.
    std::cout << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

void require_folder(const std::filesystem::path& output) {
    const std::filesystem::path folder = output.has_parent_path() ? output.parent_path() : ".";
    std::error_code failed;
    if (!std::filesystem::is_directory(folder, failed)) {
        throw Mistake("--output " + output.string() + ": there is no folder " + folder.string());
    }
    if (access(folder.c_str(), W_OK | X_OK) != 0) {
        throw Mistake("--output " + output.string() + ": nothing can be written in the folder " + folder.string());
    }
}

int create(const BundleOptions& options) {
    if (options.valid_days < 1 || options.valid_days > 3650) throw Mistake("--valid-days is not from 1 to 3650");
    const Profile profile = load_profile(profile_or_default(options.profile));
    const Node& node = node_named(profile, options.node);
    // An epoch is used up by each bundle, so what can be refused is refused before.
    if (std::filesystem::exists(std::filesystem::symlink_status(options.output))) {
        throw Mistake(options.output.string() + " exists already: a bundle overwrites nothing");
    }
    require_folder(options.output);
    Keys keys = open_keys(profile.name, options.keyring);
    const Issued issued = keys.issue(recipient_of(profile, node), false, seconds_now(), options.valid_days * 86400,
                                     options.output.string());
    write_private(options.output, issued.sealed);
    std::cout << "bundle  " << options.output.string() << "\nfor     " << node.name << ", card " << issued.card
              << ", epoch " << issued.epoch << "\nexpires " << date_of(issued.expires)
              << "\nit has the node's private keys in it: put it on a USB stick or on the card's first partition as "
                 "makina.bundle, and wipe it here\n";
    return 0;
}

int show(const BundleOptions& options) {
    const Looked looked = look_at(options);
    options.json ? print_json(looked, options.file, seconds_now()) : print(looked, options.file, seconds_now());
    return looked.reason.empty() ? 0 : 1;
}

int verify(const BundleOptions& options) {
    const Looked looked = look_at(options);
    if (!looked.reason.empty()) {
        throw Untrusted(options.file.string() + " is not verified against " + looked.against + ": " + looked.reason);
    }
    const std::string objection = time_objection(looked.opened, seconds_now());
    if (!objection.empty()) throw Untrusted(options.file.string() + " has a good seal, but " + objection);
    const Bundle& bundle = looked.opened.bundle;
    std::cout << options.file.string() << ": verified against " << looked.against << "; for " << bundle.node << ", "
              << bundle.role << " of " << bundle.cluster << ", epoch " << bundle.epoch << ", until "
              << date_of(bundle.expires) << '\n';
    return 0;
}

void add_reading(CLI::App& command, BundleOptions& options) {
    command.add_option("file", options.file, "the sealed bundle")->required()->type_name("FILE");
    auto* const trust =
        command.add_option("--trust", options.trust, "verify as the card does that has this trust file")
            ->type_name("FILE");
    command
        .add_option("--keys", options.keyring.folder, "verify against these keys (default: ~/.config/makina/CLUSTER)")
        ->type_name("FOLDER")
        ->excludes(trust);
    command.add_option("--profile", options.profile, "the cluster's file (default: profiles/makina.yaml)")
        ->type_name("FILE");
}

}  // namespace

void add_bundle(CLI::App& app, int& exit_code) {
    const auto options = std::make_shared<BundleOptions>();
    CLI::App* const command = app.add_subcommand("bundle", "make or look at what a node is handed without a new card");
    command->require_subcommand(1);
    command->footer("Example: makina-image bundle create --role worker-1, then copy makina.bundle to a USB stick.");
    const auto add = [&](const char* name, const char* what, int (*work)(const BundleOptions&)) {
        CLI::App* const child = command->add_subcommand(name, what);
        child->callback([options, work, &exit_code] { exit_code = work(*options); });
        return child;
    };
    CLI::App* const creation = add("create", "seal a new bundle for the card that a node has", create);
    creation->add_option("--role,--node", options->node, "the node of the profile, such as worker-1")
        ->required()
        ->type_name("NODE");
    creation->add_option("--output", options->output, "the file (default: makina.bundle)")->type_name("FILE");
    creation->add_option("--valid-days", options->valid_days, "how long it may wait for the node (default: 365)")
        ->type_name("DAYS");
    creation->add_option("--profile", options->profile, "the cluster's file (default: profiles/makina.yaml)")
        ->type_name("FILE");
    add_keyring_options(*creation, options->keyring);
    CLI::App* const looking = add("show", "verify a bundle and tell what is in it, without its secrets", show);
    add_reading(*looking, *options);
    looking->add_flag("--json", options->json, "as JSON, for programs");
    add_reading(*add("verify", "exit code 0 if a node would believe it, else 1", verify), *options);
}

}  // namespace makina
