// What a step is made of. The layouts are known to Python's ctypes (binding.py).
#pragma once

#include <cstdint>

#include "heads.h"
#include "row_steps.h"

extern "C" {

// Columns `offset` and on of a buffer, whose rows are `stride` wide.
struct PlugtronPlace {
    int32_t buffer, offset, stride;
};

struct PlugtronCall;

// What an operation from outside is: some rows of its output, from the same rows of its inputs.
typedef void (*PlugtronFunction)(const PlugtronCall* call, long begin, long end);

// One operation; what each kind reads of it is said where it is carried out.
struct PlugtronOp {
    int32_t kind, flags;
    PlugtronPlace source, key, value, target;
    int32_t operand;                 // what linear layers multiply
    int32_t inputs, outputs, format;  // of a weight
    int32_t layer, rotation, temperature, heads, kv_heads, head_dim, rotary;
    int32_t first, count;  // row steps
    int32_t experts, chosen, score, groups, top_groups;
    float scale, cap;
    const uint8_t* packed;
    const float* bias;
    const float* slopes;
    const float* sinks;
    PlugtronFunction function;
};

// What a function from outside is called with: rows of as many inputs as it has, and of its output.
struct PlugtronCall {
    const float* inputs[3];
    int64_t input_strides[3];
    int32_t input_widths[3];
    float* output;
    int64_t output_stride;
    int32_t output_width;
};

struct PlugtronLayer {
    void* keys;
    void* values;
    float* key_scales;
    float* value_scales;
    int32_t window, chunk, stored;
};
}

namespace plugtron {

// In the order of plugtron.execution.lowering.operations' enumerations.
enum Kind : int32_t { kRows, kLinear, kRotate, kAttend, kRoute, kExperts, kCombine, kCall };

// kAddTo: to what is there (the residual). kSelected: rows that want logits, not of all tokens. kPairs: rows of tokens and their
// experts. kShared: ranks share, or might share, the inputs. kEven: experts' results are added up as they are. kGrows: queries are
// multiplied with their temperature.
enum Flags : int32_t {
    kAddTo = 1, kSelected = 2, kShared = 4, kInterleaved = 8, kByColumns = 16, kPairs = 32, kEven = 64, kGrows = 128
};

}  // namespace plugtron
