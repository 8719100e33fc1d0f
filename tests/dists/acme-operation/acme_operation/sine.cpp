// sin(x) · y of every channel.
#include <cmath>

#include "operation.h"

extern "C" void acme_sine(const PlugtronCall* call, long begin, long end) {
    for (long row = begin; row < end; row++) {
        const float* x = call->inputs[0] + row * call->input_strides[0];
        const float* y = call->inputs[1] + row * call->input_strides[1];
        float* to = call->output + row * call->output_stride;
        for (int at = 0; at < call->output_width; at++) to[at] = std::sin(x[at]) * y[at];
    }
}
