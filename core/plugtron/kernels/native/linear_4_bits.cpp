// Products with weights of 4 bits.
#include "linear_product.h"

namespace plugtron {

PLUGTRON_MULTIPLY(kInt4, Quantized)
PLUGTRON_MULTIPLY(kInt4F32Scales, Quantized)
PLUGTRON_MULTIPLY(kInt4Codes, Quantized)
PLUGTRON_MULTIPLY(kMxfp4, Quantized)

}  // namespace plugtron
