// A team of threads for one step at a time. Inside a step threads wait for each other by spinning, because stages are
// microseconds long; between steps they sleep, so that an idle process costs nothing. Where the caller has something to do
// in the middle of a step, they spin for a while before they sleep: to wake them takes longer than most of that.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace plugtron {

inline void relax() {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

class Team {
   public:
    explicit Team(int size) : size_(size) {
        for (int rank = 1; rank < size; rank++) members_.emplace_back([this, rank] { serve(rank); });
    }

    ~Team() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            leaving_ = true;
        }
        begun_.notify_all();
        for (auto& member : members_) member.join();
    }

    int size() const { return size_; }

    // Run `work(rank)` on every thread, the caller being rank 0; returns when all are done. `more`: of the same step is
    // soon to follow.
    void run(const std::function<void(int)>& work, bool more) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            work_ = &work;
            busy_.store(size_ - 1, std::memory_order_relaxed);
            more_.store(more, std::memory_order_relaxed);
            turn_.fetch_add(1, std::memory_order_release);
        }
        begun_.notify_all();
        work(0);
        spin([this] { return busy_.load(std::memory_order_acquire) == 0; });
    }

    // Wait until every thread of the running work has come here.
    void barrier() {
        if (size_ == 1) return;
        const int phase = phase_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
            arrived_.store(0, std::memory_order_relaxed);
            phase_.store(phase + 1, std::memory_order_release);
            return;
        }
        spin([this, phase] { return phase_.load(std::memory_order_acquire) != phase; });
    }

   private:
    // A thread that the system has put to sleep is waited for politely after a while.
    template <class Done>
    static void spin(Done done) {
        for (int spins = 0; !done(); spins++) {
            if (spins < 2000)
                relax();
            else
                std::this_thread::yield();
        }
    }

    void serve(int rank) {
        long seen = 0;
        while (true) {
            if (more_.load(std::memory_order_relaxed)) await(seen);
            const std::function<void(int)>* work;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                begun_.wait(lock, [&] { return leaving_ || turn_.load(std::memory_order_relaxed) != seen; });
                if (leaving_) return;
                seen = turn_.load(std::memory_order_relaxed);
                work = work_;
            }
            (*work)(rank);
            busy_.fetch_sub(1, std::memory_order_release);
        }
    }

    // Look out for the next turn for a while.
    void await(long seen) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(kPatience);
        for (int spins = 1; turn_.load(std::memory_order_acquire) == seen; spins++) {
            relax();
            if (spins % 64 == 0 && std::chrono::steady_clock::now() > end) return;
        }
    }

    static constexpr int kPatience = 300;  // microseconds

    const int size_;
    std::vector<std::thread> members_;
    std::mutex mutex_;
    std::condition_variable begun_;
    const std::function<void(int)>* work_ = nullptr;
    std::atomic<long> turn_{0};
    std::atomic<bool> more_{false};
    bool leaving_ = false;
    std::atomic<int> busy_{0};
    std::atomic<int> arrived_{0};
    std::atomic<int> phase_{0};
};

// The share of `rank` when `count` things are divided in order.
struct Share {
    long begin, end;
    Share(long count, int rank, int size) : begin(count * rank / size), end(count * (rank + 1) / size) {}
};

// Deals things out to threads in ever smaller parts, as they come back for more: so a thread whose things take longer, or
// whose processor is busy otherwise, is not what all wait for.
class Deal {
   public:
    void reset() { taken_.store(0, std::memory_order_relaxed); }

    // Call `work(begin, end)` for parts of [0, count) until all are dealt out.
    template <class Work>
    void out(long count, int size, Work work) {
        deal(0, count, size, work);
    }

    // The same, but that most of them are one equal share for each thread, which lies in one piece in memory.
    template <class Work>
    void out_in_shares(long count, int rank, int size, Work work) {
        const long equal = count / 4 * 3;
        const Share share(equal, rank, size);
        if (share.begin < share.end) work(share.begin, share.end);
        deal(equal, count, size, work);
    }

   private:
    template <class Work>
    void deal(long first, long count, int size, Work work) {
        const long rest = count - first;
        long begin = taken_.load(std::memory_order_relaxed);
        while (begin < rest) {
            const long end = begin + std::max(1L, (rest - begin) / (2 * size));
            if (!taken_.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
            work(first + begin, first + end);
            begin = taken_.load(std::memory_order_relaxed);
        }
    }

    std::atomic<long> taken_{0};
};

}  // namespace plugtron
