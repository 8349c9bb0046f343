// plan_state: what a plan holds, and what a run of it knows; shared by the files that run plans.

#ifndef LLMPY_PLAN_STATE_H
#define LLMPY_PLAN_STATE_H

#include "llmpy.h"
#include "llmpy/linear.h"
#include "llmpy/ops.h"
#include "llmpy/pool.h"
#include "llmpy/sample.h"

namespace llmpy {

constexpr int64_t kAlignment = LLMPY_ALIGNMENT;
constexpr int64_t align_up(int64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

// A piece of memory that a plan owns.
struct Block {
    unsigned char* data;
    int64_t bytes;

    bool resize(int64_t wanted);  // contents are lost; false, and empty, when there is no memory
};

// Neighbouring rows of one session.
struct Tile {
    int32_t first, n_rows, session;
};

// Rows of one kind, of the batch that is being run.
struct Rows {
    int32_t n;
    unsigned char* arena;
    const int32_t* positions;
    const int32_t* sessions;
    const int32_t* token_rows;  // which row of the batch each is; null: the same
    Tile* tiles;
    int32_t n_tiles;
    int32_t tile_limit;  // that `tiles` were made for; 0: not made yet
};

// y = function(a) * b, where both are products of a region; y null: there is none.
struct Gate {
    Function function;
    const float *a, *b;
    float* y;
};

// Products that run as one region, as its threads find them.
struct Products {
    const llmpy_plan* plan;
    LinearCall* calls;  // [n]
    int32_t n, threads, chunks;
    // Those of an operation are made once and kept: the next token's are the same, and lie in the caches of all
    // threads.
    int32_t tokens, wanted_threads;  // that they were made for
    bool packed;                     // whether the weights were
    Gate gate;
    int32_t heads;  // of keys, that a thread takes at a time from here to the attention; 0: not in one region
    LinearInput input;
};

}  // namespace llmpy

struct llmpy_plan {
    const llmpy::Level* level;
    llmpy_plan_spec spec;  // its ops and ropes are in `operations`
    llmpy_batch batch;
    llmpy::Block operations, products, arena, rows, partials, scratch, moe;
    llmpy::Block maxima;  // of the logits, as sample.h calls them: where their matmul leaves them, row by row; or empty
    int64_t tokens, output_rows, positions;  // reserved
    int32_t threads;
    bool fetch_ahead;  // see LinearCall
    int64_t scratch_stride;
    llmpy_op_time* times;  // [n_ops], or null: nobody traces

    // The maxima of a row of so many logits; null where nobody makes them.
    float* maxima_of(int64_t row, int64_t n_vocab) const {
        if (spec.logits < 0 || spec.ops[spec.logits].n[1] != n_vocab) return nullptr;
        return reinterpret_cast<float*>(maxima.data) + row * llmpy::maxima_blocks(n_vocab);
    }
    llmpy::Products& products_of(const llmpy_op* op) const {
        return reinterpret_cast<llmpy::Products*>(products.data)[op - spec.ops];
    }
};

namespace llmpy {

struct Run {
    const llmpy_plan& plan;
    const OpKernels& kernels;
    int32_t threads;
    Rows all, output_rows;

    Rows& rows(const llmpy_op& op) { return op.output_rows != 0 ? output_rows : all; }
    const Rows& rows(const llmpy_op& op) const { return op.output_rows != 0 ? output_rows : all; }
    float* at(const Rows& of, int64_t place) const {
        if (place == LLMPY_LOGITS_PLACE) return plan.batch.logits;
        return place < 0 ? nullptr : reinterpret_cast<float*>(of.arena + place * of.n);
    }
    unsigned char* scratch(int32_t worker) const { return plan.scratch.data + worker * plan.scratch_stride; }
    // Addresses of the session's pages, from position 0, that keys and values of an operation lie in.
    const uint64_t* pages(const llmpy_op& op, int32_t session) const {
        const llmpy_batch& batch = plan.batch;
        return (op.w[0] != 0 ? batch.windows : batch.pages) + batch.first_page[session];
    }
};

// Work too small to share: what two threads would save is less than what it costs to tell the other.
constexpr int64_t kWorthSharing = 1 << 14;  // values of some plain operation: about two microseconds

// body(begin, end) over 0..n, in parallel where n times `cost` (in values of a plain operation) is worth it. Ranges begin
// at multiples of `grain`.
template <class Body>
void over_range(const Run& run, int64_t n, int64_t cost, int64_t grain, const Body& body) {
    if (n == 0) return;
    int64_t chunks = n * cost / (kWorthSharing / 2);
    const int64_t most = 4 * int64_t{run.threads};
    if (chunks > most) chunks = most;
    if (run.threads == 1 || chunks < 2 || n <= grain) return body(int64_t{0}, n);
    const int64_t step = (n / chunks + grain) / grain * grain;
    parallel(run.threads, static_cast<int32_t>((n + step - 1) / step), [&](int32_t chunk, int32_t) {
        const int64_t begin = chunk * step;
        body(begin, begin + step < n ? begin + step : n);
    });
}

// Lets a call read matrix number i of the weights at this address: packed, or as they are in the file until then.
void read_weights(LinearCall& call, uint64_t address, int64_t i);

// Runs all calls as one region; scratch is set here.
void run_linears(const Run& run, LinearCall* calls, int32_t n);
// Scratch memory that products take to pack their weights on the way.
int64_t on_the_way_bytes(const llmpy_op& op);

void run_prepare(Run& run, const llmpy_op& op);
// A region, as far as it can be done as one: its matmuls at least. Returns how many operations that were, with itself.
int32_t run_region_op(Run& run, const llmpy_op& region);
// The tiles begin <= i < end of one of some products.
void run_tiles(const Products& products, LinearCall call, int64_t begin, int64_t end, int32_t worker);
void run_linear_heads(Run& run, const llmpy_op& op);

// Key heads begin <= i < end of n.
struct HeadRange {
    int64_t begin, end, n;
};
// What of a norm of heads, rope or cached belongs to these key heads, for some rows.
void run_op_of_heads(const Run& run, const llmpy_op& op, int32_t row_begin, int32_t row_end, HeadRange heads);
void run_attend(Run& run, const llmpy_op& op);
// The operations of a region of heads from `first` on. False, and nothing done, where a session has more rows than a
// thread takes at a time, so that keys that one thread makes meet queries of another.
bool run_attend_from(Run& run, const llmpy_op* first, const llmpy_op& attend);
void run_rope(Run& run, const llmpy_op& op);
void run_cached(Run& run, const llmpy_op& op);
// The vectors begin <= i < end of a norm, counted over all rows.
void norm_vectors(const Run& run, const llmpy_op& op, int64_t begin, int64_t end);
// How many key heads of one token a thread takes at a time, so that it needs whole tiles of the matmuls; 0: threads cannot
// share heads.
int32_t heads_at_once(const llmpy_plan& plan, const llmpy_op& region, const Products& products);
// All of a region of heads for one token: a thread takes some heads from the matmuls to the attention, and nothing that it
// makes must come from another's cache. False, and nothing done, where it is too much or too little for that.
bool run_heads(Run& run, const llmpy_op& region, const Products& products);
void run_moe(Run& run, const llmpy_op& op);
void run_route(Run& run, const llmpy_op& op);
void run_recurrent(Run& run, const llmpy_op& op);
void run_simple(Run& run, const llmpy_op& op);
void make_rope_tables(const Run& run);

constexpr int32_t kMostExperts = LLMPY_MOST_EXPERTS;
// The indices of the largest values, largest first (ties: the lower index; NaN: last).
void choose_best(const float* values, int32_t n, int32_t n_best, int32_t* best);

// Adds rows of x, `stride` floats apart, to the sums of one matrix; nothing where there are none.
void collect(const Run& run, uint64_t sums, int64_t matrix, const float* x, int64_t n_rows, int64_t width,
             int64_t stride);

// Bytes of memory that an operation needs besides its buffers.
AttendShape attend_shape(const llmpy_op& op, int32_t cache_type);
// Whether attention to so many tokens, summed over the rows, is worth a second thread.
bool worth_sharing(const AttendShape& shape, int64_t tokens);
// All of a tile's call but its heads and the memory it needs.
AttendCall attend_call(const Run& run, const llmpy_op& op, const AttendShape& shape, const Tile& tile);
int64_t attend_partial_bytes(const llmpy_op& op, int32_t cache_type, int64_t rows, int64_t positions);
int64_t moe_bytes(const llmpy_op& op, int64_t rows);

}  // namespace llmpy

#endif
