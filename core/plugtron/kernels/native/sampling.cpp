// What is drawn from logits, row by row; several rows by as many threads as there may be.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

#include "draw.h"
#include "most_likely.h"

using namespace plugtron;

namespace {

// Call `work(row)` for all rows, on this thread and others, each of which gets what it needs from `make`.
template <class Make>
void by_rows(long rows, int threads, Make make) {
    std::atomic<long> taken{0};
    const auto serve = [&] {
        auto work = make();
        for (long row = taken++; row < rows; row = taken++) work(row);
    };
    std::vector<std::thread> others;
    try {
        for (long more = 1; more < std::min<long>(threads, rows); more++) others.emplace_back(serve);
    } catch (const std::system_error&) {
        // There are no more threads to be had: those that there are do all of it.
    }
    serve();
    for (auto& other : others) other.join();
}

}  // namespace

extern "C" {

// tokens[row]: an id, or below 0 as draw_column has it. `ids` may be null; strides are in elements.
void plugtron_draw(
    const float* scores, const int64_t* ids, const int64_t* seeds, const int64_t* positions, const bool* greedy,
    int64_t* tokens, int64_t rows, int64_t count, int64_t score_stride, int64_t id_stride, int32_t threads) {
    by_rows(rows, threads, [&] {
        return [&](long row) {
            const int64_t* own = ids == nullptr ? nullptr : ids + row * id_stride;
            const RandomKey key(seeds[row], positions[row]);
            const long column = draw_column(scores + row * score_stride, own, count, greedy[row] ? nullptr : &key);
            tokens[row] = column < 0 || own == nullptr ? column : own[column];
        };
    });
}

void plugtron_keep_most_likely(
    const float* logits, const float* limits, float* kept, int64_t rows, int64_t count, int64_t stride,
    int32_t by_probability, int32_t threads) {
    by_rows(rows, threads, [&] {
        return [&, work = MostLikely()](long row) mutable {
            work.keep(logits + row * stride, kept + row * count, count, limits[row], by_probability != 0);
        };
    });
}
}
