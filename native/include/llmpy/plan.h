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

// Kinds of operations, and what their fields mean. x, x2, y are places, `linear` weights are packed.
enum llmpy_op_kind {
    LLMPY_EMBED = 0,  // y                  n: type, width, row bytes              w: rows
    LLMPY_RMS_NORM,   // x y                n: width, vectors a row                w: f32 weights               f: eps
    LLMPY_PREPARE,    // x y                n: input kind, inputs                  y holds what `linear` reads
    LLMPY_LINEAR,     // x y (x2)           n: type, outputs, inputs, group        w: packed weights, f32 bias or 0
                      //                    group: how many operations from here on read x together; x2: added to the sum
    LLMPY_ROPE,       // x y                n: heads, width, pairs, neox, table
    LLMPY_CACHED,     // x                  n: heads, width, keys, values          places in a page in bytes, or -1
    LLMPY_ATTEND,     // x y                n: n_head, n_kv, d_key, d_value, keys, values, window               f: scale
    LLMPY_ADD,        // x x2 y             n: width
    LLMPY_MUL,        // x x2 y             n: width
    LLMPY_SCALE,      // x y                n: width                                                            f: factor
    LLMPY_SILU,       // x y                n: width
    LLMPY_SILU_MUL,   // x x2 y             n: width                               y = silu(x) * x2
    LLMPY_MIXTURE,    // x x2 y             n: n_embd, n_ff, n_expert, n_used, types of gate, up, down
                      //                    x2: router scores                      w: packed experts, one after another
    LLMPY_WANTED,     // x y                n: width                               x in rows "all", y in rows "wanted"
    LLMPY_OP_KINDS
};

#define LLMPY_NO_PLACE (-1)      // no such operand
#define LLMPY_LOGITS_PLACE (-2)  // the logits

typedef struct llmpy_op {
    int32_t kind;
    int32_t wanted;  // 1: for the wanted rows only
    int64_t x, x2, y;
    int64_t n[8];
    double f;
    uint64_t w[3];
} llmpy_op;

// One rotary embedding: pair i of a head turns by position * frequencies[i]; cos and sin are multiplied by magnitude.
typedef struct llmpy_rope {
    int64_t n_pairs;
    const double* frequencies;
    double magnitude;
    int64_t place;  // of its table in the rows "all": cos [n_pairs], sin [n_pairs]
} llmpy_rope;

// Where a batch is and where its logits go: arrays of the caller, filled before each run.
typedef struct llmpy_batch {
    const int32_t* tokens;
    const int32_t* positions;
    const int32_t* sessions;
    const int32_t* wanted;      // rows, ascending
    const int32_t* first_page;  // [sessions] where a session's pages begin in `pages`
    const uint64_t* pages;      // addresses
    float* logits;              // [wanted, n_vocab]
} llmpy_batch;

typedef struct llmpy_plan_spec {
    int32_t level;
    int32_t cache_type;  // 0 f16, 1 f32
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

// Rows of a matrix in the file's layout into `packed`, of llmpy_packed_bytes; see linear.h. -1 for what linear cannot read.
LLMPY_API int64_t llmpy_packed_bytes(int32_t type, int64_t outputs, int64_t inputs);
LLMPY_API void llmpy_pack(int32_t level, int32_t type, int64_t outputs, int64_t inputs, const void* rows, void* packed,
                          int32_t threads);
// 0: floats, 1: int8; and the bytes that `prepare` makes of one row.
LLMPY_API int32_t llmpy_input_kind(int32_t type);
LLMPY_API int64_t llmpy_input_bytes(int32_t kind, int64_t inputs);
}

#endif
