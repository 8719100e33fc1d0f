// Which experts each token of a step goes to, and the rows that the experts then work on: those of one expert lie together.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "operation.h"

namespace plugtron {

// In the order of plugtron.nn.config's list.
enum Score : int32_t { kSoftmax, kSoftmaxChosen, kSoftmaxRenormalized, kSigmoidChosen };

class Routing {
   public:
    void resize(long tokens, int chosen, int experts) {
        chosen_.resize(std::max<size_t>(chosen_.size(), tokens * chosen));
        strengths_.resize(chosen_.size());
        rows_of_.resize(chosen_.size());
        begins_.resize(std::max<size_t>(begins_.size(), experts + 1));
        counts_.resize(begins_.size());
    }

    // Choose for tokens [begin, end); `logits` are the router's, a row of `op.experts` each.
    void choose(const PlugtronOp& op, Columns logits, long begin, long end) {
        std::vector<float> scores(op.experts), ranked(op.experts), group_scores(op.groups);
        for (long t = begin; t < end; t++) {
            score(op, logits.row(t), scores.data());
            // The order of logits is that of scores, of which several may be rounded to 1.
            const float* order = op.bias || op.groups > 1 ? scores.data() : logits.row(t);
            for (int at = 0; at < op.experts; at++) ranked[at] = order[at] + (op.bias ? op.bias[at] : 0.0f);
            if (op.groups > 1) keep_best_groups(op, ranked.data(), group_scores.data());
            int* own = chosen_.data() + t * op.chosen;
            float* strengths = strengths_.data() + t * op.chosen;
            for (int number = 0; number < op.chosen; number++) {
                own[number] = static_cast<int>(std::max_element(ranked.begin(), ranked.end()) - ranked.begin());
                strengths[number] = scores[own[number]];
                ranked[own[number]] = -std::numeric_limits<float>::infinity();
            }
            weigh(op, strengths);
        }
    }

    // Give every token and expert a row; each expert's begin at a multiple of kTile, as operands want it.
    void arrange(const PlugtronOp& op, long tokens) {
        std::fill_n(counts_.begin(), op.experts, 0);
        for (long pair = 0; pair < tokens * op.chosen; pair++) counts_[chosen_[pair]]++;
        long row = 0;
        active_.clear();
        for (int expert = 0; expert < op.experts; expert++) {
            begins_[expert] = row;
            if (counts_[expert]) active_.push_back(expert);
            row += (counts_[expert] + kTile - 1) / kTile * kTile;
        }
        tokens_.assign(row, -1);
        strengths_of_rows_.resize(row);
        std::fill_n(counts_.begin(), op.experts, 0);
        for (long pair = 0; pair < tokens * op.chosen; pair++) {
            rows_of_[pair] = begins_[chosen_[pair]] + counts_[chosen_[pair]]++;
            tokens_[rows_of_[pair]] = pair / op.chosen;
            strengths_of_rows_[rows_of_[pair]] = strengths_[pair];
        }
    }

    long rows() const { return tokens_.size(); }
    // The token of a row; negative: it only fills up.
    long token(long row) const { return tokens_[row]; }
    // How much a row weighs.
    float strength(long row) const { return strengths_of_rows_[row]; }
    const std::vector<int>& active() const { return active_; }
    long begin(int expert) const { return begins_[expert]; }
    long count(int expert) const { return counts_[expert]; }
    // A token's `number`th row, and how much it weighs.
    long row(const PlugtronOp& op, long token, int number) const { return rows_of_[token * op.chosen + number]; }
    float strength(const PlugtronOp& op, long token, int number) const { return strengths_[token * op.chosen + number]; }

   private:
    static void score(const PlugtronOp& op, const float* logits, float* scores) {
        if (op.score == kSigmoidChosen) {
            for (int at = 0; at < op.experts; at++) scores[at] = 1.0f / (1.0f + std::exp(-logits[at]));
            return;
        }
        std::copy_n(logits, op.experts, scores);
        if (op.score != kSoftmaxChosen) softmax(scores, op.experts);
    }

    static void softmax(float* scores, int count) {
        const float most = *std::max_element(scores, scores + count);
        float sum = 0.0f;
        for (int at = 0; at < count; at++) sum += scores[at] = std::exp(scores[at] - most);
        for (int at = 0; at < count; at++) scores[at] /= sum;
    }

    // Groups count by the sum of their best few; experts of all but the best groups are out of the question.
    static void keep_best_groups(const PlugtronOp& op, float* ranked, float* group_scores) {
        const int size = op.experts / op.groups, counted = op.chosen / op.top_groups;
        std::vector<float> sorted(size);
        for (int group = 0; group < op.groups; group++) {
            std::copy_n(ranked + group * size, size, sorted.data());
            std::partial_sort(sorted.begin(), sorted.begin() + counted, sorted.end(), std::greater<float>());
            group_scores[group] = 0.0f;
            for (int at = 0; at < counted; at++) group_scores[group] += sorted[at];
        }
        std::vector<bool> kept(op.groups);
        for (int number = 0; number < op.top_groups; number++) {
            int best = -1;
            for (int group = 0; group < op.groups; group++)
                if (!kept[group] && (best < 0 || group_scores[group] > group_scores[best])) best = group;
            kept[best] = true;
        }
        for (int at = 0; at < op.experts; at++)
            if (!kept[at / size]) ranked[at] = -std::numeric_limits<float>::infinity();
    }

    static void weigh(const PlugtronOp& op, float* strengths) {
        if (op.score == kSoftmaxChosen) softmax(strengths, op.chosen);
        const bool sum_to_one = op.score == kSoftmaxRenormalized || (op.score == kSigmoidChosen && op.chosen > 1);
        float sum = 0.0f;
        for (int at = 0; at < op.chosen; at++) sum += strengths[at];
        const float factor = op.scale / (sum_to_one ? sum + 1e-20f : 1.0f);
        for (int at = 0; at < op.chosen; at++) strengths[at] *= factor;
    }

    std::vector<int> chosen_;
    std::vector<float> strengths_, strengths_of_rows_;
    std::vector<long> rows_of_, tokens_, begins_, counts_;
    std::vector<int> active_;
};

}  // namespace plugtron
