// sample_list: the tokens that can still be chosen, and what the steps of a chain do with them.
//
// A list stays in id order from the first step to the draw. `scan` finds the maxima of its blocks,
// `weigh` the integer softmax of a block, `find_cut` the place where a selection ends, and `keep`
// makes the list smaller.
#ifndef LLMPY_SAMPLE_LIST_H
#define LLMPY_SAMPLE_LIST_H

#include <math.h>
#include <string.h>

#include "llmpy/sample.h"
#include "sample_bound.h"
#include "sample_weigh.h"

namespace {

constexpr int32_t kFew = 64;  // items that are cheaper to sort than to histogram

// One token under selection: `key` rises as the logit falls, then with the id; no two are equal.
struct Item {
    uint64_t key;
    int64_t weight;
};

struct Workspace {
    Item* items;          // [n_vocab]
    int64_t* block_sums;  // [n_blocks]
    float* logits;        // [n_vocab]
    int32_t* ids;         // [n_vocab]
    int32_t* counts;      // [n_vocab], all zero between uses
    int32_t* touched;     // [n_vocab]
    float* block_maxima;  // [n_blocks]
};

// The tokens that are left, in id order. Null `ids` means all of them: the id is the index.
struct List {
    const float* logits;
    const int32_t* ids;
    int32_t n;
    float max_logit;       // set by `scan`, as are the workspace's block_maxima
    const float* scanned;  // logits whose block_maxima were there before any scan; null: none
};

struct History {
    const int32_t* ids;
    int64_t n;
};

int32_t blocks_of(int32_t n) { return (n + kBlock - 1) / kBlock; }

int32_t block_length(const List& list, int32_t block) {
    const int32_t left = list.n - block * kBlock;
    return left < kBlock ? left : kBlock;
}

int32_t id_at(const List& list, int32_t index) { return list.ids ? list.ids[index] : index; }

uint64_t key_of(float logit, int32_t id) {
    const float positive_zero = logit + 0.0f;  // -0 and +0 are one value, so they need one key
    uint32_t bits;
    memcpy(&bits, &positive_zero, sizeof bits);
    const uint32_t rising = (bits >> 31) ? ~bits : bits | 0x80000000u;
    return ((uint64_t)(~rising) << 32) | (uint32_t)id;
}

float logit_of(uint64_t key) {
    const uint32_t rising = ~(uint32_t)(key >> 32);
    const uint32_t bits = (rising >> 31) ? rising & 0x7fffffffu : ~rising;
    float logit;
    memcpy(&logit, &bits, sizeof logit);
    return logit;
}

inline F32x4 larger(F32x4 a, F32x4 b) { return a > b ? a : b; }

// The largest of one block; `unordered` becomes nonzero when it holds a NaN.
// Vectors written out, because strict floating point forbids the compiler to find them in a plain
// maximum.
inline float block_max(const float* x, I32x4* unordered) {
    F32x4 a = load(x);
    F32x4 b = load(x + 4);
    I32x4 bad = (a != a) | (b != b);
    for (int i = 8; i < kBlock; i += 8) {
        const F32x4 c = load(x + i);
        const F32x4 d = load(x + i + 4);
        a = larger(c, a);
        b = larger(d, b);
        bad |= (c != c) | (d != d);
    }
    *unordered |= bad;
    a = larger(a, b);
    const float low = a[0] > a[1] ? a[0] : a[1];
    const float high = a[2] > a[3] ? a[2] : a[3];
    return low > high ? low : high;
}

// The largest of n logits; as `block_max`.
float largest(const float* x, int32_t n, I32x4* unordered) {
    float max_logit = -INFINITY;
    int32_t i = 0;
    for (; i + kBlock <= n; i += kBlock) {
        const float top = block_max(x + i, unordered);
        max_logit = top > max_logit ? top : max_logit;
    }
    for (; i < n; i++) {
        max_logit = x[i] > max_logit ? x[i] : max_logit;
        (*unordered)[0] |= x[i] != x[i];
    }
    return max_logit;
}

// Fills block_maxima, where they are not known, and list->max_logit; refuses what no softmax has: NaN, +inf, nothing but
// -inf.
int32_t scan(List* list, const Workspace& work) {
    I32x4 lanes = {0, 0, 0, 0};
    const int32_t n_blocks = blocks_of(list->n);
    for (int32_t b = 0; b < n_blocks && list->logits != list->scanned; b++) {
        work.block_maxima[b] = largest(list->logits + b * kBlock, block_length(*list, b), &lanes);
    }
    list->max_logit = largest(work.block_maxima, n_blocks, &lanes);
    if ((lanes[0] | lanes[1] | lanes[2] | lanes[3]) != 0 || list->max_logit == INFINITY) {
        return LLMPY_SAMPLE_NOT_A_NUMBER;
    }
    return list->max_logit == -INFINITY ? int32_t{LLMPY_SAMPLE_NOTHING_LEFT} : 0;
}

// The weights of one block of the list, zeros after its end; returns their sum.
int64_t weigh(const List& list, int32_t block, int64_t* w) {
    const int32_t n = block_length(list, block);
    const float* x = list.logits + block * kBlock;
    float padded[kBlock];
    if (n < kBlock) {
        for (int32_t i = 0; i < kBlock; i++) {
            padded[i] = i < n ? x[i] : -INFINITY;
        }
        x = padded;
    }
    weigh_block(x, list.max_logit, w);
    int64_t sum = 0;
    for (int32_t i = 0; i < kBlock; i++) {
        sum += w[i];
    }
    return sum;
}

void sort_few(Item* items, int32_t n) {
    for (int32_t i = 1; i < n; i++) {
        const Item item = items[i];
        int32_t j = i;
        for (; j > 0 && items[j - 1].key > item.key; j--) {
            items[j] = items[j - 1];
        }
        items[j] = item;
    }
}

// The key at which the weights, added in the order of the keys, first reach `target`; their sum
// does. A radix selection, 11 bits at a time: at most six passes, whatever the numbers. Overwrites
// `items`.
uint64_t find_cut(Item* items, int32_t n, int64_t target) {
    for (int shift = 53; n > kFew; shift = shift > 11 ? shift - 11 : 0) {
        int64_t sums[2048];
        memset(sums, 0, sizeof sums);
        for (int32_t i = 0; i < n; i++) {
            sums[(items[i].key >> shift) & 2047] += items[i].weight;
        }
        uint64_t digit = 0;
        while (digit < 2047 && sums[digit] < target) {
            target -= sums[digit++];
        }
        int32_t kept = 0;
        for (int32_t i = 0; i < n; i++) {
            const Item item = items[i];
            items[kept] = item;
            kept += ((item.key >> shift) & 2047) == digit;
        }
        n = kept;
    }
    sort_few(items, n);
    int32_t i = 0;
    for (; i < n - 1 && items[i].weight < target; i++) {
        target -= items[i].weight;
    }
    return items[i].key;
}

// Keeps the tokens above `threshold`, and of those equal to it the ones with an id up to `last_id`.
// Needs a scan.
void keep(List* list, float threshold, int32_t last_id, const Workspace& work) {
    constexpr int32_t ahead = 8;  // blocks whose logits are fetched: they lie far apart, some in another's cache
    int32_t* const blocks = work.touched;
    int32_t n_blocks = 0;
    for (int32_t b = 0; b < blocks_of(list->n); b++) {
        blocks[n_blocks] = b;
        n_blocks += !(work.block_maxima[b] < threshold);
    }
    int32_t kept = 0;
    for (int32_t found = 0; found < n_blocks; found++) {
        const int32_t later = blocks[found + ahead < n_blocks ? found + ahead : found];
        for (int32_t i = 0; i < block_length(*list, later); i += 16) {
            __builtin_prefetch(list->logits + later * kBlock + i);
        }
        const int32_t start = blocks[found] * kBlock;
        const int32_t end = start + block_length(*list, blocks[found]);
        for (int32_t next = start; next < end; next += 4) {
            if (next + 4 <= end && !any_from(list->logits + next, threshold)) {
                continue;
            }
            for (int32_t i = next; i < end && i < next + 4; i++) {
                const float logit = list->logits[i];
                const int32_t id = id_at(*list, i);
                work.logits[kept] = logit;
                work.ids[kept] = id;
                kept += (logit > threshold) | ((logit == threshold) & (id <= last_id));
            }
        }
    }
    list->logits = work.logits;
    list->ids = work.ids;
    list->n = kept;
}

// Sums the weights of each block into block_sums; returns their total. Needs a scan.
int64_t weigh_all(const List& list, const Workspace& work) {
    const float bound = (float)((double)list.max_logit + kVanishing);
    int64_t w[kBlock];
    int64_t total = 0;
    for (int32_t b = 0; b < blocks_of(list.n); b++) {
        work.block_sums[b] = work.block_maxima[b] < bound ? 0 : weigh(list, b, w);
        total += work.block_sums[b];
    }
    return total;
}

// The list's logits, in the workspace so that they may be changed.
float* writable(List* list, const Workspace& work) {
    if (list->logits != work.logits) {
        memcpy(work.logits, list->logits, (size_t)list->n * sizeof(float));
        list->logits = work.logits;
    }
    return work.logits;
}

// Where an id stands in the list, -1 when it was removed.
int32_t position(const List& list, int32_t id) {
    if (!list.ids) {
        return id;
    }
    int32_t low = 0;
    int32_t high = list.n;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (list.ids[middle] < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < list.n && list.ids[low] == id ? low : -1;
}

int64_t workspace_bytes(int64_t n) {
    const int64_t n_blocks = blocks_of((int32_t)n);
    return n * (int64_t)(sizeof(Item) + 4 * sizeof(int32_t)) + n_blocks * (int64_t)(sizeof(int64_t) + sizeof(float));
}

Workspace lay_out(void* memory, int32_t n) {
    Workspace work;
    work.items = (Item*)memory;
    work.block_sums = (int64_t*)(work.items + n);
    work.logits = (float*)(work.block_sums + blocks_of(n));
    work.ids = (int32_t*)(work.logits + n);
    work.counts = work.ids + n;
    work.touched = work.counts + n;
    work.block_maxima = (float*)(work.touched + n);
    return work;
}

}  // namespace

#endif
