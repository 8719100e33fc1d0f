// What linear layers multiply with their weights, made by the operations before them: rows of int8, of floats, or both.
#pragma once

#include <vector>

#include "activations.h"

namespace plugtron {

class Operand {
   public:
    // Make room for rows of at most `width` numbers.
    void resize(long rows, int width, bool dense) {
        const size_t size = (rows + kTile - 1) / kTile * kTile * static_cast<size_t>(Dense::padded(width));
        if (values_.size() < size) {
            values_.resize(size);
            scales_.resize(size / kGroup + 1);
            offsets_.resize(size / kGroup + 1);
            shifts_.resize(size / kGroup + 1);
            half_shifts_.resize(size / kGroup + 1);
        }
        if (dense && floats_.size() < size) {
            floats_.resize(size);
            brains_.resize(size);
        }
    }

    Quantized quantized(int width) {
        return Quantized{width, values_.data(), scales_.data(), offsets_.data(), shifts_.data(), half_shifts_.data()};
    }

    Dense dense(int width) { return Dense{width, Dense::padded(width), floats_.data(), brains_.data()}; }

   private:
    std::vector<int8_t> values_;
    std::vector<float> scales_, offsets_;
    std::vector<int32_t> shifts_, half_shifts_;
    std::vector<float> floats_;
    std::vector<uint16_t> brains_;
};

}  // namespace plugtron
