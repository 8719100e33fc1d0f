// Products with weights of any form.
#include "linear.h"

namespace plugtron {

template <int FORMAT, class Operand>
void multiply_as(const Linear& layer, const Operand& x, long first, long rows, float* y, long begin, long end);

void multiply(
    const Linear& layer, const Quantized& x, const Dense& dense, long first, long rows, float* y, long begin,
    long end) {
    switch (layer.format) {
        case kInt4: return multiply_as<kInt4>(layer, x, first, rows, y, begin, end);
        case kInt4F32Scales: return multiply_as<kInt4F32Scales>(layer, x, first, rows, y, begin, end);
        case kInt4Codes: return multiply_as<kInt4Codes>(layer, x, first, rows, y, begin, end);
        case kMxfp4: return multiply_as<kMxfp4>(layer, x, first, rows, y, begin, end);
        case kInt8: return multiply_as<kInt8>(layer, x, first, rows, y, begin, end);
        case kInt8F32Scales: return multiply_as<kInt8F32Scales>(layer, x, first, rows, y, begin, end);
        case kInt8G16: return multiply_as<kInt8G16>(layer, x, first, rows, y, begin, end);
        case kInt5: return multiply_as<kInt5>(layer, x, first, rows, y, begin, end);
        case kInt5Minimum: return multiply_as<kInt5Minimum>(layer, x, first, rows, y, begin, end);
        case kInt5Codes: return multiply_as<kInt5Codes>(layer, x, first, rows, y, begin, end);
        case kInt6Codes: return multiply_as<kInt6Codes>(layer, x, first, rows, y, begin, end);
        case kF32: return multiply_as<kF32>(layer, dense, first, rows, y, begin, end);
        default: return multiply_as<kBf16>(layer, dense, first, rows, y, begin, end);
    }
}

long block_bytes(int32_t format, int inputs) {
    switch (format) {
        case kInt4: return Traits<kInt4>::block_bytes(inputs);
        case kInt4F32Scales: return Traits<kInt4F32Scales>::block_bytes(inputs);
        case kInt4Codes: return Traits<kInt4Codes>::block_bytes(inputs);
        case kMxfp4: return Traits<kMxfp4>::block_bytes(inputs);
        case kInt8: return Traits<kInt8>::block_bytes(inputs);
        case kInt8F32Scales: return Traits<kInt8F32Scales>::block_bytes(inputs);
        case kInt8G16: return Traits<kInt8G16>::block_bytes(inputs);
        case kInt5: return Traits<kInt5>::block_bytes(inputs);
        case kInt5Minimum: return Traits<kInt5Minimum>::block_bytes(inputs);
        case kInt5Codes: return Traits<kInt5Codes>::block_bytes(inputs);
        case kInt6Codes: return Traits<kInt6Codes>::block_bytes(inputs);
        default: return kLanes * static_cast<long>(Dense::padded(inputs)) * (format == kF32 ? 4 : 2);
    }
}

}  // namespace plugtron
