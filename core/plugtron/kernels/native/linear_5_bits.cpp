// Products with weights of 5 and 6 bits.
#include "linear_product.h"

namespace plugtron {

PLUGTRON_MULTIPLY(kInt5, Quantized)
PLUGTRON_MULTIPLY(kInt5Minimum, Quantized)
PLUGTRON_MULTIPLY(kInt5Codes, Quantized)
PLUGTRON_MULTIPLY(kInt6Codes, Quantized)

}  // namespace plugtron
