// verify here|confined ROUNDS FOLDER opens FOLDER/bundle, in this process or as the daemon does it in a confined child,
// and prints the median of the milliseconds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "firstboot/bundle/sealed.hpp"

namespace {

std::string content_of(const std::string& file) {
    std::stringstream content;
    content << std::ifstream(file, std::ios::binary).rdbuf();
    return content.str();
}

template <typename Open>
double median_ms(int rounds, Open open) {
    std::vector<double> times;
    for (int i = 0; i < rounds; ++i) {
        const auto start = std::chrono::steady_clock::now();
        open();
        times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
    return times[static_cast<std::size_t>(rounds / 2)];
}

}  // namespace

int main(int, char** arguments) {
    const bool confined = std::string(arguments[1]) == "confined";
    const std::string folder = arguments[3];
    const std::string sealed = content_of(folder + "/bundle");
    const makina::Trust trust = makina::decode_trust(content_of(folder + "/trust"));
    std::printf("%.3f\n", median_ms(std::stoi(arguments[2]), [&] {
                    (void)(confined ? makina::open_sealed_confined(sealed, trust) : makina::open_sealed(sealed, trust));
                }));
}
