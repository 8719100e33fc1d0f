// Products with weights of floats.
#include "linear_product.h"

namespace plugtron {

PLUGTRON_MULTIPLY(kF32, Dense)
PLUGTRON_MULTIPLY(kBf16, Dense)

}  // namespace plugtron
