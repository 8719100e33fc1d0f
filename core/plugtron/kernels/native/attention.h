// Attention of a tile of neighboring tokens, and of the queries that share a key-value head, over their row's memory.
//
// A score is added up in the lanes of a word, channel after channel, and the lanes half with half (with int8 keys in
// integers, see codes.h); a channel of a result position after position, in stretches that begin at fixed positions. What a
// query does not see weighs nothing. So each query's result is the same bits whatever tile it is in, and however threads
// divide keys and values among them.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "codes.h"
#include "heads.h"
#include "lanes.h"

namespace plugtron {

constexpr int kTileTokens = 16;
constexpr int kMostGrouped = 128;  // queries to a key-value head
constexpr int kKeys = 4;          // keys that are scored together: as many as `sums_of` adds up
constexpr int kAhead = 2;          // blocks from the one that is read to the one that is fetched
constexpr long kStretch = 256;    // positions whose values are added up by themselves
static_assert(kLanes % kKeys == 0 && kStretch % kLanes == 0, "keys and stretches fill lanes");
// Queries that read a key, or some lanes of a value, once for all of them: as many sums as there are registers for.
constexpr int kScored = kWord == 16 ? 6 : 3;
constexpr int kWeighed = kWord == 16 ? 4 : 1;

struct Tile {
    long first;  // token
    int count;
};

// Walks some channels of one head's keys or values by position, without a division as long as positions follow each other.
// Blocks lie anywhere in memory, so a processor does not guess the next ones: one is fetched while another is used.
template <class Stored>
class Cursor {
   public:
    // `stride`: how many numbers there are of each position.
    Cursor(
        const void* memory, const Tokens& tokens, long row, int head, int kv_heads, long last, int stride, int channel,
        int width)
        : memory_(static_cast<const Stored*>(memory)), tokens_(tokens), row_(row), last_(last), head_(head),
          kv_heads_(kv_heads), stride_(stride), channel_(channel), width_(width) {}

    const Stored* at(long position) {
        if (position < begin_ || position >= end_) enter(position);
        const long inside = (position - begin_) * stride_;
        if (next_)
            for (int channel = 0; channel < width_; channel += 64 / sizeof(Stored))
                __builtin_prefetch(next_ + inside + channel);
        return start_ + inside;
    }

    // How many positions from here on, before `end`, lie one after the other.
    long run(long position, long end) const { return std::min(end, end_) - position; }

    // Where the position is that comes kAhead blocks later, or null.
    const Stored* ahead(long position) const { return next_ ? next_ + (position - begin_) * stride_ : nullptr; }

   private:
    void enter(long position) {
        number_ = position == end_ ? number_ + 1 : position / tokens_.block_size;
        begin_ = number_ * tokens_.block_size;
        end_ = begin_ + tokens_.block_size;
        start_ = find(number_);
        next_ = begin_ + kAhead * tokens_.block_size > last_ ? nullptr : find(number_ + kAhead);
    }

    const Stored* find(long number) const {
        return memory_ + block_place(tokens_, row_, number, head_, kv_heads_) * stride_ + channel_;
    }

    const Stored* memory_;
    const Tokens& tokens_;
    const long row_, last_;
    const int head_, kv_heads_, stride_, channel_, width_;
    long number_ = -1, begin_ = 0, end_ = 0;
    const Stored* start_ = nullptr;
    const Stored* next_ = nullptr;
};

// Scores of QUERIES queries with kKeys keys.
template <int QUERIES, class Stored>
inline void score(const float* const* queries, const Stored* const* keys, int dim, float* const* scores) {
    Word sums[QUERIES][kKeys] = {};
// Unrolled, the conversions of all channels would be done first, and put aside.
#pragma GCC unroll 1
    for (int channel = 0; channel < dim; channel += kWord) {
        Word parts[kKeys];
#pragma GCC unroll 8
        for (int key = 0; key < kKeys; key++) parts[key] = load_word(keys[key] + channel, dim - channel);
#pragma GCC unroll 8
        for (int own = 0; own < QUERIES; own++) {
            const Word query = load_word(queries[own] + channel, dim - channel);
#pragma GCC unroll 8
            for (int key = 0; key < kKeys; key++) sums[own][key] = fused(sums[own][key], query, parts[key]);
        }
    }
#pragma GCC unroll 8
    for (int own = 0; own < QUERIES; own++) {
        const Four four = sums_of(sums[own]);
        std::memcpy(scores[own], &four, sizeof(four));
    }
}

// Weighted values at positions [begin, end) of QUERIES queries, LANES lanes of channels from `channel` on; added to what
// targets hold, or in place of it. WHOLE: there are as many channels.
template <class Stored, int QUERIES, int LANES, bool WHOLE>
inline void weigh(
    Cursor<Stored>& values, const float* const* weights, long begin, long end, int channel, int dim,
    float* const* targets, bool add) {
    Lane sums[QUERIES][LANES] = {};
    int widths[LANES];
    for (int part = 0; part < LANES; part++) widths[part] = std::min(kLanes, dim - channel - part * kLanes);
    for (long position = begin; position < end;) {
        const Stored* value = values.at(position);
        const Stored* ahead = values.ahead(position);
        for (long stop = position + values.run(position, end); position < stop; position++, value += dim) {
            if (ahead) {
                for (int part = 0; part < LANES; part += 4 / sizeof(Stored)) __builtin_prefetch(ahead + part * kLanes);
                ahead += dim;
            }
            Lane parts[LANES];
#pragma GCC unroll 8
            for (int part = 0; part < LANES; part++)
                parts[part] = load_lane(value + part * kLanes, WHOLE ? kLanes : widths[part]);
#pragma GCC unroll 8
            for (int own = 0; own < QUERIES; own++) {
                const Lane weight = lane_of(weights[own][position]);
#pragma GCC unroll 8
                for (int part = 0; part < LANES; part++) sums[own][part] = fused(sums[own][part], weight, parts[part]);
            }
        }
    }
#pragma GCC unroll 8
    for (int own = 0; own < QUERIES; own++)
#pragma GCC unroll 8
        for (int part = 0; part < LANES; part++) {
            float* target = targets[own] + channel + part * kLanes;
            const Lane sum = sums[own][part];
            store_lane(target, add ? load_lane(target, widths[part]) + sum : sum, widths[part]);
        }
}

// What a product of query and key becomes before it weighs anything.
struct Scores {
    float scale;
    float cap;            // capped softly: cap · tanh(score / cap); 0: not
    const float* slopes;  // by head, what a score gains with each position (ALiBi), or null
    const float* sinks;   // by head, a score that takes its share of the weight and has no value, or null
};

// Do what is more than to scale; the positions are those from `base` on.
inline void shape_scores(float* line, long base, long length, const Scores& scores, int head) {
    const Lane scale = lane_of(scores.scale), inverse = lane_of(scores.cap == 0.0f ? 0.0f : 1.0f / scores.cap);
    const float slope = scores.slopes ? scores.slopes[head] : 0.0f;
    for (long block = 0; block < length; block += kLanes) {
        Lane own = load_lane(line + block) * scale;
        if (scores.cap != 0.0f) own = activate<kTanh>(own * inverse) * scores.cap;
        write(line + block, own);
        if (scores.slopes)
            for (long at = block; at < block + kLanes; at++) line[at] += slope * static_cast<float>(base + at);
    }
}

// Turn scores into weights that are still to be divided by their sum, whose inverse is returned. Positions before
// `first` and after `last` are not seen.
inline float soften(float* line, long base, long length, long first, long last, const Scores& scores, int head) {
    const float least = -std::numeric_limits<float>::max();
    const bool shaped = scores.cap != 0.0f || scores.slopes || scores.sinks;
    // Slopes count from the last position that is seen, so that sums stay small.
    if (shaped) shape_scores(line, base - last, length, scores, head);
    const float scale = shaped ? 1.0f : scores.scale;
    const long begin = first - base, end = last - base + 1;
    for (long at = 0; at < begin; at++) line[at] = least;
    for (long at = end; at < length; at++) line[at] = least;
    Lane most = lane_of(least);
    for (long block = 0; block < length; block += kLanes) most = greater(most, load_lane(line + block));
    float greatest = greatest_of(most);
    if (scores.sinks) greatest = std::max(greatest, scores.sinks[head]);
    const Lane peak = lane_of(greatest), factor = lane_of(scale);
    Lane sum = {};
    for (long block = 0; block < length; block += kLanes) {
        const Lane part = exponential((load_lane(line + block) - peak) * factor);
        write(line + block, part);
        sum = sum + part;
    }
    // What is not seen weighs e^-87 so far, which is lost in a sum that the peak gives 1 to; it has to weigh nothing.
    for (long at = 0; at < begin; at++) line[at] = 0.0f;
    for (long at = end; at < length; at++) line[at] = 0.0f;
    return 1.0f / (sum_of(sum) + (scores.sinks ? std::exp(scores.sinks[head] - greatest) : 0.0f));
}

// The positions that a tile's queries see, from a multiple of kLanes on, `length` of them with what fills the last lane.
struct Seen {
    long base, last, length;

    Seen(const Layer& layer, const Tokens& tokens, Tile tile) : last(tokens.positions[tile.first + tile.count - 1]) {
        const long first = first_seen(layer, tokens.positions[tile.first]);
        base = first / kLanes * kLanes;
        length = (last - base) / kLanes * kLanes + kLanes;
    }

    long key_lanes() const { return length / kLanes; }
    long first_stretch() const { return base / kStretch; }
    long stretches() const { return last / kStretch + 1 - first_stretch(); }

    // Floats that attention needs for a key-value head: scores of each query, and what they are multiplied with.
    long room(int queries) const { return queries * (length + 1); }
};

// One tile and key-value head: scores of all keys, then weights of all queries, then results; what is done of a stage at
// once is the caller's choice.
template <class Stored, int DIM>
class Attention {
   public:
    // `memory`: as many floats as `Seen::room` says, the same for all stages. `codes`: for a thread to work in.
    Attention(
        const Heads& heads, const Scores& scores, const Layer& layer, const Tokens& tokens, Columns output, Tile tile,
        int head, float* memory, Codes& codes)
        : heads_(heads), shape_(scores), layer_(layer), tokens_(tokens), tile_(tile), seen_(layer, tokens, tile), head_(head),
          dim_(heads.dim), queries_(tile.count * heads.group()), row_(tokens.owners[tile.first]), scores_(memory),
          factors_(memory + queries_ * seen_.length), codes_(codes) {
        for (int own = 0; own < queries_; own++) {
            const long t = tile.first + own / heads.group();
            const long offset = (head * heads.group() + own % heads.group()) * static_cast<long>(dim_);
            query_[own] = heads.queries.row(t) + offset;
            result_[own] = output.row(t) + offset;
        }
    }

    const Seen& seen() const { return seen_; }
    int queries() const { return queries_; }

    // Lanes of keys [begin, end).
    void score_lanes(long begin, long end) {
        const long stop = std::min(seen_.last, seen_.base + end * kLanes - 1);
        Cursor<Stored> keys(layer_.keys, tokens_, row_, head_, heads_.kv, stop, dim(), 0, dim());
        if constexpr (sizeof(Stored) == 1) return score_codes(keys, begin, end, stop);
        float widened[kKeys * (DIM ? DIM : 1)];
        for (long at = begin * kLanes; at < end * kLanes; at += kKeys) {
            const Stored* some[kKeys];
            // Beyond the last there may be anything, and nobody sees what it scores.
            for (int key = 0; key < kKeys; key++) some[key] = keys.at(std::min(seen_.base + at + key, seen_.last));
            if (DIM == 0 || sizeof(Stored) == sizeof(float) || queries_ <= kScored) {
                score_all(some, at);
                continue;
            }
            const float* floats[kKeys];
            for (int key = 0; key < kKeys; key++) {
                for (int channel = 0; channel < DIM; channel += kLanes)
                    write(widened + key * DIM + channel, load_lane(some[key] + channel));
                floats[key] = widened + key * DIM;
            }
            score_all(floats, at);
        }
    }

    void softmax_row(int own) {
        const long position = tokens_.positions[tile_.first + own / heads_.group()];
        const int head = head_ * heads_.group() + own % heads_.group();
        factors_[own] =
            soften(line(own), seen_.base, seen_.length, first_seen(layer_, position), position, shape_, head);
        if constexpr (sizeof(Stored) == 1) weigh_scales(line(own));
    }

    // What a stretch of positions comes to, the first that is seen being number 0: by itself, as `sums` [queries, dim] ...
    void weighted_sum_chunk(long number, float* sums) {
        float* targets[kTileTokens * kMostGrouped];
        for (int own = 0; own < queries_; own++) targets[own] = sums + own * dim();
        weigh_all(number, targets, false);
    }

    // ... or added to the results, one after the other.
    void weighted_sum_chunk(long number) { weigh_all(number, result_, number > 0); }

    // Add up what stretches came to by themselves, [stretches, queries, dim].
    void gather_stretches(const float* sums) {
        for (int own = 0; own < queries_; own++) {
            std::copy_n(sums + own * dim(), dim(), result_[own]);
            for (long number = 1; number < seen_.stretches(); number++) {
                const float* more = sums + (number * queries_ + own) * dim();
                for (int at = 0; at < dim(); at++) result_[own][at] += more[at];
            }
        }
    }

    void scale_results() {
        for (int own = 0; own < queries_; own++)
            for (int at = 0; at < dim(); at++) result_[own][at] *= factors_[own];
    }

   private:
    int dim() const { return DIM ? DIM : dim_; }

    float* line(int own) const { return scores_ + own * seen_.length; }

    // Scores of integers with integers, exact until they are scaled: of a lane of positions at once.
    void score_codes(Cursor<Stored>& keys, long begin, long end, long last) {
        Cursor<float> scales(layer_.key_scales, tokens_, row_, head_, heads_.kv, last, 1, 0, 1);
        codes_.round_queries(query_, queries_, dim());
        for (long lane = begin; lane < end; lane++) {
            const long first = seen_.base + lane * kLanes;
            float some[kLanes];
            const float* factors = some;
            const int8_t* key = keys.at(first);
            if (keys.run(first, last + 1) >= kLanes) {
                if (const int8_t* ahead = keys.ahead(first))
                    for (int at = 0; at < kLanes * dim(); at += 64) __builtin_prefetch(ahead + at);
                factors = scales.at(first);
                codes_.widen_keys<DIM>([&](int at) { return key + at * dim(); }, dim());
            } else {
                // Beyond the last there may be anything, and nobody sees what it scores.
                for (int at = 0; at < kLanes; at++) some[at] = *scales.at(std::min(first + at, last));
                codes_.widen_keys<DIM>([&](int at) { return keys.at(std::min(first + at, last)); }, dim());
            }
            for (int own = 0; own < queries_; own++) codes_.score<DIM>(own, factors, dim(), line(own) + lane * kLanes);
        }
    }

    // Let weights have the scales of the values that they are of.
    void weigh_scales(float* weights) {
        Cursor<float> scales(layer_.value_scales, tokens_, row_, head_, heads_.kv, seen_.last, 1, 0, 1);
        for (long position = seen_.base; position <= seen_.last;) {
            const float* own = scales.at(position);
            const long count = scales.run(position, seen_.last + 1);
            float* target = weights + position - seen_.base;
            long at = 0;
            for (; at + kLanes <= count; at += kLanes) write(target + at, load_lane(target + at) * load_lane(own + at));
            for (; at < count; at++) target[at] *= own[at];
            position += count;
        }
    }

    template <class Key>
    void score_all(const Key* const* keys, long at) {
        float* lines[kScored];
        for (int own = 0; own < queries_;) {
            const int some = std::min(kScored, queries_ - own);
            for (int next = 0; next < some; next++) lines[next] = line(own + next) + at;
            own += score_some<kScored>(query_ + own, keys, lines, some);
        }
    }

    template <int QUERIES, class Key>
    int score_some(const float* const* queries, const Key* const* keys, float* const* lines, int some) {
        if constexpr (QUERIES > 1)
            if (some < QUERIES) return score_some<QUERIES - 1>(queries, keys, lines, some);
        score<QUERIES>(queries, keys, dim(), lines);
        return QUERIES;
    }

    void weigh_all(long number, float* const* targets, bool add) {
        const long stretch = seen_.first_stretch() + number;
        const float* lines[kTileTokens * kMostGrouped];
        for (int own = 0; own < queries_; own++) lines[own] = line(own) - seen_.base;
        int own = 0;
        for (; own + 6 <= queries_; own += 6) weigh_some<6, kWeighed>(stretch, lines + own, targets + own, add);
        // Twice as many lanes keep as many sums going, where a head is that wide.
        for (; own + 3 <= queries_; own += 3)
            if (dim() % (2 * kWeighed * kLanes) == 0)
                weigh_some<3, 2 * kWeighed>(stretch, lines + own, targets + own, add);
            else
                weigh_some<3, kWeighed>(stretch, lines + own, targets + own, add);
        for (; own < queries_; own++) weigh_some<1, 4>(stretch, lines + own, targets + own, add);
    }

    template <int QUERIES, int LANES>
    void weigh_some(long stretch, const float* const* lines, float* const* targets, bool add) {
        int channel = 0;
        for (; channel + LANES * kLanes <= dim(); channel += LANES * kLanes)
            weigh_at<QUERIES, LANES, true>(stretch, lines, channel, targets, add);
        for (; channel < dim(); channel += kLanes) weigh_at<QUERIES, 1, false>(stretch, lines, channel, targets, add);
    }

    template <int QUERIES, int LANES, bool WHOLE>
    void weigh_at(long stretch, const float* const* lines, int channel, float* const* targets, bool add) {
        const long begin = std::max(seen_.base, stretch * kStretch);
        const long end = std::min(seen_.last + 1, (stretch + 1) * kStretch);
        const int width = std::min(LANES * kLanes, dim() - channel);
        Cursor<Stored> values(layer_.values, tokens_, row_, head_, heads_.kv, end - 1, dim(), channel, width);
        weigh<Stored, QUERIES, LANES, WHOLE>(values, lines, begin, end, channel, dim(), targets, add);
    }

    const Heads& heads_;
    const Scores& shape_;
    const Layer& layer_;
    const Tokens& tokens_;
    const Tile tile_;
    const Seen seen_;
    const int head_, dim_, queries_;
    const long row_;
    float* const scores_;
    float* const factors_;
    Codes& codes_;
    const float* query_[kTileTokens * kMostGrouped];
    float* result_[kTileTokens * kMostGrouped];
};

}  // namespace plugtron
