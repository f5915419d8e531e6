#include <cstdio>

int main() {
    std::puts("makina-firstboot: not wired yet");
    return 1;
}
