// plan_attend: cuts attention into pieces that threads can take, and makes the tables of rotary embeddings.

#include <math.h>

#include "plan_state.h"

namespace llmpy {
namespace {

// Few rows leave threads idle: then the segments of a long context are shared out too.
constexpr int32_t kSplitRows = 4;
constexpr int32_t kLeastGroup = 8;         // queries that read a page's keys together
constexpr int64_t kWorthProducts = 24000;  // multiplications, about a microsecond, that are worth a second thread

void make_tiles(Rows& rows, int32_t limit) {
    if (rows.tile_limit == limit) return;
    rows.tile_limit = limit;
    rows.n_tiles = 0;
    for (int32_t r = 0; r < rows.n; ++r) {
        Tile* const last = rows.n_tiles > 0 ? &rows.tiles[rows.n_tiles - 1] : nullptr;
        const bool same = last != nullptr && last->session == rows.sessions[r] && last->n_rows < limit &&
                          rows.positions[r] > rows.positions[r - 1];
        if (same) {
            ++last->n_rows;
        } else {
            rows.tiles[rows.n_tiles++] = {r, 1, rows.sessions[r]};
        }
    }
}

// Everything about one attend operation of one run.
struct Attention {
    Run& run;
    Rows& rows;
    AttendShape shape;
    const llmpy_op& op;
    const llmpy_op* first;  // what each piece does before: the operations from here to `op`
    int32_t heads;          // key heads in a piece
    int32_t head_pieces;    // in a tile
    int32_t segments;       // of the longest context
    int64_t partial_stride;

    AttendCall call(const Tile& tile, int32_t piece, int32_t worker) const {
        AttendCall c = attend_call(run, op, shape, tile);
        c.head_begin = piece * heads;
        c.head_end = c.head_begin + heads < shape.n_kv ? c.head_begin + heads : shape.n_kv;
        c.scratch = reinterpret_cast<float*>(run.scratch(worker));
        return c;
    }
    Span span(int32_t row) const {
        const int32_t session_end = run.plan.batch.ends[rows.sessions[row]];
        return attend_span(shape, rows.positions[row], session_end);
    }
    int32_t last_segment(const Tile& tile) const {
        return static_cast<int32_t>((span(tile.first + tile.n_rows - 1).end - 1) / kSegmentTokens);
    }
    int32_t first_segment(const Tile& tile) const {
        return static_cast<int32_t>(span(tile.first).begin / kSegmentTokens);
    }
    float* partial(const AttendCall& c, const Tile& tile, int32_t segment) const {
        const int64_t group = shape.n_head / shape.n_kv;
        const int64_t before = int64_t{tile.first} * shape.n_head + c.head_begin * group * tile.n_rows;
        auto* const memory = reinterpret_cast<float*>(run.plan.partials.data);
        return memory + segment * partial_stride + attend_state_floats(before, shape);
    }
};

void attend_whole(const Attention& a, int32_t threads) {
    const int32_t n_tiles = a.rows.n_tiles;
    // A head's tiles follow each other, so that its keys stay in cache; the last tokens, which see most, come first.
    parallel(threads, n_tiles * a.head_pieces, [&](int32_t i, int32_t worker) {
        const Tile& tile = a.rows.tiles[n_tiles - 1 - i % n_tiles];
        const AttendCall call = a.call(tile, i / n_tiles, worker);
        for (const llmpy_op* op = a.first; op < &a.op; ++op) {
            run_op_of_heads(a.run, *op, tile.first, tile.first + tile.n_rows,
                            {call.head_begin, call.head_end, a.shape.n_kv});
        }
        a.run.plan.level->attention->attend(call);
    });
}

void attend_segments(const Attention& a, int32_t threads) {
    const int32_t n = a.rows.n_tiles * a.head_pieces;
    parallel(threads, n * a.segments, [&](int32_t i, int32_t worker) {
        const Tile& tile = a.rows.tiles[i % n % a.rows.n_tiles];
        const int32_t segment = i / n;
        if (segment < a.first_segment(tile) || segment > a.last_segment(tile)) return;
        AttendCall c = a.call(tile, i % n / a.rows.n_tiles, worker);
        c.segment = segment;
        c.partial = a.partial(c, tile, segment);
        a.run.plan.level->attention->attend(c);
    });
    parallel(threads, n, [&](int32_t i, int32_t worker) {
        const Tile& tile = a.rows.tiles[i % a.rows.n_tiles];
        const AttendCall c = a.call(tile, i / a.rows.n_tiles, worker);
        const int32_t first = a.first_segment(tile);
        a.run.plan.level->attention->join(c, a.partial(c, tile, first), a.partial_stride,
                                          a.last_segment(tile) - first + 1);
    });
}

}  // namespace

bool worth_sharing(const AttendShape& shape, int64_t tokens) {
    return tokens * shape.n_head * (shape.d_key + shape.d_value) >= kWorthProducts;
}

AttendShape attend_shape(const llmpy_op& op, int32_t cache_type) {
    AttendShape s = {};
    s.n_head = static_cast<int32_t>(op.n[0]);
    s.n_kv = static_cast<int32_t>(op.n[1]);
    s.d_key = static_cast<int32_t>(op.n[2]);
    s.d_value = static_cast<int32_t>(op.n[3]);
    s.keys = op.n[4];
    s.values = op.n[5];
    s.window = static_cast<int32_t>(op.n[6]);
    s.causal = op.n[7] != 0;
    s.scale = static_cast<float>(op.f[0]);
    s.softcap = static_cast<float>(op.f[1]);
    s.slopes = reinterpret_cast<const float*>(op.w[1]);
    s.sinks = reinterpret_cast<const float*>(op.w[2]);
    s.type = static_cast<CacheType>(cache_type);
    s.heads_a_key = 1;
    // Many queries of one key head: as if it were several heads, so that threads can share them.
    const int32_t group = s.n_head / s.n_kv;
    for (int32_t part = kLeastGroup; part <= group / 2 && s.heads_a_key == 1; ++part) {
        if (group % part == 0) s.heads_a_key = group / part;
    }
    s.n_kv *= s.heads_a_key;
    return s;
}

AttendCall attend_call(const Run& run, const llmpy_op& op, const AttendShape& shape, const Tile& tile) {
    const Rows& rows = run.rows(op);
    const llmpy_batch& batch = run.plan.batch;
    AttendCall c = {};
    c.shape = &shape;
    c.pages = run.pages(op, tile.session);
    c.positions = rows.positions + tile.first;
    c.q = run.at(rows, op.x) + int64_t{tile.first} * shape.n_head * shape.d_key;
    c.y = run.at(rows, op.y) + int64_t{tile.first} * shape.n_head * shape.d_value;
    c.session_end = batch.ends[tile.session];
    c.n_rows = tile.n_rows;
    c.segment = -1;
    return c;
}

int64_t attend_partial_bytes(const llmpy_op& op, int32_t cache_type, int64_t rows, int64_t positions) {
    if (rows > kSplitRows) rows = kSplitRows;
    const AttendShape shape = attend_shape(op, cache_type);
    const int64_t segments = (positions + kSegmentTokens - 1) / kSegmentTokens;
    return segments * attend_state_floats(rows * shape.n_head, shape) * int64_t{sizeof(float)};
}

namespace {

bool attend_from(Run& run, const llmpy_op* first, const llmpy_op& op) {
    Rows& rows = run.rows(op);
    Attention a = {run, rows, attend_shape(op, run.plan.spec.cache_type), op, first, 0, 0, 0, 0};
    const AttendShape& shape = a.shape;
    make_tiles(rows, attend_rows(shape));
    for (int32_t i = 1; first < &op && i < rows.n_tiles; ++i) {
        if (rows.tiles[i].session <= rows.tiles[i - 1].session) return false;
    }
    if (first < &op && shape.heads_a_key != 1) return false;
    int64_t tokens = 0;
    int32_t longest = 1;
    int64_t end = 0;
    for (int32_t i = 0; i < rows.n_tiles; ++i) {
        const Tile& tile = rows.tiles[i];
        const Span last = a.span(tile.first + tile.n_rows - 1);
        longest = tile.n_rows > longest ? tile.n_rows : longest;
        end = last.end > end ? last.end : end;
        tokens += int64_t{tile.n_rows} * last.end;
    }
    const int32_t threads = worth_sharing(shape, tokens) ? run.threads : 1;
    const int32_t most = attend_heads(shape, longest);
    const int32_t share = (shape.n_kv * rows.n_tiles + threads - 1) / threads;
    a.heads = most < share ? most : share;
    a.heads = a.heads < shape.n_kv ? a.heads : shape.n_kv;
    a.head_pieces = (shape.n_kv + a.heads - 1) / a.heads;
    a.segments = static_cast<int32_t>((end - 1) / kSegmentTokens + 1);
    a.partial_stride = attend_state_floats(int64_t{rows.n} * shape.n_head, shape);
    if (threads > 1 && rows.n <= kSplitRows && a.segments > 1) {
        if (first < &op) return false;
        attend_segments(a, threads);
    } else {
        attend_whole(a, threads);
    }
    return true;
}

}  // namespace

void run_attend(Run& run, const llmpy_op& op) { attend_from(run, &op, op); }

bool run_attend_from(Run& run, const llmpy_op* first, const llmpy_op& attend) {
    return attend_from(run, first, attend);
}

void make_rope_tables(const Run& run) {
    const llmpy_plan_spec& spec = run.plan.spec;
    for (int32_t i = 0; i < spec.n_ropes; ++i) {
        const llmpy_rope& rope = spec.ropes[i];
        float* const table = run.at(run.all, rope.place);
        constexpr int64_t cost = 32;  // of a sine and a cosine, in values of a plain operation
        over_range(run, run.all.n, rope.n_pairs * cost, 1, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
                float* const row = table + 2 * r * rope.n_pairs;
                const double steps =
                    rope.growth_every == 0 ? 0 : static_cast<double>(run.all.positions[r] / rope.growth_every);
                const double magnitude = rope.magnitude * (1 + rope.growth * log1p(steps));
                for (int64_t j = 0; j < rope.n_pairs; ++j) {
                    const double angle = run.all.positions[r] * rope.frequencies[j];
                    row[j] = static_cast<float>(cos(angle) * magnitude);
                    row[rope.n_pairs + j] = static_cast<float>(sin(angle) * magnitude);
                }
            }
        });
    }
}

}  // namespace llmpy
