// attend: y[t,h] = sum over j of softmax(scale q[t,h].k[j])[j] * v[j], over the tokens j that t may see
//
// A streaming softmax over pages of 64 tokens: a running maximum, a running sum and the weighted values so far, for each
// query; the scores of one page at a time are all that is ever written. One new token reads all keys and values once, so
// memory bandwidth is the limit; query heads that share a key head are taken together, and so are the tokens of a prompt.
//
//   q        f32         [rows, n_head, d_key]      y  f32 [rows, n_head * d_value]
//   keys     [n_kv] of   at byte `keys` of each page: a lane is a token
//     f32    f32 [d_key, 64]
//     f16    f16 [d_key, 64]
//     int14  int16 [d_key / 2, 64, 2], then scales f32 [64]
//     q8_0   int8 [blocks * 8, 64, 4], then scales f16 [blocks, 64]
//     q4_0   uint4 [blocks * 4, 64, 4, 2] of quads i and i + 4, then scales f16 [blocks, 64]
//   values   [n_kv] of   at byte `values` of each page: a lane is a dimension
//     f32    f32 [64, d_value]
//     f16    f16 [64, d_value]
//     int14  int16 [32, d_value, 2], then scales f32 [64]
//     q8_0   int8 [64, blocks * 32], then scales f16 [blocks, 64]
//     q4_0   uint4 [64, blocks, 16, 2] of values i and i + 16, then scales f16 [blocks, 64]
// Heads of f16 and int14 are filled up to a multiple of 16, those of q8_0 and q4_0 to blocks of 32.
//
// How it is summed, whatever the batch and the threads: scores by fma over d ascending, as exponents of 2; pages
// ascending; in a page the 64 exponentials pairwise, values by fma over tokens ascending. int14: a key or value of a token
// is integers of 14 bits with one scale; blocks of 64 of a query are rounded to 16 bits, and so are the weights of a
// page, times the values' scales; 64 dimensions or tokens are summed in integers, which cannot overflow, and joined by fma. q8_0: queries are rounded as
// the keys are, blocks of 32 summed in integers and joined by fma; a value's scale joins its weight. q4_0: the same, queries in 8 bits;
// a value's integer is 8 less than what is stored. f16: as f32. Pages are cut into
// segments of 8 at fixed places, whose results are joined in ascending order: a long context is shared between threads
// by segments.
// A soft cap (cap tanh(s / cap)) and then ALiBi (s - slope * distance) bend the scores before the softmax; a sink is one more
// score of each head, of a token without a value. Not causal: a token sees those behind it too.
// Memory that no token of the session has written may hold anything: what it scores is replaced before it is used.
// Means the same as `attend` in backends/reference/ops.py, within 1e-5 of the largest value (f32 pages; 1e-3 for f16 and
// int14; 3e-2 for q8_0, where it rounds keys and values, not queries).

#ifndef LLMPY_ATTEND_H
#define LLMPY_ATTEND_H

#include <stdint.h>

#include "llmpy.h"
#include "llmpy/calls.h"

namespace llmpy {

constexpr int32_t kPageTokens = LLMPY_PAGE_TOKENS;
constexpr int32_t kSegmentPages = 8;
constexpr int32_t kSegmentTokens = kSegmentPages * kPageTokens;
constexpr int32_t kQueryRows = 64;  // queries of one key head that are taken together, unless more share that head

enum class CacheType : int32_t {
    int14 = LLMPY_CACHE_INT14,
    f32 = LLMPY_CACHE_F32,
    q8_0 = LLMPY_CACHE_Q8_0,
    f16 = LLMPY_CACHE_F16,
    q4_0 = LLMPY_CACHE_Q4_0
};
static inline bool has_blocks(CacheType type) { return type == CacheType::q8_0 || type == CacheType::q4_0; }
constexpr int64_t kCacheBlock = 32;  // values of q8_0 and q4_0 that share a scale

static inline int64_t cache_blocks(int64_t d) { return (d + kCacheBlock - 1) / kCacheBlock; }
static inline int64_t whole_vectors(int64_t d) { return (d + 15) / 16 * 16; }
// What one token's keys, or values, of a head of size `d` take in a page.
static inline int64_t cache_bytes(CacheType type, int64_t d) {
    if (has_blocks(type)) return cache_blocks(d) * ((type == CacheType::q8_0 ? kCacheBlock : kCacheBlock / 2) + 2);
    if (type == CacheType::f32) return d * 4;
    return whole_vectors(d) * 2 + (type == CacheType::int14 ? 4 : 0);
}

struct AttendShape {
    int32_t n_head, n_kv, d_key, d_value;
    int64_t keys, values;         // where they begin in a page, in bytes
    int32_t window;               // tokens a token sees, itself among them; 0: all
    bool causal;                  // else it sees up to window / 2 tokens on each side
    float scale, softcap;         // 0: none
    const float *slopes, *sinks;  // [n_head], or null
    CacheType type;
    int32_t heads_a_key;  // how many of the n_kv heads share each stored key head: usually 1
};

// The tokens begin <= j < end that a token sees; both ends ascend with its position.
struct Span {
    int64_t begin, end;
};
static inline Span attend_span(const AttendShape& s, int64_t position, int64_t session_end) {
    const int64_t back = s.causal ? int64_t{s.window} - 1 : int64_t{s.window} / 2;
    const int64_t begin = s.window > 0 && position > back ? position - back : 0;
    if (s.causal) return {begin, position + 1};
    return {begin, s.window > 0 && position + back + 1 < session_end ? position + back + 1 : session_end};
}

// Rows of one session for a range of key heads.
struct AttendCall {
    const AttendShape* shape;
    const uint64_t* pages;     // addresses of the session's pages, from position 0
    const int32_t* positions;  // [n_rows], ascending
    const float* q;
    float* y;
    int32_t session_end;  // how many tokens the session holds
    int32_t n_rows;
    int32_t head_begin, head_end;
    int32_t segment;  // -1: all segments, and y is written; else only this one, and `partial` is written
    float* partial;   // attend_state_floats(head_end - head_begin, n_rows, shape)
    float* scratch;   // attend_scratch_floats(shape), one per thread
};

// How many rows may be taken together, and for so many rows how many key heads.
static inline int32_t attend_rows(const AttendShape& s) {
    const int32_t group = s.n_head / s.n_kv;
    return group >= kQueryRows ? 1 : kQueryRows / group;
}
static inline int32_t attend_heads(const AttendShape& s, int32_t n_rows) {
    const int32_t queries = n_rows * (s.n_head / s.n_kv);
    return queries >= kQueryRows ? 1 : kQueryRows / queries;
}

static inline int64_t padded_values(const AttendShape& s) {
    return has_blocks(s.type) ? cache_blocks(s.d_value) * kCacheBlock : whole_vectors(s.d_value);
}
constexpr int64_t kQueryPairs = 32;
// A block of a query as f16 keys meet it.
struct QueryPairs {
    int16_t values[2 * kQueryPairs];
    float scale;
};
static inline int64_t query_pair_blocks(int64_t d) { return (d + 2 * kQueryPairs - 1) / (2 * kQueryPairs); }
// A query's block as keys of blocks meet it.
struct QueryBlock {
    int8_t values[kCacheBlock];
    float scale;
    int32_t start;  // of the integer sum: makes up for the offset of the keys, where they have one
};
// What a query takes in scratch memory.
static inline int64_t query_floats(const AttendShape& s) {
    if (s.type == CacheType::f32 || s.type == CacheType::f16) return s.d_key;
    if (s.type == CacheType::int14) {
        return query_pair_blocks(s.d_key) * static_cast<int64_t>(sizeof(QueryPairs) / sizeof(float));
    }
    return cache_blocks(s.d_key) * static_cast<int64_t>(sizeof(QueryBlock) / sizeof(float));
}
// Maxima, sums and weighted values of `queries` queries.
static inline int64_t attend_state_floats(int64_t queries, const AttendShape& s) {
    return queries * (2 + padded_values(s));
}
static inline int64_t attend_scratch_floats(const AttendShape& s) {
    const int64_t group = s.n_head / s.n_kv;
    const int64_t queries = group > kQueryRows ? group : kQueryRows;
    return queries * query_floats(s) + 2 * attend_state_floats(queries, s) + 64;
}

// The tokens first <= j < last of a page that a query sees.
struct Seen {
    int first, last;
};

// What depends on the type of the cache, for one query, for two, ...: pages of keys to scores, exponentials of scores and
// pages of values to sums. `ahead`: how many bytes further lies what is read next.
constexpr int kMostQueriesAtOnce = 4;
struct ScoreKernels {
    void(LLMPY_CALL* prepare)(const float* x, int64_t d, float factor, float* out);
    void(LLMPY_CALL* score[kMostQueriesAtOnce])(const float* q, const void* keys, int64_t d, int64_t ahead,
                                                float* scores);
};
struct WeighKernels {
    void(LLMPY_CALL* weigh[kMostQueriesAtOnce])(const float* p, const void* page, int64_t d, int64_t ahead,
                                                const Seen* seen, float* values, int64_t padded);
};

}  // namespace llmpy

#endif
