// plan: a model's operations, made once and run for each batch in one call
//
// A plan is a flat array of operations over one arena. Buffers are planned per row: a buffer of place p begins at byte
// p * rows, so that the same places serve one token, close together, and a prompt. There are two kinds of rows: "all" the
// tokens of the batch, and the "wanted" ones, whose logits are asked for.
//
// The caller checks everything beforehand: places, shapes, addresses, token ids, positions and pages.
// Not thread-safe: one run of a plan at a time. Several plans may run at once from several threads; they share the pool.

#ifndef LLMPY_PLAN_H
#define LLMPY_PLAN_H

#include <stdint.h>

#include "llmpy/api.h"

#define LLMPY_OK 0
#define LLMPY_NO_MEMORY (-1)

extern "C" {

#define LLMPY_MOST_EXPERTS 2048  // that `route` chooses from

// Kinds of operations, and what their fields mean. x, x2, y are places; `weights`: the address of an llmpy_weights.
enum llmpy_op_kind {
    LLMPY_EMBED = 0,  // y                  n: type, width, row bytes, of which, first    w: rows
                      //                    of which: row `first` plus 0 the token, 1 the position, 2 nothing
    LLMPY_NORM,       // x y                n: width, vectors a row, vectors of weights, centered               f: eps
                      //                    w: f32 weights or 0, f32 bias or 0
    LLMPY_PREPARE,    // x y                n: input kind, inputs, heads           y holds what `linear` reads
    LLMPY_LINEAR,     // x y (x2)           n: type, outputs, inputs, group        w: weights, f32 bias or 0
                      //                    group: how many operations from here on read x together; x2: added to the sum
    LLMPY_ROPE,       // x y                n: heads, width, pairs, neox, table
    LLMPY_CACHED,     // x                  n: heads, width, keys, values          places in a page in bytes, or -1
    LLMPY_ATTEND,     // x y                n: n_head, n_kv, d_key, d_value, keys, values, window, causal       f: scale, softcap
                      //                    w: f32 slopes of ALiBi or 0, f32 sinks or 0
    LLMPY_ADD,        // x x2 y             n: width
    LLMPY_MUL,        // x x2 y             n: width
    LLMPY_SCALE,      // x y                n: width                                                            f: factor
    LLMPY_FUNCTION,   // x y                n: width, function                     see ops.h
    LLMPY_GATE,       // x x2 y             n: width, function                     y = function(x) * x2
    LLMPY_MIXTURE,    // x x2 y             n: n_embd, n_ff, n_expert, n_used, types of gate, up, down, function
                      //                    x2: shares of all experts
                      //                    w: weights of the experts, three times; three f32 biases or 0;
                      //                    two `llmpy_sums` or 0: of what gate and up, and of what down is fed
    LLMPY_WANTED,     // x y                n: width                               x in rows "all", y in rows "wanted"
    LLMPY_ROUTE,      // x y                n: n_expert, n_used, gating, normalize, groups, groups used         f: factor
                      //                    gating: 0 softmax, 1 sigmoid, 2 sparsemixer          w: f32 bias or 0
    LLMPY_LINEAR_HEADS,  // x y             n: type, outputs, inputs, heads        w: weights of the heads
    LLMPY_MUL_EACH,   // x x2 y             n: width, vectors a row                x2: one factor for each vector
    LLMPY_ADD_WEIGHT, // x y                n: width, times in a row               w: f32 [width]
    LLMPY_MUL_WEIGHT, // x y                n: width, times in a row               w: f32 [width]
    LLMPY_TOTAL,      // x y                n: width, vectors a row                y: one sum for each vector
    LLMPY_CLAMP,      // x y                n: width                                                            f: low, high
    LLMPY_COPY,       // x (x2) y           n: vectors of y, width of x, start, size, width of x2, times
                      //                    vector v of y: part of vector v / times of x, then v of x2
                      // The rest have a memory, at places in bytes in that of their session; see recurrent.h.
    LLMPY_PREVIOUS,   // x y                n: width, memory
    LLMPY_CONV,       // x y                n: channels, width, memory             w: [width, channels], bias or 0
    LLMPY_SCAN,       // x x2 y, also 2     n: heads, d, n, groups, width of a, memory   also: b, c    w: a, skip    x2: dt
    LLMPY_DELTA_RULE, // x x2 y, also 4     n: heads, d_value, d_key, width of decay, memory
                      //                    x: q, x2: decay, also: k, v, a, b
    LLMPY_WKV4,       // x x2 y             n: width, three memories               x: k, x2: v         w: decay, first
    LLMPY_COLLECT,    // x                  n: width, matrices                     w: llmpy_sums
    LLMPY_OP_KINDS
};

#define LLMPY_NO_PLACE (-1)      // no such operand
#define LLMPY_LOGITS_PLACE (-2)  // the logits

typedef struct llmpy_op {
    int32_t kind;
    int32_t wanted;  // 1: for the wanted rows only
    int64_t x, x2, y;
    int64_t also[4];  // further operands
    int64_t n[8];
    double f[2];
    uint64_t w[8];
} llmpy_op;

// What products are fed, of each matrix of a tensor: how many rows, and the sums of the squares of their values.
typedef struct llmpy_sums {
    double* squares;  // [matrices, width]
    double* counts;   // [matrices]
} llmpy_sums;

// One rotary embedding: pair i of a head turns by position * frequencies[i]; cos and sin are multiplied by magnitude,
// and by 1 + growth ln(1 + floor(position / growth_every)) where growth_every is not 0.
typedef struct llmpy_rope {
    int64_t n_pairs;
    const double* frequencies;
    double magnitude;
    double growth;
    int64_t growth_every;
    int64_t place;  // of its table in the rows "all": cos [n_pairs], sin [n_pairs]
} llmpy_rope;

// Where a batch is and where its logits go: arrays of the caller, filled before each run.
typedef struct llmpy_batch {
    const int32_t* tokens;
    const int32_t* positions;
    const int32_t* sessions;
    const int32_t* wanted;      // rows, ascending
    const int32_t* ends;        // [sessions] how many tokens each holds, with those of the batch
    const int32_t* first_page;  // [sessions] where a session's pages begin in `pages`
    const uint64_t* pages;      // addresses
    const uint64_t* recurrent;  // [sessions] addresses of memory that recurrent operations change
    float* logits;              // [wanted, n_vocab]
} llmpy_batch;

typedef struct llmpy_plan_spec {
    int32_t level;
    int32_t cache_type;  // 0 f16, 1 f32, 2 q8_0
    int32_t n_ops, n_ropes;
    const llmpy_op* ops;  // copied, as are the ropes
    const llmpy_rope* ropes;
    int64_t all_bytes;     // of all buffers, for a row of each kind
    int64_t wanted_bytes;
} llmpy_plan_spec;

struct llmpy_plan;

// Null when there is no memory. `bind` and `reserve` must follow before it can run.
LLMPY_API struct llmpy_plan* llmpy_plan_create(const llmpy_plan_spec* spec);
LLMPY_API void llmpy_plan_destroy(struct llmpy_plan* plan);

// From now on the batch is there. The arrays must last until the next call of this, and of `run`.
LLMPY_API void llmpy_plan_bind(struct llmpy_plan* plan, const llmpy_batch* batch);

// Memory for batches of up to so many tokens, wanted rows, positions in a session, and threads. What was there is lost.
LLMPY_API int32_t llmpy_plan_reserve(struct llmpy_plan* plan, int64_t tokens, int64_t wanted, int64_t positions,
                                     int32_t threads);

// Runs the batch: keys and values to the pages, logits of the wanted rows. Within what was reserved.
LLMPY_API void llmpy_plan_run(struct llmpy_plan* plan, int32_t tokens, int32_t wanted, int32_t threads);

// Zeroed memory at a 64-byte boundary; null when there is none. `bytes` must be the same when it is given back.
LLMPY_API void* llmpy_allocate(int64_t bytes);
LLMPY_API void llmpy_release(void* memory, int64_t bytes);

// Bytes of a packed matrix; see linear.h. -1 for what linear cannot read.
LLMPY_API int64_t llmpy_packed_bytes(int32_t type, int64_t outputs, int64_t inputs);

// The matrices of a tensor, all of one shape. Until they are packed (`ready` is not 0), products read `rows` and pack a few
// tiles at a time for themselves: the same bits, for less speed.
typedef struct llmpy_weights {
    int64_t type, outputs, inputs, matrices;
    const void* rows;        // in the file's layout
    int64_t rows_stride;     // bytes from one matrix to the next
    void* packed;            // llmpy_packed_bytes each
    int64_t packed_stride;
    int32_t ready, unused;
} llmpy_weights;

// Packs all matrices, then sets `ready`. Products may read the weights meanwhile.
LLMPY_API void llmpy_pack(int32_t level, llmpy_weights* weights, int32_t threads);

// Reads a byte of each page, so that the system has a mapped file at hand when it is needed.
LLMPY_API void llmpy_touch(const void* memory, int64_t bytes);

// 0: floats, 1: int8; and the bytes that `prepare` makes of one row.
LLMPY_API int32_t llmpy_input_kind(int32_t type);
LLMPY_API int64_t llmpy_input_bytes(int32_t kind, int64_t inputs);
}

#endif
