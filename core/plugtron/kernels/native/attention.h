// Attention of a tile of neighbouring tokens, and of the queries that share a key-value head, over their row's memory.
//
// Keys are taken sixteen at a time, by absolute position, and turned, so that a score is a sum over channels in order and
// lanes are positions. What a query does not see weighs nothing. So each query's result is the same bits whatever tile
// it is in.
#pragma once

#include <limits>
#include <vector>

#include "heads.h"
#include "lanes.h"

namespace plugtron {

constexpr int kTileTokens = 16;
constexpr int kMostGrouped = 64;  // queries to a key-value head
constexpr int kTogether = 6;                   // queries that read a key or a value once for all of them
constexpr int kWeighed = kWord == 16 ? 4 : 1;  // lanes of channels that their sums have registers for

struct Tile {
    long first;  // token
    int count;
};

// Walks one head's keys or values by position, a division only where a block ends.
template <class Stored>
class Cursor {
   public:
    Cursor(const void* memory, const Tokens& tokens, long row, int head, const Heads& heads)
        : memory_(static_cast<const Stored*>(memory)), tokens_(tokens), heads_(heads), row_(row), head_(head) {}

    const Stored* at(long position) {
        if (position < begin_ || position >= end_) {
            begin_ = position / tokens_.block_size * tokens_.block_size;
            end_ = begin_ + tokens_.block_size;
            start_ = memory_ + place(tokens_, row_, begin_, head_, heads_.kv, heads_.dim);
        }
        return start_ + (position - begin_) * heads_.dim;
    }

   private:
    const Stored* memory_;
    const Tokens& tokens_;
    const Heads& heads_;
    const long row_;
    const int head_;
    long begin_ = 0, end_ = 0;
    const Stored* start_ = nullptr;
};

struct AttentionScratch {
    std::vector<float> scores, turned;
};

// Scores of QUERIES queries with sixteen keys, `turned` [dim][16].
template <int QUERIES>
inline void score(const float* const* queries, const float* turned, int dim, float* const* scores) {
    Lane sums[QUERIES] = {};
    for (int channel = 0; channel < dim; channel++) {
        const Lane keys = load_lane(turned + channel * kLanes);
        for (int own = 0; own < QUERIES; own++) sums[own] = fused(sums[own], lane_of(queries[own][channel]), keys);
    }
    for (int own = 0; own < QUERIES; own++) write(scores[own], sums[own]);
}

// Weighted values of QUERIES queries, CHANNELS lanes of them from `channel` on.
template <class Stored, int QUERIES, int CHANNELS>
inline void weigh(
    Cursor<Stored>& values, const float* const* weights, long base, long last, int channel, int dim,
    float* const* results, const float* factors) {
    Lane sums[QUERIES][CHANNELS] = {};
    int widths[CHANNELS];
    for (int part = 0; part < CHANNELS; part++) widths[part] = std::min(kLanes, dim - channel - part * kLanes);
    for (long position = base; position <= last; position++) {
        const Stored* value = values.at(position) + channel;
        Lane parts[CHANNELS];
        for (int part = 0; part < CHANNELS; part++) parts[part] = load_lane(value + part * kLanes, widths[part]);
        for (int own = 0; own < QUERIES; own++) {
            const Lane weight = lane_of(weights[own][position - base]);
            for (int part = 0; part < CHANNELS; part++) sums[own][part] = fused(sums[own][part], weight, parts[part]);
        }
    }
    for (int own = 0; own < QUERIES; own++)
        for (int part = 0; part < CHANNELS; part++) {
            const Lane scaled = sums[own][part] * lane_of(factors[own]);
            store_lane(results[own] + channel + part * kLanes, scaled, widths[part]);
        }
}

// Turn scores into weights that are still to be divided by their sum, whose inverse is returned. Positions before
// `first` and after `last` are not seen.
inline float soften(float* line, long base, long length, long first, long last, float scale) {
    const float least = -std::numeric_limits<float>::max();
    const long begin = first - base, end = last - base + 1;
    for (long at = 0; at < begin; at++) line[at] = least;
    for (long at = end; at < length; at++) line[at] = least;
    Lane most = lane_of(least);
    for (long block = 0; block < length; block += kLanes) most = greater(most, load_lane(line + block));
    const Lane peak = lane_of(greatest_of(most)), factor = lane_of(scale);
    Lane sum = {};
    for (long block = 0; block < length; block += kLanes) {
        const Lane part = exponential((load_lane(line + block) - peak) * factor);
        write(line + block, part);
        sum = sum + part;
    }
    // What is not seen weighs e^-87 so far, which is lost in a sum that the peak gives 1 to; it has to weigh nothing.
    for (long at = 0; at < begin; at++) line[at] = 0.0f;
    for (long at = end; at < length; at++) line[at] = 0.0f;
    return 1.0f / sum_of(sum);
}

template <class Stored, int DIM>
inline void attend_tile(
    const Heads& heads, const Layer& layer, const Tokens& tokens, const float* qkv, float* output, Tile tile, int head,
    AttentionScratch& scratch) {
    const int dim = DIM ? DIM : heads.dim, group = heads.group(), queries = tile.count * group;
    const long row = tokens.owners[tile.first], last = tokens.positions[tile.first + tile.count - 1];
    const long seen = layer.window ? std::max(0L, tokens.positions[tile.first] + 1 - layer.window) : 0;
    const long base = seen / kLanes * kLanes;
    const long length = (last - base) / kLanes * kLanes + kLanes;
    const int lanes = (dim + kLanes - 1) / kLanes;
    scratch.scores.resize(queries * length);
    scratch.turned.resize(lanes * kLanes * kLanes);

    const float* query[kTileTokens * kMostGrouped];
    float* line[kTileTokens * kMostGrouped];
    float* result[kTileTokens * kMostGrouped];
    float factor[kTileTokens * kMostGrouped];
    for (int own = 0; own < queries; own++) {
        const long t = tile.first + own / group, offset = (head * group + own % group) * static_cast<long>(dim);
        query[own] = qkv + t * heads.width() + offset;
        result[own] = output + t * heads.query * dim + offset;
    }

    Cursor<Stored> keys(layer.keys, tokens, row, head, heads);
    for (long block = 0; block < length; block += kLanes) {
        const int there = static_cast<int>(std::min<long>(kLanes, last - base - block + 1));
        for (int part = 0; part < lanes; part++) {
            const int width = std::min(kLanes, dim - part * kLanes);
            Lane rows[kLanes] = {};
            for (int at = 0; at < there; at++) rows[at] = load_lane(keys.at(base + block + at) + part * kLanes, width);
            transpose(rows);
            std::memcpy(scratch.turned.data() + part * kLanes * kLanes, rows, sizeof(rows));
        }
        for (int own = 0; own < queries; own++) line[own] = scratch.scores.data() + own * length + block;
        int own = 0;
        for (; own + kTogether <= queries; own += kTogether)
            score<kTogether>(query + own, scratch.turned.data(), dim, line + own);
        for (; own + 3 <= queries; own += 3) score<3>(query + own, scratch.turned.data(), dim, line + own);
        for (; own < queries; own++) score<1>(query + own, scratch.turned.data(), dim, line + own);
    }

    for (int own = 0; own < queries; own++) {
        const long position = tokens.positions[tile.first + own / group];
        const long first = layer.window ? std::max(0L, position + 1 - layer.window) : 0;
        line[own] = scratch.scores.data() + own * length;
        factor[own] = soften(line[own], base, length, first, position, heads.scale);
    }

    Cursor<Stored> values(layer.values, tokens, row, head, heads);
    for (int channel = 0; channel < dim; channel += kWeighed * kLanes) {
        const int parts = std::min(kWeighed, lanes - channel / kLanes);
        int own = 0;
        if (parts == kWeighed) {
            for (; own + kTogether <= queries; own += kTogether)
                weigh<Stored, kTogether, kWeighed>(values, line + own, base, last, channel, dim, result + own, factor + own);
            for (; own + 3 <= queries; own += 3)
                weigh<Stored, 3, kWeighed>(values, line + own, base, last, channel, dim, result + own, factor + own);
            for (; own < queries; own++)
                weigh<Stored, 1, kWeighed>(values, line + own, base, last, channel, dim, result + own, factor + own);
        }
        for (; own < queries; own++)
            for (int part = 0; part < parts; part++)
                weigh<Stored, 1, 1>(
                    values, line + own, base, last, channel + part * kLanes, dim, result + own, factor + own);
    }
}

template <class Stored>
inline void attend(
    const Heads& heads, const Layer& layer, const Tokens& tokens, const float* qkv, float* output, Tile tile, int head,
    AttentionScratch& scratch) {
    switch (heads.dim) {
        case 64: return attend_tile<Stored, 64>(heads, layer, tokens, qkv, output, tile, head, scratch);
        case 128: return attend_tile<Stored, 128>(heads, layer, tokens, qkv, output, tile, head, scratch);
        default: return attend_tile<Stored, 0>(heads, layer, tokens, qkv, output, tile, head, scratch);
    }
}

}  // namespace plugtron
