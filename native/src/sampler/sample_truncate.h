// sample_truncate: the steps that make the list of tokens smaller; each equals the one of its name in
// sampling/truncation.py.
#ifndef LLMPY_SAMPLE_TRUNCATE_H
#define LLMPY_SAMPLE_TRUNCATE_H

#include <math.h>

#include <algorithm>

#include "sample_list.h"
#include "sample_math.h"

namespace {

// What stays: logits above the threshold, and of those equal to it the ones with an id up to `last_id`.
struct Cut {
    float threshold;
    int32_t last_id;
};

constexpr Cut kAll = {-INFINITY, -1};  // all that was not removed

Cut cut_of(uint64_t key) { return Cut{logit_of(key), (int32_t)(uint32_t)key}; }

Cut looser(Cut a, Cut b) {
    if (a.threshold != b.threshold) {
        return a.threshold < b.threshold ? a : b;
    }
    return a.last_id > b.last_id ? a : b;
}

void keep(List* list, Cut cut, const Workspace& work) { keep(list, cut.threshold, cut.last_id, work); }

int32_t greedy(List* list, const Workspace& work) {
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    int32_t b = 0;
    while (work.block_maxima[b] < list->max_logit) {
        b++;
    }
    int32_t i = b * kBlock;
    while (list->logits[i] < list->max_logit) {
        i++;
    }
    const int32_t id = id_at(*list, i);
    work.logits[0] = list->max_logit;
    work.ids[0] = id;
    list->logits = work.logits;
    list->ids = work.ids;
    list->n = 1;
    return 0;
}

// Keeps what is at or above a bound that `find_bound` gave; nothing of -infinity.
void keep_from(List* list, float bound, const Workspace& work) {
    keep(list, bound, bound == -INFINITY ? -1 : INT32_MAX, work);
}

// Leaves less of a long list, but the k largest: at least k blocks have a maximum at or above the bound.
void top_blocks(List* list, int32_t k, const Workspace& work) {
    const int32_t n_blocks = blocks_of(list->n);
    if (k >= n_blocks) {
        return;
    }
    keep_from(list, find_bound(work.block_maxima, n_blocks, list->max_logit, k, k + k / 4 + 1), work);
    scan(list, work);
}

int32_t top_k(List* list, int32_t k, const Workspace& work) {
    if (k <= 0 || k >= list->n) {
        return 0;
    }
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    top_blocks(list, k, work);
    keep_from(list, find_bound(list->logits, list->n, list->max_logit, k, k), work);
    if (list->n <= k) {
        return 0;
    }
    int32_t n = 0;  // equal ones, or too near to each other
    for (; n < list->n; n++) {
        work.items[n] = Item{key_of(list->logits[n], id_at(*list, n)), 1};
    }
    scan(list, work);
    keep(list, cut_of(find_cut(work.items, n, k)), work);
    return 0;
}

// Puts the tokens at or above a bound into work.items, with a weight of 1; returns how many. Needs a scan.
int32_t items_from(const List& list, float bound, const Workspace& work) {
    int32_t n = 0;
    for (int32_t b = 0; b < blocks_of(list.n); b++) {
        if (work.block_maxima[b] < bound) {
            continue;
        }
        const int32_t start = b * kBlock;
        for (int32_t i = start; i < start + block_length(list, b); i++) {
            work.items[n] = Item{key_of(list.logits[i], id_at(list, i)), 1};
            n += list.logits[i] >= bound && list.logits[i] > -INFINITY;
        }
    }
    return n;
}

// A logit that at least k are at or above, and not many more; -infinity where fewer than k are left. Needs a scan.
float near_bound(const List& list, int32_t k, const Workspace& work) {
    const int32_t n_blocks = blocks_of(list.n), enough = k + k / 4 + 1;
    return k < n_blocks ? find_bound(work.block_maxima, n_blocks, list.max_logit, k, enough)
                        : find_bound(list.logits, list.n, list.max_logit, k, enough);
}

// The cut that leaves the k most likely tokens. Needs a scan.
Cut top_cut(const List& list, int32_t k, const Workspace& work) {
    if (k >= list.n) {
        return kAll;
    }
    const int32_t n = items_from(list, near_bound(list, k, work), work);
    return n < k ? kAll : cut_of(find_cut(work.items, n, k));
}

// The cut of a truncation, but at least `min_keep` tokens stay. Needs a scan; overwrites work.items.
Cut but_least(const List& list, Cut cut, int32_t min_keep, const Workspace& work) {
    return min_keep > 1 ? looser(cut, top_cut(list, min_keep, work)) : cut;
}

// What the tokens with a weight have in common; their number is what `heavy_items` returns.
struct Heavy {
    int64_t total;    // sum of their weights
    int64_t moments;  // sum of weight times distance to the largest logit, where wanted
    float least;      // their smallest logit, where wanted

    double mean() const { return (double)moments / (double)total; }
};

int64_t moment(int64_t weight, float logit, float max_logit) {
    constexpr double kRound = 0x1.8p52;  // adding it rounds to an integer, and this is below 2^40
    return (int64_t)(((double)weight * ((double)logit - (double)max_logit) + kRound) - kRound);
}

// Puts the tokens with a weight into work.items; returns how many. Needs a scan.
int32_t heavy_items(const List& list, const Workspace& work, Heavy* heavy, bool with_moments = false) {
    const float bound = (float)((double)list.max_logit + kVanishing);
    int32_t n = 0;
    *heavy = Heavy{0, 0, list.max_logit};
    for (int32_t b = 0; b < blocks_of(list.n); b++) {
        if (work.block_maxima[b] < bound) {
            continue;
        }
        int64_t w[kBlock];
        heavy->total += weigh(list, b, w);
        const int32_t length = block_length(list, b);
        const float* const logits = list.logits + b * kBlock;
        for (int32_t i = 0; i < length; i++) {
            work.items[n] = Item{key_of(logits[i], id_at(list, b * kBlock + i)), w[i]};
            n += w[i] != 0;
        }
        for (int32_t i = 0; with_moments && i < length; i++) {
            if (w[i] != 0) {
                heavy->moments += moment(w[i], logits[i], list.max_logit);
                heavy->least = logits[i] < heavy->least ? logits[i] : heavy->least;
            }
        }
    }
    return n;
}

int32_t top_p(List* list, double p, int32_t min_keep, const Workspace& work) {
    if (!(p > 0.0 && p <= 1.0)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    if (status < 0 || p == 1.0) {
        return status;
    }
    Heavy heavy;
    const int32_t n = heavy_items(*list, work, &heavy);
    const int64_t target = (int64_t)ceil(p * (double)heavy.total);
    const Cut cut = cut_of(find_cut(work.items, n, std::min(target, heavy.total)));
    keep(list, but_least(*list, cut, min_keep, work), work);
    return 0;
}

// Keeps what is at or above max_logit + below; below <= 0, or NaN.
int32_t keep_near(List* list, double below, int32_t min_keep, const Workspace& work) {
    const float bound = (float)((double)list->max_logit + (below < 0.0 ? below : 0.0));
    keep(list, but_least(*list, Cut{bound, INT32_MAX}, min_keep, work), work);
    return 0;
}

int32_t min_p(List* list, double log_ratio, int32_t min_keep, const Workspace& work) {
    if (!(log_ratio <= 0.0)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    return status < 0 ? status : keep_near(list, log_ratio, min_keep, work);
}

// sum(exp(d)) of the distances d to the largest logit, and sum(p * d) for their softmax p. Needs a scan.
double total_and_mean(const List& list, const Workspace& work, double* mean) {
    const float bound = (float)((double)list.max_logit + kVanishing);
    int64_t total = 0;
    int64_t products = 0;
    for (int32_t b = 0; b < blocks_of(list.n); b++) {
        if (work.block_maxima[b] < bound) {
            continue;
        }
        int64_t w[kBlock];
        total += weigh(list, b, w);
        if (!mean) {
            continue;
        }
        for (int32_t i = 0; i < block_length(list, b); i++) {
            if (w[i] != 0) {
                products += moment(w[i], list.logits[b * kBlock + i], list.max_logit);
            }
        }
    }
    if (mean) {
        *mean = (double)products / (double)total;
    }
    return (double)total / kOne;
}

int32_t top_a(List* list, double log_a1, double a2, int32_t min_keep, const Workspace& work) {
    if (!(log_a1 < INFINITY && a2 > 0.0)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    return keep_near(list, log_a1 - (a2 - 1.0) * ln(total_and_mean(*list, work, nullptr)), min_keep, work);
}

// The smallest of the logits above -infinity.
float smallest(const List& list) {
    const F32x4 none = {INFINITY, INFINITY, INFINITY, INFINITY};
    F32x4 low = none;
    int32_t i = 0;
    for (; i + 4 <= list.n; i += 4) {
        F32x4 x = load(list.logits + i);
        x = x == -none ? none : x;
        low = x < low ? x : low;
    }
    float least = fminf(fminf(low[0], low[1]), fminf(low[2], low[3]));
    for (; i < list.n; i++) {
        least = list.logits[i] > -INFINITY && list.logits[i] < least ? list.logits[i] : least;
    }
    return least;
}

int32_t top_n_sigma(List* list, double n, int32_t min_keep, const Workspace& work) {
    constexpr float kSteps = 0x1p12f;  // parts of the range of the logits
    constexpr float kRound = 0x1.8p23f;
    if (!(n > 0.0 && n < INFINITY)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    const float span = list->max_logit - smallest(*list);
    if (!(span > 1e-30f && span < INFINITY)) {
        return 0;
    }
    const float scale = kSteps / span;
    const F32x4 none = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    int64_t sum = 0, squares = 0, count = 0;
    for (int32_t start = 0; start < list->n; start += 256) {
        const int32_t end = std::min(start + 256, list->n);
        I32x4 sums = {0, 0, 0, 0}, counts = {0, 0, 0, 0}, of_squares = {0, 0, 0, 0};
        for (int32_t i = start; i < end; i += 4) {
            F32x4 x = none;
            if (i + 4 <= end) {
                x = load(list->logits + i);
            } else {
                memcpy(&x, list->logits + i, (size_t)(end - i) * sizeof(float));
            }
            const I32x4 is_left = x != none;
            const F32x4 rounded = (list->max_logit - x) * scale + kRound;  // the nearest integer in the low bits
            const F32x4 steps = (F32x4)((I32x4)(rounded - kRound) & is_left);
            sums += (I32x4)rounded & 0x3fffff & is_left;
            counts -= is_left;
            of_squares += __builtin_convertvector(steps * steps, I32x4);  // up to 2^24, 64 of them
        }
        for (int i = 0; i < 4; i++) {
            sum += sums[i];
            count += counts[i];
            squares += of_squares[i];
        }
    }
    const double mean = (double)sum / (double)count;
    const double variance = (double)squares / (double)count - mean * mean;
    const double sigma = sqrt(variance > 0.0 ? variance : 0.0) * (double)span / (double)kSteps;
    return keep_near(list, -(n * sigma), min_keep, work);
}

// Sorts n weights, the largest first, by 11 bits after the other; `other` is room for as many.
int64_t* sort_weights(int64_t* weights, int64_t* other, int32_t n) {
    constexpr int64_t kMask = 2047;
    for (int shift = 0; shift <= kFractionBits; shift += 11) {
        int32_t places[2048] = {};
        for (int32_t i = 0; i < n; i++) {
            places[(weights[i] >> shift) & kMask]++;
        }
        int32_t place = 0;
        for (int64_t digit = kMask; digit >= 0; digit--) {
            const int32_t count = places[digit];
            places[digit] = place;
            place += count;
        }
        for (int32_t i = 0; i < n; i++) {
            other[places[(weights[i] >> shift) & kMask]++] = weights[i];
        }
        std::swap(weights, other);
    }
    return weights;
}

int32_t tail_free(List* list, double z, int32_t min_keep, const Workspace& work) {
    if (!(z >= 0.0 && z < 1.0)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    static_assert(sizeof(Item) == 2 * sizeof(int64_t), "the memory of an item holds two weights");
    int64_t* const memory = (int64_t*)work.items;
    const float bound = (float)((double)list->max_logit + kVanishing);
    int32_t n = 0;
    for (int32_t b = 0; b < blocks_of(list->n); b++) {
        if (work.block_maxima[b] < bound) {
            continue;
        }
        int64_t w[kBlock];
        weigh(*list, b, w);
        for (int32_t i = 0; i < block_length(*list, b); i++) {
            memory[n] = w[i];
            n += w[i] != 0;
        }
    }
    const int64_t* const sorted = sort_weights(memory, memory + list->n, n);
    const auto bend = [sorted](int32_t i) {
        const int64_t second = sorted[i] - 2 * sorted[i + 1] + sorted[i + 2];
        return second < 0 ? -second : second;
    };
    int64_t all = 0;
    for (int32_t i = 0; i + 2 < n; i++) {
        all += bend(i);
    }
    if (all > 0) {
        int64_t left = (int64_t)(z * (double)all);
        int32_t i = 0;
        while (i + 2 < n && (left -= bend(i)) >= 0) {
            i++;
        }
        n = i > 1 ? i : 1;
    }
    keep(list, top_cut(*list, n > min_keep ? n : min_keep, work), work);
    return 0;
}

// Rises with the distance between a token's surprise and the entropy, then with the id.
uint64_t typical_key(float logit, int32_t id, float max_logit, double mean) {
    const float off = (float)fabs(((double)logit - (double)max_logit) - mean);
    uint32_t bits;
    memcpy(&bits, &off, sizeof bits);
    return ((uint64_t)bits << 32) | (uint32_t)id;
}

int32_t locally_typical(List* list, double p, int32_t min_keep, const Workspace& work) {
    if (!(p > 0.0 && p < 1.0)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    const Cut likely = but_least(*list, Cut{INFINITY, -1}, min_keep, work);
    Heavy heavy;
    const int32_t n = heavy_items(*list, work, &heavy, true);
    const double mean = heavy.mean();
    for (int32_t i = 0; i < n; i++) {
        const uint64_t key = work.items[i].key;
        work.items[i].key = typical_key(logit_of(key), (int32_t)(uint32_t)key, list->max_logit, mean);
    }
    const int64_t target = (int64_t)(p * (double)heavy.total) + 1;
    const uint64_t cut = find_cut(work.items, n, std::min(target, heavy.total));
    int32_t kept = 0;
    for (int32_t b = 0; b < blocks_of(list->n); b++) {
        if (work.block_maxima[b] < heavy.least && work.block_maxima[b] < likely.threshold) {
            continue;
        }
        const int32_t length = block_length(*list, b);
        for (int32_t i = 0; i < length; i++) {
            const float logit = list->logits[b * kBlock + i];
            const int32_t id = id_at(*list, b * kBlock + i);
            const bool typical = logit >= heavy.least && typical_key(logit, id, list->max_logit, mean) <= cut;
            work.logits[kept] = logit;
            work.ids[kept] = id;
            kept += typical | (logit > likely.threshold) | ((logit == likely.threshold) & (id <= likely.last_id));
        }
    }
    list->logits = work.logits;
    list->ids = work.ids;
    list->n = kept;
    return 0;
}

int32_t xtc(List* list, double probability, double threshold, double u, const Workspace& work) {
    if (!(probability >= 0.0 && threshold > 0.0)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    if (status < 0 || threshold > 0.5 || u >= probability) {
        return status;
    }
    Heavy heavy;
    const int32_t n = heavy_items(*list, work, &heavy);
    const int64_t target = std::max((int64_t)ceil(threshold * (double)heavy.total), int64_t{1});
    int32_t n_choices = 0;
    uint64_t last = 0;
    for (int32_t i = 0; i < n; i++) {
        if (work.items[i].weight >= target) {
            n_choices++;
            last = std::max(last, work.items[i].key);
        }
    }
    if (n_choices < 2) {
        return 0;
    }
    int32_t kept = 0;
    for (int32_t i = 0; i < list->n; i++) {  // the last choice is less likely than the others: so is all that stays
        const float logit = list->logits[i];
        const int32_t id = id_at(*list, i);
        work.logits[kept] = logit;
        work.ids[kept] = id;
        kept += key_of(logit, id) >= last;
    }
    list->logits = work.logits;
    list->ids = work.ids;
    list->n = kept;
    return 0;
}

}  // namespace

#endif
