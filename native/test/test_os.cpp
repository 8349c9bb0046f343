// Memory of the system: aligned, zeros, and no more of it given back than was taken.

#include <string.h>

#include "check.h"
#include "llmpy/os.h"

#if !defined(_WIN32)
#include <sys/mman.h>
#include <unistd.h>
#endif

using namespace llmpy;

namespace {

void memory_is_zeroed_and_aligned() {
    const int64_t sizes[] = {1, 64, 4096, (2 << 20) - 1, 2 << 20, (5 << 20) + 123};
    for (const int64_t bytes : sizes) {
        auto* const memory = static_cast<unsigned char*>(allocate(static_cast<size_t>(bytes)));
        CHECK(memory != nullptr && reinterpret_cast<uintptr_t>(memory) % 64 == 0, "%lld bytes", (long long)bytes);
        if (memory == nullptr) continue;
        int64_t wrong = 0;
        for (int64_t i = 0; i < bytes; ++i) wrong += memory[i] != 0;
        CHECK(wrong == 0, "%lld bytes of %lld", (long long)wrong, (long long)bytes);
        memset(memory, 1, static_cast<size_t>(bytes));
        release(memory, static_cast<size_t>(bytes));
    }
    CHECK(allocate(~size_t{0} - 5) == nullptr, "more memory than there can be");
}

#if !defined(_WIN32)

// The system puts a new mapping right below the last one: with neighbours of one page, blocks begin at every distance from
// a huge page's boundary.
void neighbours_stay() {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    constexpr int most = 1500;
    static void* neighbours[most];
    for (auto& neighbour : neighbours) {
        neighbour = mmap(nullptr, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        const size_t bytes = (size_t{2} << 20) + page;
        release(allocate(bytes), bytes);
    }
    int gone = 0;
    for (void* neighbour : neighbours) gone += msync(neighbour, page, MS_ASYNC) != 0;
    CHECK(gone == 0, "%d of %d", gone, most);
    for (void* neighbour : neighbours) munmap(neighbour, page);
}

#endif

}  // namespace

int main() {
    memory_is_zeroed_and_aligned();
#if !defined(_WIN32)
    neighbours_stay();
#endif
    return n_failures == 0 ? 0 : 1;
}
