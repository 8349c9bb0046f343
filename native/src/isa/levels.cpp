#include <stdint.h>
#include <string.h>

#include "llmpy.h"
#include "llmpy/ops.h"
#include "llmpy/os.h"

#if defined(__x86_64__) || defined(_M_X64)
#define LLMPY_X86 1
#include <cpuid.h>
#endif

namespace llmpy {
namespace {

#if defined(LLMPY_X86)

struct Registers {
    unsigned a, b, c, d;
};

Registers cpuid(unsigned leaf, unsigned part) {
    Registers r{};
    if (__get_cpuid_count(leaf, part, &r.a, &r.b, &r.c, &r.d) == 0) return Registers{};
    return r;
}

bool has(unsigned word, int bit) { return (word >> bit & 1u) != 0; }

// What the operating system saves when it switches threads: a vector register it does not save must not be used.
uint64_t saved_state() {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return static_cast<uint64_t>(high) << 32 | low;
}

}  // namespace

bool x86_has_avx2() {
    const Registers one = cpuid(1, 0), seven = cpuid(7, 0);
    const bool instructions =
        has(one.c, 12) && has(one.c, 28) && has(one.c, 29) && has(seven.b, 5);  // fma avx f16c avx2
    return has(one.c, 27) && instructions && (saved_state() & 0x06u) == 0x06u;
}

bool x86_has_avx512bw() {
    const Registers seven = cpuid(7, 0);
    const bool foundation = has(seven.b, 16) && has(seven.b, 17) && has(seven.b, 30) && has(seven.b, 31);  // f dq bw vl
    return x86_has_avx2() && foundation && (saved_state() & 0xe6u) == 0xe6u;
}

namespace {

[[maybe_unused]] bool runs_avx2() { return x86_has_avx2(); }

[[maybe_unused]] bool runs_avx_vnni() { return x86_has_avx2() && cpuid(7, 0).a >= 1 && has(cpuid(7, 1).a, 4); }

[[maybe_unused]] bool runs_avx512bw() { return x86_has_avx512bw(); }

[[maybe_unused]] bool runs_avx512() { return x86_has_avx512bw() && has(cpuid(7, 0).c, 11); }  // vnni

[[maybe_unused]] bool runs_amx() {
    const unsigned d = cpuid(7, 0).d;
    const bool instructions = has(d, 24) && has(d, 25);  // tile int8
    return runs_avx512() && instructions && (saved_state() & 0x60000u) == 0x60000u && x86_may_use_tiles();
}

#elif defined(__aarch64__)

bool runs_neon() { return arm_has_dot_product(); }
bool runs_neon_i8mm() { return arm_has_dot_product() && arm_has_matrix_product(); }

#endif

bool runs_portable() { return true; }

struct Entry {
    const Level* level;
    bool (*runs_here)();
};

#define LLMPY_LEVEL(name) {&level_##name, runs_##name},
const Entry levels[] = {LLMPY_LEVELS};  // of this build: CMakeLists.txt
#undef LLMPY_LEVEL

}  // namespace

const Level* level_of(int32_t number) {
    constexpr int32_t n = sizeof levels / sizeof levels[0];
    return number >= 0 && number < n ? levels[number].level : nullptr;
}

bool level_runs_here(int32_t number) { return level_of(number) != nullptr && levels[number].runs_here(); }

// Measured (LOG.md): AMD's family 26 (Zen 5) and Intel's Granite Rapids read packed weights at half to two thirds of their
// memory's speed unless instructions fetch them; AMD's family 25 (Zen 4) at all of it, and such instructions slow it down.
bool fetches_too_little() {
#if defined(LLMPY_X86)
    const Registers vendor = cpuid(0, 0), signature = cpuid(1, 0);
    const unsigned family = (signature.a >> 8 & 15u) + (signature.a >> 20 & 255u);
    const unsigned model = (signature.a >> 4 & 15u) + (signature.a >> 12 & 0xf0u);
    if (memcmp(&vendor.c, "cAMD", 4) == 0) return family >= 26;
    return memcmp(&vendor.c, "ntel", 4) == 0 && family == 6 && (model == 173 || model == 174);
#else
    return false;
#endif
}

}  // namespace llmpy

extern "C" {

const char* llmpy_level_name(int32_t number) {
    const llmpy::Level* level = llmpy::level_of(number);
    return level == nullptr ? nullptr : level->name;
}

int32_t llmpy_level_runs_here(int32_t number) { return llmpy::level_runs_here(number) ? 1 : 0; }

int32_t llmpy_abi_version(void) { return LLMPY_ABI_VERSION; }
}
