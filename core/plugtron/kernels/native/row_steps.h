// Operations that look at one row of hidden states at a time: norms, sums, products, activations. Neighboring ones are one
// list of steps, which a thread takes for a row, or for some columns of it, while the row is in its cache.
#pragma once

#include <algorithm>
#include <vector>

#include "activations.h"
#include "norm.h"

extern "C" {

// One step. Registers hold a row (or some columns of it) each. The layout is known to Python's ctypes.
struct PlugtronRowStep {
    int32_t code, first, second, target;  // registers; kLoad's `first`, kStore's and kPut's `target`: see there
    int32_t offset, stride, width, flags;
    float number, other;
    const float* weight;
    const float* bias;
};
}

namespace plugtron {

// In the order of plugtron.execution.lowering.row_steps' list.
enum RowCode : int32_t {
    kLoad,       // register `target` is columns `offset` and on of buffer `first`, whose rows are `stride` wide
    kParameter,  // register `target` is `weight`, for all rows
    kStore,      // buffer `target`, likewise, is register `first`
    kPut,        // make register `first` ready for linear layers, in operand `target`
    kNormalize,  // of every `width` columns
    kAdd,
    kSubtract,
    kMultiply,
    kAddNumber,
    kMultiplyNumber,
    kDivideNumber,
    kClamp,  // between `number` and `other`
    kWeigh,  // multiply with what the row's expert weighs for its token
    kFunctions
};

// Of a step: what it loads is one number for all columns; rows are those that want logits, of rows of all tokens; a norm
// subtracts the mean; a norm's weight and bias are as wide as a row; an operand in int8; in floats.
enum RowFlag : int32_t { kScalar = 1, kGather = 2, kCentered = 4, kWhole = 8, kPutGrouped = 16, kPutDense = 32 };

constexpr int kRegisters = 24;

template <class Function>
inline void each_lane(const float* from, float* to, int count, Function function) {
    int at = 0;
    for (; at + kLanes <= count; at += kLanes) write(to + at, function(load_lane(from + at)));
    if (at < count) store_lane(to + at, function(load_lane(from + at, count - at)), count - at);
}

template <int KIND>
inline void activate_line(const float* from, float* to, int count) {
    each_lane(from, to, count, [](Lane x) { return activate<KIND>(x); });
}

inline void apply_function(int function, const float* from, float* to, int count) {
    switch (function) {
        case kSilu: return activate_line<kSilu>(from, to, count);
        case kGelu: return activate_line<kGelu>(from, to, count);
        case kGeluTanh: return activate_line<kGeluTanh>(from, to, count);
        case kGeluQuick: return activate_line<kGeluQuick>(from, to, count);
        case kRelu: return activate_line<kRelu>(from, to, count);
        case kReluSquared: return activate_line<kReluSquared>(from, to, count);
        case kTanh: return activate_line<kTanh>(from, to, count);
        case kSigmoid: return activate_line<kSigmoid>(from, to, count);
        case kSquare: return activate_line<kSquare>(from, to, count);
        default: return activate_line<kExponential>(from, to, count);
    }
}

// An operation on two rows, of which the second may be one number.
template <class Function>
inline void combine(const float* first, const float* second, bool scalar, float* to, int count, Function function) {
    if (scalar) {
        const float number = second[0];
        for (int at = 0; at < count; at++) to[at] = function(first[at], number);
    } else {
        for (int at = 0; at < count; at++) to[at] = function(first[at], second[at]);
    }
}

// One thread's registers, over memory of its own.
class RowRegisters {
   public:
    void resize(size_t width) {
        if (width_ >= width) return;
        width_ = width;
        memory_.resize(kRegisters * width);
    }

    const float* operator[](int number) const { return at_[number]; }
    void point(int number, const float* at) { at_[number] = at; }

    // What a register is to hold from now on.
    float* fresh(int number) {
        float* own = memory_.data() + number * width_;
        at_[number] = own;
        return own;
    }

   private:
    size_t width_ = 0;
    std::vector<float> memory_;
    const float* at_[kRegisters] = {};
};

// A step that needs nothing but registers; columns from `column` on, `count` of them.
inline void compute(const PlugtronRowStep& step, RowRegisters& registers, int column, int count) {
    const float* first = registers[step.first];
    const bool scalar = step.flags & kScalar;
    if (step.code == kNormalize) {
        float* to = registers.fresh(step.target);
        for (int at = 0; at < count; at += step.width) {
            const int from = step.flags & kWhole ? column + at : 0;
            const Norm norm{
                step.weight ? step.weight + from : nullptr, step.bias ? step.bias + from : nullptr, step.number,
                (step.flags & kCentered) != 0};
            normalize(norm, first + at, to + at, step.width);
        }
        return;
    }
    const float* second = registers[step.second];
    float* to = registers.fresh(step.target);
    switch (step.code) {
        case kAdd: return combine(first, second, scalar, to, count, [](float a, float b) { return a + b; });
        case kSubtract: return combine(first, second, scalar, to, count, [](float a, float b) { return a - b; });
        case kMultiply: return combine(first, second, scalar, to, count, [](float a, float b) { return a * b; });
        case kAddNumber:
            return combine(first, &step.number, true, to, count, [](float a, float b) { return a + b; });
        case kMultiplyNumber:
            return combine(first, &step.number, true, to, count, [](float a, float b) { return a * b; });
        case kDivideNumber:
            return combine(first, &step.number, true, to, count, [](float a, float b) { return a / b; });
        case kClamp:
            for (int at = 0; at < count; at++) to[at] = std::min(std::max(first[at], step.number), step.other);
            return;
        default: return apply_function(step.code - kFunctions, first, to, count);
    }
}

}  // namespace plugtron
