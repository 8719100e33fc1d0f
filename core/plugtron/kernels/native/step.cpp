// A step: a list of operations that a team of threads walks together. What the operations are, plugtron.execution.lowering
// says; their order is a decoder's, and no operation knows a family of models.
//
// Hidden states are float32 throughout. An operation that multiplies with weights reads what the one before it has made of
// them, int8 or floats as its weights want; between two operations the threads wait for each other.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "activations.h"
#include "attention.h"
#include "linear.h"
#include "memory.h"
#include "norm.h"
#include "threads.h"

using namespace plugtron;

namespace {

enum Kind : int32_t { kNormalize, kPrepare, kLinear, kRotate, kAttend, kActivate };

// Buffers of floats that operations name by number.
enum Buffer : int32_t { kHidden, kQkv, kAttended, kChannels, kLogits, kBuffers };

}  // namespace

extern "C" {

// One operation; what each kind reads of it is said where it is carried out. The layout is known to Python's ctypes.
struct PlugtronOp {
    int32_t kind, source, target, layer;
    int32_t inputs, outputs, format, flags;
    int32_t stride, offset;
    int32_t heads, kv_heads, head_dim, rotary;
    float epsilon, scale;
    const uint8_t* packed;
    const float* weight;
    const float* bias;
};

struct PlugtronLayer {
    void* keys;
    void* values;
    int32_t window, bf16;
};
}

namespace {

// kGrouped and kDense: what is wanted of a linear's operand.
enum Flags { kAdd = 1, kSelected = 2, kGated = 4, kGrouped = 8, kDense = 16, kShared = 32 };

constexpr int kStages = 4;             // of one operation, at the most: those of divided attention
constexpr long kLong = 256;            // a history that is worth dividing
constexpr long kPiece = 8;             // lanes of keys that are dealt out together
constexpr long kMostScores = 4 << 20;  // more than these stay in the scratch of threads, a tile at a time

class Program {
   public:
    Program(const PlugtronOp* ops, int count, int threads)
        : ops_(ops, ops + count), deals_(count * kStages), threads_(threads) {
        scratch_.resize(threads);
        for (const PlugtronOp& op : ops_) dense_ = dense_ || (op.kind == kLinear && is_dense(op.format));
        gather();
    }

    // In a process that was forked from the one that gathered the team, its threads are not there to be waited for.
    ~Program() {
        if (getpid() != process_) team_.release();
    }

    // Carry out operations [begin, end). `partial` is where the last of them leaves what ranks are to sum up, or null where
    // there is but one; `ends`, or null, where to say when each was done, in nanoseconds.
    void run(
        int begin, int end, const PlugtronLayer* layers, const Tokens& tokens, float* hidden, float* logits,
        double* partial, int64_t* ends) {
        if (getpid() != process_) gather();
        tokens_ = &tokens;
        layers_ = layers;
        buffers_[kHidden] = hidden;
        buffers_[kLogits] = logits;
        partial_ = partial;
        prepare();
        for (int deal = begin * kStages; deal < end * kStages; deal++) deals_[deal].reset();
        team_->run([this, begin, end, ends](int rank) {
            for (int at = begin; at < end; at++) {
                execute(ops_[at], &deals_[at * kStages], rank);
                team_->barrier();
                if (ends && rank == 0) ends[at] = now();
            }
        });
    }

   private:
    static int64_t now() {
        return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
    }

    void gather() {
        team_.release();
        team_.reset(new Team(threads_));
        process_ = getpid();
    }

    int rows(const PlugtronOp& op) const { return op.flags & kSelected ? tokens_->logit_count : tokens_->count; }

    // Make room for what operations write, before the threads begin.
    void prepare() {
        size_t widest = 0;
        tiles_.clear();
        for (const PlugtronOp& op : ops_) {
            widest = std::max<size_t>(widest, Dense::padded(op.inputs));
            if (op.kind == kLinear && op.target != kHidden && op.target != kLogits)
                grow(op.target, static_cast<size_t>(tokens_->count) * op.stride);
            if (op.kind != kAttend) continue;
            grow(kAttended, static_cast<size_t>(tokens_->count) * op.heads * op.head_dim);
            if (!tiles_.empty()) continue;
            divide_into_tiles();
            divide_attention(op);
        }
        const size_t tiles = (std::max(tokens_->count, tokens_->logit_count) + kTile - 1) / kTile;
        if (values_.size() < tiles * kTile * widest) {
            values_.resize(tiles * kTile * widest);
            scales_.resize(tiles * kTile * widest / kGroup);
            offsets_.resize(tiles * kTile * widest / kGroup);
            shifts_.resize(tiles * kTile * widest / kGroup);
            half_shifts_.resize(tiles * kTile * widest / kGroup);
        }
        if (dense_ && floats_.size() < tiles * kTile * widest) {
            floats_.resize(tiles * kTile * widest);
            brains_.resize(tiles * kTile * widest);
        }
        for (auto& own : scratch_) own.row.resize(widest);
    }

    // Neighboring tokens of one row share what is read of its memory.
    void divide_into_tiles() {
        for (long t = 0; t < tokens_->count; t++) {
            const bool same = !tiles_.empty() && tokens_->owners[tiles_.back().first] == tokens_->owners[t];
            if (same && tiles_.back().count < kTileTokens)
                tiles_.back().count++;
            else
                tiles_.push_back(Tile{t, 1});
        }
    }

    // Whether attention is to be divided further than by tiles and heads, and what it needs then. All of a step's
    // attention has heads of one kind.
    void divide_attention(const PlugtronOp& op) {
        const long tiles = tiles_.size();
        divided_ = false;
        // One token to a tile: the queries of a tile are those of a group.
        if (threads_ == 1 || tiles == 0 || tiles != tokens_->count || tiles * op.kv_heads >= 4 * threads_) return;
        const long longest = *std::max_element(tokens_->positions, tokens_->positions + tokens_->count) + 1;
        most_stretches_ = (longest + kStretch - 1) / kStretch;
        const long scores = tiles * op.heads * (most_stretches_ * kStretch + 1);
        if (longest < kLong || scores > kMostScores) return;
        divided_ = true;
        scores_.resize(std::max<size_t>(scores_.size(), scores));
        sums_.resize(std::max<size_t>(sums_.size(), tiles * op.heads * most_stretches_ * op.head_dim));
    }

    void grow(int buffer, size_t size) {
        if (storage_[buffer].size() < size) storage_[buffer].resize(size);
        buffers_[buffer] = storage_[buffer].data();
    }

    void execute(const PlugtronOp& op, Deal* deals, int rank) {
        switch (op.kind) {
            case kNormalize: return prepare_rows(op, rank, true);
            case kPrepare: return prepare_rows(op, rank, false);
            case kLinear: return linear(op, deals[0], rank);
            case kRotate: return rotate(op, deals[0]);
            case kAttend: return attend_all(op, deals, rank);
            case kActivate: return activate_all(op, rank);
        }
    }

    // A norm (or none) over rows of `source`, `inputs` wide, made ready for the next linear.
    void prepare_rows(const PlugtronOp& op, int rank, bool norm) {
        const Share share(rows(op), rank, team_->size());
        const Norm own{op.weight, op.bias, op.epsilon};
        float* line = scratch_[rank].row.data();
        for (long row = share.begin; row < share.end; row++) {
            const bool selected = (op.flags & kSelected) && tokens_->logit_index;
            const long from = selected ? tokens_->logit_index[row] : row;
            const float* source = buffers_[op.source] + from * op.inputs;
            if (norm) normalize(own, source, line, op.inputs);
            put(op, row, 0, norm ? line : source, op.inputs);
        }
    }

    // Make `count` numbers of a row, from `column` on, ready for the next linear; a row's last ones with what pads it.
    void put(const PlugtronOp& op, long row, int column, const float* source, int count) {
        if (op.flags & kGrouped) {
            const Quantized target = quantized(op);
            for (int at = 0; at < count; at += kGroup)
                target.put(row, (column + at) / kGroup, load_lane(source + at), load_lane(source + at + kLanes));
        }
        if (op.flags & kDense) {
            const Dense target = dense(op);
            for (int at = 0; at < count; at += kLanes) target.put(row, column + at, load_lane(source + at, count - at));
        }
    }

    // Where what an operation multiplies is: one place for all, because each is used up by the next.
    Quantized quantized(const PlugtronOp& op) {
        return Quantized{
            op.inputs, values_.data(), scales_.data(), offsets_.data(), shifts_.data(), half_shifts_.data()};
    }

    Dense dense(const PlugtronOp& op) {
        return Dense{op.inputs, Dense::padded(op.inputs), floats_.data(), brains_.data()};
    }

    // Columns `offset` and on of `target`, whose rows are `stride` wide.
    void linear(const PlugtronOp& op, Deal& deal, int rank) {
        const bool add = op.flags & kAdd, shared = op.flags & kShared;
        const Linear layer{
            op.packed, op.bias, op.inputs, op.outputs, op.format, op.stride, op.offset, add, shared, partial_};
        const Quantized grouped = quantized(op);
        const Dense floats = dense(op);
        deal.out_in_shares(layer.blocks(), rank, team_->size(), [&](long begin, long end) {
            multiply(layer, grouped, floats, rows(op), buffers_[op.target], begin, end);
        });
    }

    Heads heads(const PlugtronOp& op) const {
        return Heads{op.heads, op.kv_heads, op.head_dim, op.rotary, op.scale, op.weight, op.bias, op.epsilon};
    }

    template <class Work>
    void each_head(const PlugtronOp& op, Deal& deal, long count, Work work) {
        deal.out(count * op.kv_heads, team_->size(), [&](long begin, long end) {
            for (long item = begin; item < end; item++) work(item / op.kv_heads, item % op.kv_heads);
        });
    }

    Layer layer(const PlugtronOp& op) const {
        const PlugtronLayer& own = layers_[op.layer];
        return Layer{own.keys, own.values, own.window, own.bf16};
    }

    void rotate(const PlugtronOp& op, Deal& deal) {
        const Layer own = layer(op);
        each_head(op, deal, tokens_->count, [&](long t, int head) {
            if (own.bf16)
                rotate_and_write<uint16_t>(heads(op), own, *tokens_, buffers_[kQkv], t, head);
            else
                rotate_and_write<float>(heads(op), own, *tokens_, buffers_[kQkv], t, head);
        });
    }

    void attend_all(const PlugtronOp& op, Deal* deals, int rank) {
        if (layers_[op.layer].bf16)
            attend_as<uint16_t>(op, deals, rank);
        else
            attend_as<float>(op, deals, rank);
    }

    template <class Stored>
    void attend_as(const PlugtronOp& op, Deal* deals, int rank) {
        switch (op.head_dim) {
            case 64: return attend<Stored, 64>(op, deals, rank);
            case 128: return attend<Stored, 128>(op, deals, rank);
            default: return attend<Stored, 0>(op, deals, rank);
        }
    }

    template <class Stored, int DIM>
    void attend(const PlugtronOp& op, Deal* deals, int rank) {
        const Heads own = heads(op);
        const Layer memory = layer(op);
        const auto attention = [&](long tile, int head, float* scores) {
            return Attention<Stored, DIM>(
                own, memory, *tokens_, buffers_[kQkv], buffers_[kAttended], tiles_[tile], head, scores);
        };
        if (divided_) return attend_divided(op, memory, deals, attention);
        std::vector<float>& scores = scratch_[rank].scores;
        each_head(op, deals[0], tiles_.size(), [&](long tile, int head) {
            const long room = Seen(memory, *tokens_, tiles_[tile]).room(tiles_[tile].count * own.group());
            if (static_cast<long>(scores.size()) < room) scores.resize(room);
            auto whole = attention(tile, head, scores.data());
            whole.score_lanes(0, whole.seen().key_lanes());
            for (int query = 0; query < whole.queries(); query++) whole.softmax_row(query);
            for (long number = 0; number < whole.seen().stretches(); number++) whole.weighted_sum_chunk(number);
            whole.scale_results();
        });
    }

    // What few heads of few tokens have to do, keys, queries and values divided among the threads.
    template <class Make>
    void attend_divided(const PlugtronOp& op, const Layer& memory, Deal* deals, Make attention) {
        const long tiles = tiles_.size(), group = op.heads / op.kv_heads, width = group * op.head_dim;
        long lanes = 0, stretches = 0;
        for (const Tile& tile : tiles_) {
            const Seen seen(memory, *tokens_, tile);
            lanes = std::max(lanes, seen.key_lanes());
            stretches = std::max(stretches, seen.stretches());
        }
        const auto attention_of = [&](long tile, int head) {
            const long place = (tile * op.kv_heads + head) * group * (most_stretches_ * kStretch + 1);
            return attention(tile, head, scores_.data() + place);
        };
        const auto sums_of_tile = [&](long tile, int head) {
            return sums_.data() + (tile * op.kv_heads + head) * most_stretches_ * width;
        };
        const long pieces = (lanes + kPiece - 1) / kPiece;
        each_head(op, deals[0], tiles * pieces, [&](long item, int head) {
            auto own = attention_of(item / pieces, head);
            const long begin = item % pieces * kPiece;
            own.score_lanes(begin, std::min(begin + kPiece, own.seen().key_lanes()));
        });
        team_->barrier();
        each_head(op, deals[1], tiles * group, [&](long item, int head) {
            attention_of(item / group, head).softmax_row(static_cast<int>(item % group));
        });
        team_->barrier();
        each_head(op, deals[2], tiles * stretches, [&](long item, int head) {
            auto own = attention_of(item / stretches, head);
            const long number = item % stretches;
            if (number < own.seen().stretches())
                own.weighted_sum_chunk(number, sums_of_tile(item / stretches, head) + number * width);
        });
        team_->barrier();
        each_head(op, deals[3], tiles, [&](long tile, int head) {
            auto own = attention_of(tile, head);
            own.gather_stretches(sums_of_tile(tile, head));
            own.scale_results();
        });
    }

    // act(gate) · up, or act(x), made ready for the next linear; `inputs` channels a row, `layer` the function.
    void activate_all(const PlugtronOp& op, int rank) {
        switch (op.layer) {
            case kSilu: return activate_rows<kSilu>(op, rank);
            case kGelu: return activate_rows<kGelu>(op, rank);
            case kGeluTanh: return activate_rows<kGeluTanh>(op, rank);
            case kGeluQuick: return activate_rows<kGeluQuick>(op, rank);
            case kRelu: return activate_rows<kRelu>(op, rank);
            case kReluSquared: return activate_rows<kReluSquared>(op, rank);
            default: return activate_rows<kTanh>(op, rank);
        }
    }

    template <int FUNCTION>
    void activate_rows(const PlugtronOp& op, int rank) {
        const long groups = (op.inputs + kGroup - 1) / kGroup, gated = op.flags & kGated ? 1 : 0;
        const Share share(rows(op) * groups, rank, team_->size());
        for (long item = share.begin; item < share.end; item++) {
            const long row = item / groups, column = item % groups * kGroup;
            const int count = static_cast<int>(std::min<long>(kGroup, op.inputs - column));
            const float* gate = buffers_[op.source] + row * op.inputs * (1 + gated) + column;
            float line[kGroup];
            for (int at = 0; at < count; at += kLanes) {
                Lane own = activate<FUNCTION>(load_lane(gate + at, count - at));
                if (gated) own = own * load_lane(gate + op.inputs + at, count - at);
                write(line + at, own);
            }
            put(op, row, static_cast<int>(column), line, count);
        }
    }

    struct Scratch {
        std::vector<float> row;
        std::vector<float> scores;
    };

    std::vector<PlugtronOp> ops_;
    std::vector<Deal> deals_;  // kStages for each operation, so that none is dealt anew before all have left it
    const int threads_;
    pid_t process_;
    std::unique_ptr<Team> team_;
    std::vector<Scratch> scratch_;
    std::vector<Tile> tiles_;
    bool divided_ = false;
    long most_stretches_ = 0;
    std::vector<float> scores_, sums_;
    std::vector<float> storage_[kBuffers];
    float* buffers_[kBuffers] = {};
    std::vector<int8_t> values_;
    std::vector<float> scales_;
    std::vector<float> offsets_;
    std::vector<int32_t> shifts_;
    std::vector<int32_t> half_shifts_;
    std::vector<float> floats_;
    std::vector<uint16_t> brains_;
    bool dense_ = false;
    double* partial_ = nullptr;
    const Tokens* tokens_ = nullptr;
    const PlugtronLayer* layers_ = nullptr;
};

}  // namespace

extern "C" {

void* plugtron_program(const PlugtronOp* ops, int32_t count, int32_t threads) {
    return new Program(ops, count, threads);
}

void plugtron_free(void* program) { delete static_cast<Program*>(program); }

void plugtron_run(
    void* program, int32_t begin, int32_t end, const PlugtronLayer* layers, const Tokens* tokens, float* hidden,
    float* logits, double* partial, int64_t* ends) {
    static_cast<Program*>(program)->run(begin, end, layers, *tokens, hidden, logits, partial, ends);
}
}
