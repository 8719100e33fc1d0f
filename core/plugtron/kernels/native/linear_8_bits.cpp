// Products with weights of 8 bits.
#include "linear_product.h"

namespace plugtron {

PLUGTRON_MULTIPLY(kInt8, Quantized)
PLUGTRON_MULTIPLY(kInt8F32Scales, Quantized)
PLUGTRON_MULTIPLY(kInt8G16, Quantized)

}  // namespace plugtron
