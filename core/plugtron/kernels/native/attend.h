// The attention of a step, shared out among threads: by tiles and heads, or, where those are few, by keys and values too.
#pragma once

#include <algorithm>
#include <vector>

#include "attention.h"
#include "operation.h"
#include "threads.h"

namespace plugtron {

constexpr int kStages = 4;             // of one operation, at the most: those of divided attention
constexpr long kLong = 256;            // a history that is worth dividing
constexpr long kPiece = 8;             // lanes of keys that are dealt out together
constexpr long kMostScores = 4 << 20;  // more than these stay in the scratch of threads, a tile at a time

class StepAttention {
   public:
    explicit StepAttention(int threads) : own_scores_(threads), own_codes_(threads) {}

    // Lay out a step's tokens, before the threads begin: those of neighboring tokens of one row that share what is read.
    void begin(const Tokens& tokens) {
        tokens_ = &tokens;
        tiles_.clear();
        for (long t = 0; t < tokens.count; t++) {
            const bool same = !tiles_.empty() && tokens.owners[tiles_.back().first] == tokens.owners[t];
            if (same && tiles_.back().count < kTileTokens)
                tiles_.back().count++;
            else
                tiles_.push_back(Tile{t, 1});
        }
        longest_ = tokens.count ? *std::max_element(tokens.positions, tokens.positions + tokens.count) + 1 : 0;
        most_stretches_ = (longest_ + kStretch - 1) / kStretch;
    }

    // Make room for an operation.
    void prepare(const PlugtronOp& op, int threads) {
        if (!divided(op, threads)) return;
        const long tiles = tiles_.size();
        scores_.resize(std::max<size_t>(scores_.size(), tiles * op.heads * (most_stretches_ * kStretch + 1)));
        sums_.resize(std::max<size_t>(sums_.size(), tiles * op.heads * most_stretches_ * op.head_dim));
    }

    void rotate(const PlugtronOp& op, const Heads& heads, const PlugtronLayer& memory, Deal& deal, int size) {
        const Layer own = layer(memory);
        each_head(op, deal, tokens_->count, size, [&](long t, int head) {
            switch (memory.stored) {
                case kStoredF32: return rotate_and_write<float>(heads, own, *tokens_, t, head);
                case kStoredBf16: return rotate_and_write<uint16_t>(heads, own, *tokens_, t, head);
                case kStoredInt8: return rotate_and_write<int8_t>(heads, own, *tokens_, t, head);
            }
        });
    }

    void attend(
        const PlugtronOp& op, const Heads& heads, Columns output, const PlugtronLayer& memory, Deal* deals, Team& team,
        int rank) {
        switch (memory.stored) {
            case kStoredF32: return attend_as<float>(op, heads, output, memory, deals, team, rank);
            case kStoredBf16: return attend_as<uint16_t>(op, heads, output, memory, deals, team, rank);
            case kStoredInt8: return attend_as<int8_t>(op, heads, output, memory, deals, team, rank);
        }
    }

   private:
    static Layer layer(const PlugtronLayer& own) { 
        return Layer{own.keys, own.values, own.key_scales, own.value_scales, own.window, own.chunk};
    }

    // Whether attention is to be divided further than by tiles and heads.
    bool divided(const PlugtronOp& op, int threads) const {
        const long tiles = tiles_.size();
        // One token to a tile: the queries of a tile are those of a group.
        if (threads == 1 || tiles == 0 || tiles != tokens_->count || tiles * op.kv_heads >= 4 * threads) return false;
        return longest_ >= kLong && tiles * op.heads * (most_stretches_ * kStretch + 1) <= kMostScores;
    }

    template <class Work>
    void each_head(const PlugtronOp& op, Deal& deal, long count, int size, Work work) {
        deal.out(count * op.kv_heads, size, [&](long begin, long end) {
            for (long item = begin; item < end; item++) work(item / op.kv_heads, item % op.kv_heads);
        });
    }

    template <class Stored>
    void attend_as(
        const PlugtronOp& op, const Heads& heads, Columns output, const PlugtronLayer& memory, Deal* deals, Team& team,
        int rank) {
        switch (op.head_dim) {
            case 64: return attend_in<Stored, 64>(op, heads, output, memory, deals, team, rank);
            case 128: return attend_in<Stored, 128>(op, heads, output, memory, deals, team, rank);
            default: return attend_in<Stored, 0>(op, heads, output, memory, deals, team, rank);
        }
    }

    template <class Stored, int DIM>
    void attend_in(
        const PlugtronOp& op, const Heads& heads, Columns output, const PlugtronLayer& own, Deal* deals, Team& team,
        int rank) {
        const Layer memory = layer(own);
        const Scores shape{op.scale, op.cap, op.slopes, op.sinks};
        const auto attention = [&](long tile, int head, float* scores) {
            return Attention<Stored, DIM>(
                heads, shape, memory, *tokens_, output, tiles_[tile], head, scores, own_codes_[rank]);
        };
        if (divided(op, team.size())) return attend_divided(op, memory, deals, team, attention);
        std::vector<float>& scores = own_scores_[rank];
        each_head(op, deals[0], tiles_.size(), team.size(), [&](long tile, int head) {
            const long room = Seen(memory, *tokens_, tiles_[tile]).room(tiles_[tile].count * heads.group());
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
    void attend_divided(const PlugtronOp& op, const Layer& memory, Deal* deals, Team& team, Make attention) {
        const long tiles = tiles_.size(), group = op.heads / op.kv_heads, width = group * op.head_dim;
        const int size = team.size();
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
        each_head(op, deals[0], tiles * pieces, size, [&](long item, int head) {
            auto own = attention_of(item / pieces, head);
            const long begin = item % pieces * kPiece;
            own.score_lanes(begin, std::min(begin + kPiece, own.seen().key_lanes()));
        });
        team.barrier();
        each_head(op, deals[1], tiles * group, size, [&](long item, int head) {
            attention_of(item / group, head).softmax_row(static_cast<int>(item % group));
        });
        team.barrier();
        each_head(op, deals[2], tiles * stretches, size, [&](long item, int head) {
            auto own = attention_of(item / stretches, head);
            const long number = item % stretches;
            if (number < own.seen().stretches())
                own.weighted_sum_chunk(number, sums_of_tile(item / stretches, head) + number * width);
        });
        team.barrier();
        each_head(op, deals[3], tiles, size, [&](long tile, int head) {
            auto own = attention_of(tile, head);
            own.gather_stretches(sums_of_tile(tile, head));
            own.scale_results();
        });
    }

    const Tokens* tokens_ = nullptr;
    std::vector<Tile> tiles_;
    long longest_ = 0, most_stretches_ = 0;
    std::vector<std::vector<float>> own_scores_;
    std::vector<Codes> own_codes_;
    std::vector<float> scores_, sums_;
};

}  // namespace plugtron
