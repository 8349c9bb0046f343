// Loads the library as Python does, by its path, and calls what needs no model: for platforms whose Python is not at hand.

#include <stdio.h>
#include <string.h>

#include "llmpy.h"

#if defined(_WIN32)
#include <windows.h>
#define OPEN(path) (void*)LoadLibraryA(path)
#define SYMBOL(library, name) (void*)GetProcAddress((HMODULE)library, name)
#else
#include <dlfcn.h>
#define OPEN(path) dlopen(path, RTLD_NOW | RTLD_LOCAL)
#define SYMBOL(library, name) dlsym(library, name)
#endif

static void* library;
static int failures;

static void* find(const char* name) {
    void* const symbol = SYMBOL(library, name);
    if (symbol == NULL) {
        printf("no function %s\n", name);
        ++failures;
    }
    return symbol;
}

#define FUNCTION(name) __typeof__(name)* const its_##name = (__typeof__(name)*)find(#name)

int main(int count, char** arguments) {
    if (count != 2 || (library = OPEN(arguments[1])) == NULL) {
        printf("cannot load %s\n", count == 2 ? arguments[1] : "(give its path)");
        return 1;
    }
    FUNCTION(llmpy_abi_version);
    FUNCTION(llmpy_level_name);
    FUNCTION(llmpy_level_runs_here);
    FUNCTION(llmpy_read_bandwidth);
    FUNCTION(llmpy_allocate);
    FUNCTION(llmpy_release);
    FUNCTION(llmpy_quantize);
    if (failures > 0) return 1;
    if (its_llmpy_abi_version() != LLMPY_ABI_VERSION) {
        printf("interface %d, expected %d\n", its_llmpy_abi_version(), LLMPY_ABI_VERSION);
        return 1;
    }
    for (int i = 0; its_llmpy_level_name(i) != NULL; ++i) {
        printf("%s %s\n", its_llmpy_level_name(i), its_llmpy_level_runs_here(i) ? "runs here" : "does not run here");
    }
    enum { values = 4096, f32 = 0, q8_0 = 8 };  // GGUF's numbers of types
    static float numbers[values];
    static unsigned char blocks[2][values / 32 * 34];
    for (int i = 0; i < values; ++i) numbers[i] = (float)((i * 7919) % 2003) / 1001.0f - 1.0f;
    for (int i = 0; its_llmpy_level_name(i) != NULL; ++i) {
        if (!its_llmpy_level_runs_here(i)) continue;
        double sums[2];
        if (its_llmpy_quantize(i, f32, q8_0, numbers, values, values, NULL, blocks[i > 0], sums, 2) != 0) ++failures;
        if (i > 0 && memcmp(blocks[0], blocks[1], sizeof blocks[0]) != 0) ++failures;  // the same bits at every level
    }
    unsigned char* const memory = (unsigned char*)its_llmpy_allocate(4 << 20);
    if (memory == NULL || memory[(4 << 20) - 1] != 0) ++failures;
    its_llmpy_release(memory, 4 << 20);
    const double rate = its_llmpy_read_bandwidth(64 << 20, 2, 3);  // two threads, with all that wakes and ends them
    printf("reads %.1f GB/s\n", rate / 1e9);
    if (!(rate > 0)) ++failures;
    printf("%d failures\n", failures);
    return failures;
}
