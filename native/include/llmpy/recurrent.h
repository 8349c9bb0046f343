// recurrent: operations whose result depends on all tokens that their session read before, token after token.
//
// Each kernel reads one token for some channels or heads, and changes their part of the session's memory in place. What
// costs time is that memory: `scan` and `delta_rule` read and write all of it for each token. Threads share channels,
// heads or rows of the memory, never tokens; sums have one order, which no split changes.
//
//   x, y, and all other values   f32   contiguous, of one token; y must not overlap the others
//   memory                       f32   of one session
//
// They mean the same as in backends/reference/recurrent.py, within 1e-5 of the largest value.

#ifndef LLMPY_RECURRENT_H
#define LLMPY_RECURRENT_H

#include <stdint.h>

namespace llmpy {

// For head h, with S [d, n], b and c of its group: S = exp(dt a) S + dt x b^T, y = S c + skip x.
struct ScanCall {
    int64_t n_heads, d, n, n_groups;
    int64_t a_width;     // n, or 1: the same for the whole head
    const float* x;      // [n_heads, d]
    const float* dt;     // [n_heads]
    const float *b, *c;  // [n_groups, n]
    const float* a;      // [n_heads, a_width]
    const float* skip;   // [n_heads]
    float* memory;       // [n_heads, d, n]
    float* y;            // [n_heads, d]
};

// For each row S [d_key] of a head's memory and its value v: S = S * decay + (S . a) b + v k, y = S . q.
struct DeltaCall {
    int64_t n_heads, d_value, d_key;
    int64_t decay_width;         // d_key, or 1
    const float *q, *k, *a, *b;  // [n_heads, d_key]
    const float* decay;          // [n_heads, decay_width]
    const float* v;              // [n_heads, d_value]
    float* memory;               // [n_heads, d_value, d_key]
    float* y;                    // [n_heads, d_value]
};

// Mean of values, weighted by exp of the keys, of which each token takes `decay`.
struct Wkv4Call {
    const float *k, *v;            // [n]
    const float *decay, *first;    // [n]
    float *total, *weight, *most;  // [n] memory: sums times e^-most
    float* y;                      // [n]
};

struct RecurrentKernels {
    // Channels begin to end: y[i] = sum over j of z[j,i] w[j,i] (+ bias[i]), z being `before` [width - 1, n] and x;
    // `before` then holds the newest of them. w [width, n].
    void (*conv)(const float* x, const float* w, const float* bias, int64_t n, int64_t width, int64_t begin,
                 int64_t end, float* before, float* y);
    void (*scan)(const ScanCall& call, int64_t head_begin, int64_t head_end);
    // Rows begin to end of the n_heads * d_value of the memory.
    void (*delta_rule)(const DeltaCall& call, int64_t begin, int64_t end);
    void (*wkv4)(const Wkv4Call& call, int64_t begin, int64_t end);
};

}  // namespace llmpy

#endif
