// llmpy: the interface of the native library, in C. Everything that the shared library exports is declared here and nowhere
// else; src/llmpy/ffi/abi.py is its mirror, and tests/ffi compares the two.
//
// Callers check everything beforehand: places, shapes, addresses, token ids, positions and pages. Pointers are to memory of
// the caller unless it says otherwise.

#ifndef LLMPY_H
#define LLMPY_H

#include <stdint.h>

#if defined(_WIN32)
#define LLMPY_API __declspec(dllexport)
#else
#define LLMPY_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

// ---- the library

#define LLMPY_ABI_VERSION 14  // raised with every incompatible change of this file

LLMPY_API int32_t llmpy_abi_version(void);

// Name of instruction set `number`, worst first; null beyond the last that this build has.
LLMPY_API const char* llmpy_level_name(int32_t number);
// 1 if this machine can run it.
LLMPY_API int32_t llmpy_level_runs_here(int32_t number);

#define LLMPY_MAX_THREADS 256
#define LLMPY_ALIGNMENT 64  // bytes: of memory, packed matrices, places, what lies in pages and in recurrent memory

// Bytes a second at which `n_threads` threads read `bytes` of memory, the best of `passes`; 0 without memory.
LLMPY_API double llmpy_read_bandwidth(int64_t bytes, int32_t n_threads, int32_t passes);

// Zeroed memory, aligned; null when there is none. `bytes` must be the same when it is given back.
LLMPY_API void* llmpy_allocate(int64_t bytes);
LLMPY_API void llmpy_release(void* memory, int64_t bytes);

// Reads a byte of each page, so that the system has a mapped file at hand when it is needed.
LLMPY_API void llmpy_touch(const void* memory, int64_t bytes);

// ---- storage types of weights

// Those that `linear` reads. X(name, Name, number, width, bytes, input, written): the name in enumerators, that of structs and
// of GGUF, its number in GGUF files, values in a block, bytes of a block, the input that `linear` reads beside such
// weights, an InputKind (linear.h), and whether `quantize` writes them.
#define LLMPY_WEIGHT_TYPES(X)                   \
    X(f32, F32, 0, 1, 4, floats, true)          \
    X(f16, F16, 1, 1, 2, int16, true)           \
    X(q4_0, Q4_0, 2, 32, 18, int8, true)        \
    X(q4_1, Q4_1, 3, 32, 20, int8, true)        \
    X(q5_0, Q5_0, 6, 32, 22, int8, true)        \
    X(q5_1, Q5_1, 7, 32, 24, int8, true)        \
    X(q8_0, Q8_0, 8, 32, 34, int8, true)        \
    X(q2_k, Q2_K, 10, 256, 84, int8, true)      \
    X(q3_k, Q3_K, 11, 256, 110, int8, true)     \
    X(q4_k, Q4_K, 12, 256, 144, int8, true)     \
    X(q5_k, Q5_K, 13, 256, 176, int8, true)     \
    X(q6_k, Q6_K, 14, 256, 210, int8, true)     \
    X(iq4_nl, IQ4_NL, 20, 32, 18, int8, true)   \
    X(iq4_xs, IQ4_XS, 23, 256, 136, int8, true) \
    X(bf16, BF16, 30, 1, 2, int16, true)        \
    X(mxfp4, MXFP4, 39, 32, 17, int8, true)

// What activations become before a product.
enum llmpy_input_kind { LLMPY_INPUT_FLOATS = 0, LLMPY_INPUT_INT8 = 1, LLMPY_INPUT_INT16 = 2 };

// The input kind of a type of weights, and the bytes that `prepare` makes of one row.
LLMPY_API int32_t llmpy_input_kind(int32_t type);
LLMPY_API int64_t llmpy_input_bytes(int32_t kind, int64_t inputs);

// Bytes of a packed matrix; see linear.h. -1 for what linear cannot read: an unknown type, or rows that are no whole blocks.
LLMPY_API int64_t llmpy_packed_bytes(int32_t type, int64_t outputs, int64_t inputs);

// The matrices of a tensor, all of one shape. Until they are packed (`ready` is not 0), products read `rows` and pack a few
// tiles at a time for themselves: the same bits, for less speed.
typedef struct llmpy_weights {
    int64_t type, outputs, inputs, matrices;
    const void* rows;       // in the file's layout
    int64_t rows_stride;    // bytes from one matrix to the next
    void* packed;           // llmpy_packed_bytes each
    int64_t packed_stride;  // a multiple of LLMPY_ALIGNMENT
    int32_t ready, unused;
} llmpy_weights;

// Packs all matrices, then sets `ready`. Products may read the weights meanwhile.
LLMPY_API void llmpy_pack(int32_t level, llmpy_weights* weights, int32_t threads);

#define LLMPY_QUANTIZE_CHUNK 65536  // values of one pair of sums

// All blocks of n_values, on so many threads, with a level's kernels or (-1) the best that run here; see quantize.h. `weights`
// [columns] may be null; `sums` gets two numbers for each chunk: of squares of what was lost, and of squares.
// Returns 0, or 1 where it cannot be done: an unknown type, or rows that are no whole blocks.
LLMPY_API int32_t llmpy_quantize(int32_t level, int32_t source, int32_t target, const void* values, int64_t n_values,
                                 int64_t columns, const float* weights, void* out, double* sums, int32_t threads);

// ---- plans: a model's operations, made once and run for each batch in one call
//
// A plan is a flat array of operations over one arena. Buffers are planned per row: a buffer of place p begins at byte
// p * rows, so that the same places serve one token, close together, and a prompt. There are two kinds of rows: "all" the
// tokens of the batch, and the "output" ones, whose logits are asked for.
//
// Not thread-safe: one run of a plan at a time. Several plans may run at once from several threads; they share the pool.

#define LLMPY_OK 0
#define LLMPY_NO_MEMORY (-1)

#define LLMPY_PAGE_TOKENS 64     // positions of a session whose keys and values share a page
#define LLMPY_MOST_EXPERTS 2048  // that `route` chooses from
#define LLMPY_NO_PLACE (-1)      // no such operand
#define LLMPY_LOGITS_PLACE (-2)  // the logits

// Kinds of operations, and what their fields mean. x, x2, y are places; `weights`: the address of an llmpy_weights.
// clang-format off
enum llmpy_op_kind {
    LLMPY_EMBED = 0,  // y                  n: type, width, row bytes, llmpy_row_choice, first    w: rows
                      //                    the row `first` plus what the choice says
    LLMPY_NORM,       // x y                n: width, vectors a row, vectors of weights, centered               f: eps
                      //                    w: f32 weights or 0, f32 bias or 0
    LLMPY_PREPARE,    // x y                n: llmpy_input_kind, inputs, heads     y holds what `linear` reads
    LLMPY_LINEAR,     // x y (x2)           n: type, outputs, inputs               w: weights, f32 bias or 0
                      //                    x2: added to the sum; always in a region
    LLMPY_ROPE,       // x y                n: heads, width, pairs, neox, table
    LLMPY_CACHED,     // x                  n: heads, width, keys, values          places in a page in bytes, or -1
                      //                    w: 1 for pages of `windows`
    LLMPY_ATTEND,     // x y                n: n_head, n_kv, d_key, d_value, keys, values, window, causal       f: scale, softcap
                      //                    w: 1 for pages of `windows`, f32 slopes of ALiBi or 0, f32 sinks or 0
    LLMPY_ADD,        // x x2 y             n: width
    LLMPY_MUL,        // x x2 y             n: width
    LLMPY_SCALE,      // x y                n: width                                                            f: factor
    LLMPY_FUNCTION,   // x y                n: width, llmpy_function
    LLMPY_GATE,       // x x2 y             n: width, llmpy_function               y = function(x) * x2
    LLMPY_MOE,        // x x2 y             n: n_embd, n_ff, n_expert, n_used, types of gate, up, down, llmpy_function
                      //                    x2: router weights of all experts
                      //                    w: weights of the experts, three times; three f32 biases or 0;
                      //                    two `llmpy_sums` or 0: of what gate and up, and of what down is fed
    LLMPY_OUTPUT_ROWS, // x y               n: width                               x in rows "all", y in rows "output"
    LLMPY_ROUTE,      // x y                n: n_expert, n_used, llmpy_gating, normalize, groups, groups used   f: factor
                      //                                                           w: f32 bias or 0
    LLMPY_LINEAR_HEADS,  // x y             n: type, outputs, inputs, heads        w: weights of the heads
    LLMPY_MUL_EACH,   // x x2 y             n: width, vectors a row                x2: one factor for each vector
    LLMPY_ADD_WEIGHT, // x y                n: width, times in a row               w: f32 [width]
    LLMPY_MUL_WEIGHT, // x y                n: width, times in a row               w: f32 [width]
    LLMPY_SUM,        // x y                n: width, vectors a row                y: one sum for each vector
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
    LLMPY_REGION      //                    n: operations, matmuls, llmpy_region_type
                      //                    the operations from here on belong together, the matmuls among them come first
};
// clang-format on

// What the operations of a region are. Those of one region have the same rows, and a buffer that one of them reads is not
// written by another, unless it is element by element: threads are at different operations.
enum llmpy_region_type {
    LLMPY_REGION_LINEARS = 0,  // matmuls of one input
    LLMPY_REGION_GATED,        // two of them and the gate of both, which any range of outputs can be done with
    LLMPY_REGION_HEADS  // matmuls of one input or none, and norms of heads, rope, cached and attend, all of which can
                        // be done for some key heads and their queries, whose outputs follow each other
};

// Functions of one number, see ops.h. The last is only there as the first factor of a gate.
enum llmpy_function {
    LLMPY_FUNCTION_SILU = 0,
    LLMPY_FUNCTION_GELU,
    LLMPY_FUNCTION_GELU_EXACT,
    LLMPY_FUNCTION_RELU,
    LLMPY_FUNCTION_SIGMOID,
    LLMPY_FUNCTION_TANH,
    LLMPY_FUNCTION_EXP,
    LLMPY_FUNCTION_SOFTPLUS,
    LLMPY_FUNCTION_SWIGLU_CLAMPED
};

// How scores of experts become router weights.
enum llmpy_gating { LLMPY_GATING_SOFTMAX = 0, LLMPY_GATING_SIGMOID, LLMPY_GATING_SPARSEMIXER };

// Which row of a table `embed` takes: that of the token, of its position, or always the first.
enum llmpy_row_choice { LLMPY_ROW_TOKEN = 0, LLMPY_ROW_POSITION, LLMPY_ROW_FIRST };

// How keys and values lie in pages, see attend.h.
enum llmpy_cache_type { LLMPY_CACHE_INT14 = 0, LLMPY_CACHE_F32, LLMPY_CACHE_Q8_0, LLMPY_CACHE_F16, LLMPY_CACHE_Q4_0 };

typedef struct llmpy_op {
    int32_t kind;
    int32_t output_rows;  // 1: for the output rows only
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
    const int32_t* output_rows;  // rows, ascending
    const int32_t* ends;         // [sessions] how many tokens each holds, with those of the batch
    const int32_t* first_page;   // [sessions] where a session's pages begin in `pages`
    const uint64_t* pages;       // addresses
    const uint64_t* windows;     // those of pages that only windows read, at the same places; passed ones may be 0
    const uint64_t* recurrent;   // [sessions] addresses of memory that recurrent operations change
    float* logits;               // [output rows, n_vocab]
} llmpy_batch;

typedef struct llmpy_plan_spec {
    int32_t level;
    int32_t cache_type;  // llmpy_cache_type
    int32_t n_ops, n_ropes;
    int32_t logits, unused;  // the matmul that writes the logits; -1: something else does
    const llmpy_op* ops;     // copied, as are the ropes
    const llmpy_rope* ropes;
    int64_t all_bytes;  // of all buffers, for a row of each kind
    int64_t output_bytes;
} llmpy_plan_spec;

struct llmpy_plan;

// Null when there is no memory. `bind` and `reserve` must follow before it can run.
LLMPY_API struct llmpy_plan* llmpy_plan_create(const llmpy_plan_spec* spec);
LLMPY_API void llmpy_plan_destroy(struct llmpy_plan* plan);

// From now on the batch is there. The arrays must last until the next call of this, and of `run`.
LLMPY_API void llmpy_plan_bind(struct llmpy_plan* plan, const llmpy_batch* batch);

// Memory for batches of up to so many tokens, output rows, positions in a session, and threads. What was there is lost.
// Returns LLMPY_OK or LLMPY_NO_MEMORY.
LLMPY_API int32_t llmpy_plan_reserve(struct llmpy_plan* plan, int64_t tokens, int64_t output_rows, int64_t positions,
                                     int32_t threads);

// Runs the batch: keys and values to the pages, logits of the output rows. Within what was reserved.
LLMPY_API void llmpy_plan_run(struct llmpy_plan* plan, int32_t tokens, int32_t output_rows, int32_t threads);

// What tracing knows of an operation: how often it ran, for how many rows in all, and for how long. A region counts what ran
// together, and `ops` is how many operations that were, with itself.
typedef struct llmpy_op_time {
    int64_t calls, rows, ops;
    uint64_t nanoseconds;
} llmpy_op_time;

// From now on each run adds to `times` [n_ops], which must last until the next call of this; null: no more.
LLMPY_API void llmpy_plan_trace(struct llmpy_plan* plan, llmpy_op_time* times);

// ---- sampling: the next token from the logits, by a chain of steps, in one call
//
//   p(i) = exp(logit[i] - max) / sum, over the tokens that the steps leave; the draw is its inverse
//   in id order.
//
//   logits     f32  [n_vocab]     only read; finite or -inf
//   history    i32  [n_history]   ids said so far, the latest last; may be null when n_history is 0
//   workspace       llmpy_sample_workspace(n_vocab) bytes, aligned to 8, zeroed before first use;
//                   for one thread at a time
//
// Every step equals the one of the same name in llmpy/sampling/, and the token equals `draw` in
// sampling/weights.py, bit for bit. See sample.h.

#define LLMPY_SAMPLE_MAX_VOCAB (1 << 22)  // keeps the sum of all probabilities below 2^62

// Kinds of steps.                              count                              value
enum llmpy_sample_kind {
    LLMPY_SAMPLE_GREEDY = 0,           //
    LLMPY_SAMPLE_TEMPERATURE,          //                                        temperature > 0
    LLMPY_SAMPLE_TOP_K,                //        tokens, 0 off
    LLMPY_SAMPLE_TOP_P,                //                                        probability, 0 < value <= 1
    LLMPY_SAMPLE_MIN_P,                //                                        natural logarithm of the ratio, <= 0
    LLMPY_SAMPLE_REPETITION,           //        window, -1 all                  penalty > 0
    LLMPY_SAMPLE_FREQUENCY,            //        window, -1 all                  penalty
    LLMPY_SAMPLE_PRESENCE,             //        window, -1 all                  penalty
    LLMPY_SAMPLE_LOGIT_BIAS,           //        entries of ids, biases
    LLMPY_SAMPLE_DYNAMIC_TEMPERATURE,  //                                        low > 0, high >= low, exponent >= 0
    LLMPY_SAMPLE_TOP_A,                //                                        natural logarithm of a1, a2 > 0
    LLMPY_SAMPLE_TOP_N_SIGMA,          //                                        standard deviations > 0
    LLMPY_SAMPLE_TAIL_FREE,            //                                        share, 0 <= value < 1
    LLMPY_SAMPLE_LOCALLY_TYPICAL,      //                                        probability, 0 < value < 1
    LLMPY_SAMPLE_XTC,                  //                                        chance, threshold > 0
    LLMPY_SAMPLE_SEQUENCE_REPETITION,  //        window to 512, least length,
                                       //        tolerance, most merged          flat, stacking penalty
    LLMPY_SAMPLE_DRY,                  //        allowed length, window,
                                       //        breakers in ids, ascending      multiplier >= 0, base >= 1
    LLMPY_SAMPLE_MIROSTAT1,            //        tokens that are estimated from  tau, eta          state: mu
    LLMPY_SAMPLE_MIROSTAT2,            //                                        tau, eta          state: mu
    LLMPY_SAMPLE_ADAPTIVE_P            //                                        target, decay     state: two sums
};

// Why no token could be drawn.
enum llmpy_sample_error {
    LLMPY_SAMPLE_BAD_ARGUMENT = -1,       // null, a size or a parameter out of range
    LLMPY_SAMPLE_NOT_A_NUMBER = -2,       // a logit is NaN or +inf
    LLMPY_SAMPLE_NOTHING_LEFT = -3,       // every logit is -inf
    LLMPY_SAMPLE_TOKEN_OUT_OF_RANGE = -4  // an id in the history or a bias, not in range
};

typedef struct llmpy_sample_step {
    int32_t kind;      // llmpy_sample_kind
    int32_t min_keep;  // how many tokens a step that truncates leaves at least
    int32_t count[4];
    double value[3];
    const int32_t* ids;
    const float* biases;
} llmpy_sample_step;

// A chain of steps with all that `llmpy_sample` wants of it.
typedef struct llmpy_chain {
    const llmpy_sample_step* steps;
    void* workspace;
    int64_t workspace_size;
    int64_t n_history;    // how many of the latest ids the steps look at; -1: all
    const int32_t* ends;  // ids after which there is no more to say
    double* state;        // of the last step, read and, once a token is drawn, written; null where it has none
    int32_t n_steps, n_vocab, n_ends;
} llmpy_chain;

// Bytes of workspace; 0 when n_vocab is out of range.
LLMPY_API int64_t llmpy_sample_workspace(int32_t n_vocab);

// The chosen id, or an llmpy_sample_error. `seed` and `counter` are those of llmpy.Rng before the draw.
LLMPY_API int32_t llmpy_sample(const llmpy_chain* chain, const float* logits, const int32_t* history, int64_t n_history,
                               uint64_t seed, uint64_t counter);

// The logits after all steps, without a draw, into `out` [n_vocab], which may be `logits`: -inf is what was removed.
// Returns 0, or an llmpy_sample_error.
LLMPY_API int32_t llmpy_sample_apply(const llmpy_chain* chain, const float* logits, const int32_t* history,
                                     int64_t n_history, uint64_t seed, uint64_t counter, float* out);

// For log-probabilities: writes log(sum of exp(logits)) and the ids of the `n_top` largest logits,
// in id order and without those of -inf, to `top` [n_top]. Returns how many ids, or an llmpy_sample_error.
LLMPY_API int32_t llmpy_sample_top(const float* logits, int32_t n_vocab, int32_t n_top, int32_t* top, double* log_sum,
                                   void* workspace, int64_t workspace_size);

// The arguments of `llmpy_plan_generate`.
typedef struct llmpy_generation {
    const llmpy_chain* chain;
    int32_t* ids;
    int64_t n, most;
    const uint64_t* pages;
    const uint64_t* windows;
    uint64_t recurrent, seed, counter;
    int64_t threads;
} llmpy_generation;

// One or more tokens of one session: a step of the plan for the last token said, and the next one by the chain, again and
// again, so that what two calls from outside cost is paid once for all tokens that nobody looks at in between. The same bits
// as one call after the other.
//
// `ids` are the `n` tokens said, of which all but the last are read, and room for `most` more; so are `pages` and
// `windows`. Says up to `most` tokens, until one of the ends, or for some milliseconds: others may wait. Returns how
// many; all but the last of them are read. Or, if none could be drawn, an llmpy_sample_error; the last of the `n` is read
// then.
// The plan must have been given room for a batch of one token, its logits, and so many positions.
LLMPY_API int32_t llmpy_plan_generate(struct llmpy_plan* plan, const llmpy_generation* generation);

// A sampler and what it looks at besides logits.
typedef struct llmpy_draw {
    const llmpy_chain* chain;
    const int32_t* history;
    int64_t n_history;
    uint64_t seed, counter;
} llmpy_draw;

// `llmpy_sample` for the first `n` output rows of the last run, each of `n_vocab` logits, on several threads: no two draws
// have one chain, and those without one draw nothing. An id or an llmpy_sample_error for each goes to `ids` [n]. Once after
// a run.
LLMPY_API void llmpy_plan_draw(struct llmpy_plan* plan, const llmpy_draw* draws, int32_t n, int64_t n_vocab,
                               int32_t* ids, int32_t threads);

// ---- arrays of strings in model files, which have 400,000 of them

// Finds `count` strings in `size` bytes, each behind its length (64 bits, little-endian) of at most `longest` bytes.
// Returns how many bytes they take with their lengths; -1 where one reaches over the end, is too long, or holds a NUL.
// Into `text`, if it is not null, go their bytes, a NUL behind each.
LLMPY_API int64_t llmpy_strings(const unsigned char* data, int64_t size, int64_t count, int64_t longest,
                                unsigned char* text);

// One for each NUL in `text`: of the bytes from the last one to it. FNV-1a, as its authors (Fowler, Noll, Vo) define it.
LLMPY_API void llmpy_string_hashes(const unsigned char* text, int64_t size, uint64_t* hashes);

// ---- compute passes of wgpu-native, a library of another project

// Its functions by their addresses: wgpuComputePassEncoderSetPipeline, -SetBindGroup and -DispatchWorkgroups.
typedef struct llmpy_gpu_functions {
    void* set_pipeline;
    void* set_bind_group;
    void* dispatch_workgroups;
} llmpy_gpu_functions;

// A dispatch of x * y workgroups, left out where x is 0: the handles of its pipeline and bind group.
typedef struct llmpy_gpu_dispatch {
    void* pipeline;
    void* bind_group;
    int32_t x, y;
} llmpy_gpu_dispatch;

// Records `n` dispatches into a pass, one after another.
LLMPY_API void llmpy_gpu_record(const llmpy_gpu_functions* functions, void* pass, const llmpy_gpu_dispatch* dispatches,
                                int64_t n);

#ifdef __cplusplus
}
#endif

#endif
