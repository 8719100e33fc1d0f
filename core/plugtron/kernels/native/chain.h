// A chain of stages, and the draw, for one row after the other: the row is read once, and nothing is written but a token.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "candidate_row.h"
#include "draw.h"
#include "laid_row.h"
#include "row_cuts.h"
#include "row_edits.h"

namespace plugtron {

// In the order of plugtron.contracts.sampler.RowOp.
enum RowOp : int32_t {
    kAllow, kMask, kAdd, kPenalize, kPenalizeRepeated, kMaskRepeated,
    kDynamicTemperature, kDivide, kTopNSigma, kTopK, kMinP, kTypicalP, kTopP, kEpsilon, kEta, kExcludeTop, kMirostat,
};

// One stage for all rows of a batch, as plugtron.kernels.native.chain has it.
struct RowStage {
    int32_t op, number_count;
    int64_t table_rows, length, value_width, flag_count;
    const float* numbers;    // [N, number_count]
    const int64_t* rows;     // [N], which row of the tables is whose, below 0 none; null: the tables have a row for each
    const int64_t* ids;      // [table_rows, length]
    const float* values;     // [table_rows, value_width]
    const int64_t* counts;   // [table_rows, value_width]
    const uint8_t* flags;    // [table_rows, flag_count]
    float* result;           // [N]

    // Whether a row's outcome depends on the stage at all.
    bool changes(long row) const {
        const float* own = numbers + row * number_count;
        switch (op) {
            case kDivide: return own[0] != 1.0f;
            case kDynamicTemperature: case kExcludeTop: case kEpsilon: case kEta: return own[0] > 0.0f;
            case kTypicalP: return own[0] < 1.0f;
            case kTopP: return own[0] <= 1.0f;
            case kTopK: case kTopNSigma: case kMirostat: return own[0] < std::numeric_limits<float>::infinity();
            case kMinP: return own[0] > kMasked;
            default: return rows == nullptr || (rows[row] >= 0 && rows[row] < table_rows);
        }
    }

    RowTables tables(long row) const {
        const long own = rows == nullptr ? row : rows[row];
        return {
            numbers == nullptr ? nullptr : numbers + row * number_count,
            ids == nullptr ? nullptr : ids + own * length,
            values == nullptr ? nullptr : values + own * value_width,
            counts == nullptr ? nullptr : counts + own * value_width,
            flags == nullptr ? nullptr : flags + own * flag_count,
            length, flag_count,
        };
    }
};

class Chain {
   public:
    // The token of a row, or below 0 as draw_column has it. Where `left` is not null, the logits that are left go there.
    long run(
        const float* logits, long count, long number, const RowStage* stages, int stage_count, const RandomKey* noise,
        const RandomKey& key, float* left) {
        int last = stage_count - 1;
        while (last >= 0 && !stages[last].changes(number)) last--;
        if (last < 0 && left == nullptr) return draw_column(logits, nullptr, count, noise);
        if (noise == nullptr && left == nullptr && edits_few(number, stages, last)) {
            const long found = draw_edited(logits, count, number, stages, last);
            if (found != LaidRow::kUnsure) return found;
        }
        row_.load(logits, count);
        result_ = nullptr;
        bool edited = false;
        for (int at = 0; at <= last; at++) {
            if (!stages[at].changes(number)) continue;
            const bool edits = stages[at].op <= kMaskRepeated;
            if (edited && !edits) row_.settle();
            if (!edits && !row_.drawable()) break;
            edited = edits;
            if (edits)
                edit(row_, stages[at], number);
            else
                cut(stages[at], number, key);
        }
        if (edited) row_.settle();
        if (left != nullptr) row_.spread(left, count);
        return row_.drawable() ? draw(noise) : row_.failure();
    }

   private:
    long draw(const RandomKey* noise) {
        long column = row_.peak_column();
        if (noise != nullptr)
            column = row_.packed() ? draw_among(row_.values(), row_.ids(), row_.count(), column, *noise)
                                   : draw_from(row_.values(), row_.count(), column, *noise);
        if (result_ != nullptr) {
            const double below = double(row_.value(column)) - row_.peak();
            *result_ = float((std::log(row_.moments().whole) - below) * kBits);
        }
        return row_.id(column);
    }

    // Whether what is done to a row is edits of single ids.
    static bool edits_few(long number, const RowStage* stages, int last) {
        for (int at = 0; at <= last; at++)
            if (stages[at].changes(number) && (stages[at].op == kAllow || stages[at].op > kMaskRepeated)) return false;
        return true;
    }

    long draw_edited(const float* logits, long count, long number, const RowStage* stages, int last) {
        laid_.load(logits, count);
        for (int at = 0; at <= last; at++)
            if (stages[at].changes(number)) edit(laid_, stages[at], number);
        return laid_.most_likely();
    }

    template <class Row>
    void edit(Row& row, const RowStage& stage, long number) {
        const RowTables own = stage.tables(number);
        switch (stage.op) {
            case kAllow:
                if constexpr (std::is_same<Row, CandidateRow>::value) allow(row, own);
                return;
            case kMask: return mask_ids(row, own);
            case kAdd: return add(row, own);
            case kPenalize: return penalize(row, own, changes_);
            case kPenalizeRepeated: return penalize_repeated(row, own, changes_);
            case kMaskRepeated: return mask_repeated(row, own);
        }
    }

    void cut(const RowStage& stage, long number, const RandomKey& key) {
        const float* own = stage.numbers + number * stage.number_count;
        switch (stage.op) {
            case kDynamicTemperature: return dynamic_temperature(row_, own[0], own[1], own[2]);
            case kDivide: return row_.divide(own[0]);
            case kTopNSigma: return top_n_sigma(row_, own[0]);
            case kTopK: return cuts_.top_k(row_, long(std::min(own[0], 1e18f)));
            case kMinP: return row_.keep_from(row_.peak() + own[0]);
            case kTypicalP: return cuts_.typical_p(row_, own[0]);
            case kTopP: return cuts_.top_p(row_, own[0]);
            case kEpsilon: return row_.keep_from(logit_of(row_, own[0]));
            case kEta:
                return row_.keep_from(logit_of(
                    row_, std::min(double(own[0]), std::sqrt(double(own[0])) * std::exp(-entropy_of(row_)))));
            case kExcludeTop: return cuts_.exclude_top(row_, own[0], own[1], key);
            case kMirostat:  // the number is a bound in bits, and the surprise of what is drawn is wanted
                row_.keep_from(logit_of(row_, std::exp(-double(own[0]) / kBits)));
                result_ = stage.result == nullptr ? nullptr : stage.result + number;
        }
    }

    static constexpr double kBits = 1.4426950408889634;  // bits in a nat

    CandidateRow row_;
    LaidRow laid_;
    RowCuts cuts_;
    Changes changes_;
    float* result_ = nullptr;
};

}  // namespace plugtron
