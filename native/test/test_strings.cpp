// Arrays of strings: what is found, and that nothing is read or written beyond what was declared.
#include "check.h"
#include "llmpy.h"

namespace {

using namespace llmpy;

constexpr int64_t kLongest = 1000;

int64_t found(const char* bytes, int64_t size, int64_t count) {
    Buffer<unsigned char> data(size);
    if (size > 0) memcpy(data.data, bytes, static_cast<size_t>(size));
    return llmpy_strings(data.data, size, count, kLongest, nullptr);
}

constexpr char two[] = "\3\0\0\0\0\0\0\0abc\0\0\0\0\0\0\0\0";
constexpr int64_t all = sizeof(two) - 1;

void strings_are_copied_with_a_nul_behind_each() {
    const int64_t n = found(two, all, 2);
    CHECK(n == 19, "%lld", static_cast<long long>(n));
    Buffer<unsigned char> text(n - 7 * 2);
    llmpy_strings(reinterpret_cast<const unsigned char*>(two), all, 2, kLongest, text.data);
    CHECK(memcmp(text.data, "abc\0\0", 5) == 0, "the text");
}

void what_reaches_over_the_end_is_refused() {
    CHECK(found(two, all, 3) == -1, "no third");
    for (int64_t size = 0; size < all; ++size) CHECK(found(two, size, 2) == -1, "%d bytes", static_cast<int>(size));
    CHECK(found("\377\377\377\377\377\377\377\377abc", 11, 1) == -1, "a length of 2^64 - 1");
    CHECK(found("\377\377\377\377\377\377\377\177abc", 11, 1) == -1, "a length of 2^63 - 1");
}

void what_is_too_long_or_holds_a_nul_is_refused() {
    Buffer<unsigned char> data(8 + kLongest + 1);
    memset(data.data, 'x', static_cast<size_t>(data.count));
    const unsigned char length[8] = {0xe9, 3};  // 1001
    memcpy(data.data, length, 8);
    CHECK(llmpy_strings(data.data, data.count, 1, kLongest, nullptr) == -1, "too long");
    CHECK(llmpy_strings(data.data, data.count, 1, kLongest + 1, nullptr) == data.count, "not too long");
    data.data[20] = 0;
    CHECK(llmpy_strings(data.data, data.count, 1, kLongest + 1, nullptr) == -1, "a NUL");
}

}  // namespace

int main() {
    strings_are_copied_with_a_nul_behind_each();
    what_reaches_over_the_end_is_refused();
    what_is_too_long_or_holds_a_nul_is_refused();
    return n_failures == 0 ? 0 : 1;
}
