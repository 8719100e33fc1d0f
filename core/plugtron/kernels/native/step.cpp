// A step: a list of operations that a team of threads walks together. What the operations are, plugtron.execution.lowering
// says; their order is a decoder's, and no operation knows a family of models.
//
// Hidden states are float32 throughout, in buffers that the caller owns. Between two operations the threads wait for each
// other.

#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "attend.h"
#include "linear.h"
#include "operand.h"
#include "operation.h"
#include "routing.h"

using namespace plugtron;

namespace {

constexpr int kOperands = 8;
constexpr int kColumns = 512;  // that a thread takes at once where columns are shared out

class Program {
   public:
    Program(const PlugtronOp* ops, int count, const PlugtronRowStep* steps, int step_count, int threads)
        : ops_(ops, ops + count), steps_(steps, steps + step_count), deals_(count * kStages), threads_(threads),
          attention_(threads), registers_(threads) {
        for (const PlugtronOp& op : ops_) {
            for (int at = op.first; at < op.first + op.count; at++) widest_ = std::max(widest_, op.outputs);
            if (op.kind == kRoute) most_chosen_ = std::max(most_chosen_, op.chosen);
            if (op.kind == kRoute) most_experts_ = std::max(most_experts_, op.experts);
            if (op.kind == kExperts && op.flags & kShared) widest_sum_ = std::max(widest_sum_, op.outputs);
            if (op.kind != kLinear && op.kind != kExperts) continue;
            widths_[op.operand] = std::max(widths_[op.operand], op.inputs);
            dense_[op.operand] = dense_[op.operand] || is_dense(op.format);
            of_pairs_[op.operand] = of_pairs_[op.operand] || op.kind == kExperts;
        }
        gather();
    }

    // In a process that was forked from the one that gathered the team, its threads are not there to be waited for.
    ~Program() {
        if (getpid() != process_) team_.release();
    }

    // Carry out operations [begin, end). `partial` is where the last of them leaves what ranks are to sum up, or null where
    // there is but one; `ends`, or null, where to say when each was done, in nanoseconds. `more`: others follow soon.
    void run(
        int begin, int end, const PlugtronLayer* layers, const Tokens& tokens, float* const* buffers, double* partial,
        int64_t* ends, bool more) {
        if (getpid() != process_) gather();
        tokens_ = &tokens;
        layers_ = layers;
        buffers_ = buffers;
        partial_ = partial;
        prepare(begin, end);
        team_->run([this, begin, end, ends](int rank) {
            for (int at = begin; at < end; at++) {
                execute(ops_[at], &deals_[at * kStages], rank);
                team_->barrier();
                if (ends && rank == 0) ends[at] = now();
            }
        }, more);
    }

   private:
    static int64_t now() {
        return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
    }

    void gather() {
        team_.release();
        team_.reset(new Team(threads_));
        process_ = getpid();
    }

    long rows(const PlugtronOp& op) const {
        if (op.flags & kPairs) return routing_.rows();
        return op.flags & kSelected ? tokens_->logit_count : tokens_->count;
    }

    // Make room for what operations write, before the threads begin.
    void prepare(int begin, int end) {
        for (int deal = begin * kStages; deal < end * kStages; deal++) deals_[deal].reset();
        const long most = std::max(tokens_->count, tokens_->logit_count), pairs = most * most_chosen_;
        const long padded = pairs + std::min<long>(pairs, most_experts_) * (kTile - 1);
        for (int at = 0; at < kOperands; at++)
            if (widths_[at]) operands_[at].resize(of_pairs_[at] ? padded : most, widths_[at], dense_[at]);
        expert_sums_.resize(std::max<size_t>(expert_sums_.size(), padded * widest_sum_));
        if (most_chosen_) routing_.resize(most, most_chosen_, most_experts_);
        for (RowRegisters& own : registers_) own.resize(Dense::padded(widest_));
        attention_.begin(*tokens_);
        for (int at = begin; at < end; at++)
            if (ops_[at].kind == kAttend) attention_.prepare(ops_[at], threads_);
    }

    void execute(const PlugtronOp& op, Deal* deals, int rank) {
        switch (op.kind) {
            case kRows: return run_rows(op, rank);
            case kLinear: return linear(op, deals[0], rank);
            case kRotate:
                return attention_.rotate(op, heads(op), layers_[op.layer], deals[0], team_->size());
            case kAttend:
                return attention_.attend(op, heads(op), columns(op.target), layers_[op.layer], deals, *team_, rank);
            case kRoute: return route(op, rank);
            case kExperts: return experts(op, deals[0]);
            case kCombine: return combine_experts(op, rank);
            case kCall: return call(op, rank);
        }
    }

    Columns columns(const PlugtronPlace& place) const {
        return Columns{buffers_[place.buffer] + place.offset, place.stride};
    }

    // A list of row steps over rows of `outputs` columns: whole rows, or, where none of them looks at others' columns,
    // some columns at a time.
    void run_rows(const PlugtronOp& op, int rank) {
        if (!(op.flags & kByColumns)) {
            const Share share(rows(op), rank, team_->size());
            for (long row = share.begin; row < share.end; row++) run_steps(op, rank, row, 0, op.outputs);
            return;
        }
        // `inputs` columns belong together.
        const long unit = op.inputs, units = (op.outputs + unit - 1) / unit, most = std::max<long>(1, kColumns / unit);
        const Share share(rows(op) * units, rank, team_->size());
        for (long item = share.begin; item < share.end;) {
            const long row = item / units, first = item % units;
            const long count = std::min({most, units - first, share.end - item});
            const int column = static_cast<int>(first * unit);
            run_steps(op, rank, row, column, static_cast<int>(std::min(count * unit, op.outputs - first * unit)));
            item += count;
        }
    }

    void run_steps(const PlugtronOp& op, int rank, long row, int column, int count) {
        if (op.flags & kPairs && routing_.token(row) < 0) return;
        RowRegisters& registers = registers_[rank];
        for (int at = op.first; at < op.first + op.count; at++) {
            const PlugtronRowStep& step = steps_[at];
            switch (step.code) {
                case kLoad: {
                    const long from = step.flags & kGather ? gathered(op, row) : row;
                    const float* line = buffers_[step.first] + from * step.stride + step.offset;
                    registers.point(step.target, step.flags & kScalar ? line : line + column);
                    break;
                }
                case kParameter:
                    registers.point(step.target, step.flags & kScalar ? step.weight : step.weight + column);
                    break;
                case kStore:
                    std::copy_n(
                        registers[step.first], count, buffers_[step.target] + row * step.stride + step.offset + column);
                    break;
                case kWeigh: scale(step, registers, count, routing_.strength(row)); break;
                case kPut: put(step, row, column, registers[step.first], count); break;
                default: compute(step, registers, column, count);
            }
        }
    }

    static void scale(const PlugtronRowStep& step, RowRegisters& registers, int count, float factor) {
        const float* from = registers[step.first];
        float* to = registers.fresh(step.target);
        for (int at = 0; at < count; at++) to[at] = from[at] * factor;
    }

    long gathered(const PlugtronOp& op, long row) const {
        if (op.flags & kPairs) return routing_.token(row);
        return tokens_->logit_index ? tokens_->logit_index[row] : row;
    }

    // Make some numbers of a row ready for linear layers; a row's last ones with what pads it.
    void put(const PlugtronRowStep& step, long row, int column, const float* source, int count) {
        if (step.flags & kPutGrouped) {
            const Quantized target = operands_[step.target].quantized(step.width);
            for (int at = 0; at < count; at += kGroup)
                target.put(row, (column + at) / kGroup, load_lane(source + at), load_lane(source + at + kLanes));
        }
        if (step.flags & kPutDense) {
            const Dense target = operands_[step.target].dense(step.width);
            for (int at = 0; at < count; at += kLanes) target.put(row, column + at, load_lane(source + at, count - at));
        }
    }

    Linear linear_of(const PlugtronOp& op) const {
        return Linear{
            op.packed, op.bias, op.inputs, op.outputs, op.format, op.target.stride, op.target.offset,
            (op.flags & kAddTo) != 0, (op.flags & kShared) != 0, partial_};
    }

    void linear(const PlugtronOp& op, Deal& deal, int rank) {
        const Linear layer = linear_of(op);
        const Quantized grouped = operands_[op.operand].quantized(op.inputs);
        const Dense floats = operands_[op.operand].dense(op.inputs);
        deal.out_in_shares(layer.blocks(), rank, team_->size(), [&](long begin, long end) {
            multiply(layer, grouped, floats, 0, rows(op), buffers_[op.target.buffer], begin, end);
        });
    }

    Heads heads(const PlugtronOp& op) const {
        const bool rotates = op.rotary > 0, grows = (op.flags & kGrows) != 0;
        return Heads{
            op.heads, op.kv_heads, op.head_dim, op.rotary, (op.flags & kInterleaved) != 0, columns(op.source),
            columns(op.key), columns(op.value), rotates ? tokens_->tables[2 * op.rotation] : nullptr,
            rotates ? tokens_->tables[2 * op.rotation + 1] : nullptr,
            grows ? tokens_->tables[op.temperature] : nullptr};
    }

    void route(const PlugtronOp& op, int rank) {
        const Share share(tokens_->count, rank, team_->size());
        routing_.choose(op, columns(op.source), share.begin, share.end);
        team_->barrier();
        if (rank == 0) routing_.arrange(op, tokens_->count);
    }

    // Each expert's weights, which lie one after the other, with its own rows; those that nobody chose are not read. Sums
    // that ranks share stay wide until `combine_experts`, so that it makes no difference how many ranks there are.
    void experts(const PlugtronOp& op, Deal& deal) {
        Linear layer = linear_of(op);
        layer.partial = op.flags & kShared ? expert_sums_.data() : nullptr;
        if (layer.partial) layer.stride = op.outputs;
        const Quantized grouped = operands_[op.operand].quantized(op.inputs);
        const Dense floats = operands_[op.operand].dense(op.inputs);
        const long blocks = layer.blocks(), bytes = blocks * block_bytes(op.format, op.inputs);
        const std::vector<int>& active = routing_.active();
        deal.out(active.size() * blocks, team_->size(), [&](long begin, long end) {
            while (begin < end) {
                const int expert = active[begin / blocks];
                const long first = begin % blocks, last = std::min(blocks, first + end - begin);
                Linear own = layer;
                own.packed = op.packed + expert * bytes;
                own.bias = op.bias ? op.bias + expert * op.outputs : nullptr;
                const long row = routing_.begin(expert);
                multiply(
                    own, grouped, floats, row, row + routing_.count(expert), buffers_[op.target.buffer], first, last);
                begin += last - first;
            }
        });
    }

    // Add up what a token's experts have made of it, weighed, in the order in which they were chosen.
    void combine_experts(const PlugtronOp& op, int rank) {
        const Columns target = columns(op.target);
        const Share share(tokens_->count, rank, team_->size());
        std::vector<double> sums(op.outputs);
        for (long t = share.begin; t < share.end; t++) {
            for (int at = 0; at < op.outputs; at++) sums[at] = op.flags & kAddTo ? target.row(t)[at] : 0.0;
            for (int number = 0; number < op.chosen; number++) {
                const double* own = expert_sums_.data() + routing_.row(op, t, number) * op.outputs;
                const double strength = op.flags & kEven ? 1.0 : routing_.strength(op, t, number);
                for (int at = 0; at < op.outputs; at++) sums[at] += own[at] * strength;
            }
            if (partial_)
                std::copy_n(sums.data(), op.outputs, partial_ + t * op.outputs);
            else
                std::copy_n(sums.data(), op.outputs, target.row(t));
        }
    }

    // An operation from outside.
    void call(const PlugtronOp& op, int rank) {
        PlugtronCall own{};
        const PlugtronPlace* places[] = {&op.source, &op.key, &op.value};
        const int widths[] = {op.inputs, op.heads, op.kv_heads};
        for (int at = 0; at < op.chosen; at++) {
            own.inputs[at] = columns(*places[at]).data;
            own.input_strides[at] = places[at]->stride;
            own.input_widths[at] = widths[at];
        }
        own.output = columns(op.target).data;
        own.output_stride = op.target.stride;
        own.output_width = op.outputs;
        const Share share(rows(op), rank, team_->size());
        if (share.begin < share.end) op.function(&own, share.begin, share.end);
    }

    std::vector<PlugtronOp> ops_;
    std::vector<PlugtronRowStep> steps_;
    std::vector<Deal> deals_;  // kStages for each operation, so that none is dealt anew before all have left it
    const int threads_;
    pid_t process_;
    std::unique_ptr<Team> team_;
    StepAttention attention_;
    Routing routing_;
    std::vector<RowRegisters> registers_;
    Operand operands_[kOperands];
    int widths_[kOperands] = {};
    bool dense_[kOperands] = {}, of_pairs_[kOperands] = {};
    std::vector<double> expert_sums_;
    int widest_ = 0, widest_sum_ = 0, most_chosen_ = 0, most_experts_ = 0;
    float* const* buffers_ = nullptr;
    double* partial_ = nullptr;
    const Tokens* tokens_ = nullptr;
    const PlugtronLayer* layers_ = nullptr;
};

}  // namespace

extern "C" {

void* plugtron_program(
    const PlugtronOp* ops, int32_t count, const PlugtronRowStep* steps, int32_t step_count, int32_t threads) {
    return new Program(ops, count, steps, step_count, threads);
}

void plugtron_free(void* program) { delete static_cast<Program*>(program); }

void plugtron_run(
    void* program, int32_t begin, int32_t end, const PlugtronLayer* layers, const Tokens* tokens,
    float* const* buffers, double* partial, int64_t* ends, int32_t more) {
    static_cast<Program*>(program)->run(begin, end, layers, *tokens, buffers, partial, ends, more != 0);
}
}
