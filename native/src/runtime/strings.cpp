// strings: arrays of strings in model files, which have 400,000 of them.

#include <stdint.h>
#include <string.h>

#include "llmpy.h"

int64_t llmpy_strings(const unsigned char* data, int64_t size, int64_t count, int64_t longest, unsigned char* text) {
    int64_t at = 0;
    for (int64_t i = 0; i < count; ++i) {
        if (size - at < 8) return -1;
        uint64_t length = 0;
        for (int byte = 7; byte >= 0; --byte) length = length << 8 | data[at + byte];
        at += 8;
        if (length > static_cast<uint64_t>(size - at) || length > static_cast<uint64_t>(longest)) return -1;
        const auto n = static_cast<size_t>(length);
        if (text == nullptr) {
            if (n > 0 && memchr(data + at, 0, n) != nullptr) return -1;
        } else {
            if (n > 0) memcpy(text, data + at, n);
            text[n] = 0;
            text += n + 1;
        }
        at += static_cast<int64_t>(n);
    }
    return at;
}

void llmpy_string_hashes(const unsigned char* text, int64_t size, uint64_t* hashes) {
    constexpr uint64_t basis = 0xcbf29ce484222325u, prime = 0x100000001b3u;
    uint64_t hash = basis;
    for (int64_t i = 0; i < size; ++i) {
        if (text[i] == 0) {
            *hashes++ = hash;
            hash = basis;
        } else {
            hash = (hash ^ text[i]) * prime;
        }
    }
}
