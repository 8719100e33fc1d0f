// Chains of stages over the rows of a batch, by a team of threads that sleeps between batches.

#include <atomic>
#include <cstdint>
#include <vector>

#include "chain.h"
#include "threads.h"

using namespace plugtron;

namespace {

// Fewer logits than that are done before another thread is awake.
constexpr long kAlone = 1L << 15;

struct ChainTeam {
    explicit ChainTeam(int threads) : team(threads), chains(threads) {}
    Team team;
    std::vector<Chain> chains;
};

}  // namespace

extern "C" {

struct RowBatch {
    int64_t rows, count, stride;
    const float* logits;       // [rows, count]
    const int64_t* seeds;      // [rows]
    const int64_t* positions;  // [rows]
    const bool* greedy;        // [rows]
    int64_t* tokens;           // [rows]
    float* left;               // [rows, count], or null where nobody asks what the draws have seen
};

void* plugtron_chain(int32_t threads) { return new ChainTeam(threads); }

void plugtron_chain_free(void* chain) { delete static_cast<ChainTeam*>(chain); }

void plugtron_chain_run(void* chain, const RowBatch* batch, const RowStage* stages, int32_t stage_count) {
    auto& [team, chains] = *static_cast<ChainTeam*>(chain);
    std::atomic<long> taken{0};
    const auto serve = [&](int rank) {
        for (long row = taken++; row < batch->rows; row = taken++) {
            const RandomKey key(batch->seeds[row], batch->positions[row]);
            batch->tokens[row] = chains[rank].run(
                batch->logits + row * batch->stride, batch->count, row, stages, stage_count,
                batch->greedy[row] ? nullptr : &key, key,
                batch->left == nullptr ? nullptr : batch->left + row * batch->count);
        }
    };
    if (team.size() == 1 || batch->rows == 1 || batch->rows * batch->count < kAlone)
        serve(0);
    else
        team.run(serve, false);
}
}
