// Sums of the numbers of a row, and memory that is read a lane at a time.
#pragma once

#include <new>
#include <vector>

#include "lanes.h"

namespace plugtron {

// A sum of many numbers, sixteen at a time, and in double precision every two thousand.
class LongSum {
   public:
    PLUGTRON_INLINE void add(Lane numbers) { lane_ = lane_ + numbers; }
    PLUGTRON_INLINE void add_product(Lane a, Lane b) { lane_ = fused(lane_, a, b); }
    // To be called after each block of 256.
    PLUGTRON_INLINE void end_block() {
        if (++blocks_ % 8 == 0) settle();
    }
    double total() {
        settle();
        return total_;
    }

   private:
    void settle() {
        total_ += sum_of(lane_);
        lane_ = lane_of(0.0f);
    }

    Lane lane_ = lane_of(0.0f);
    double total_ = 0.0;
    int blocks_ = 0;
};

// Memory that a lane is read from in one piece.
template <class T>
struct Aligned {
    using value_type = T;
    Aligned() = default;
    template <class U>
    Aligned(const Aligned<U>&) {}
    T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(64))); }
    void deallocate(T* memory, size_t) { ::operator delete(memory, std::align_val_t(64)); }
    template <class U> bool operator==(const Aligned<U>&) const { return true; }
    template <class U> bool operator!=(const Aligned<U>&) const { return false; }
};
using Floats = std::vector<float, Aligned<float>>;

}  // namespace plugtron
