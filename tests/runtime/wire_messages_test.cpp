#include "tests/support/any_message.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/wire_bytes.hpp"

#include <catch2/catch.hpp>

#include <bit>
#include <limits>
#include <memory>
#include <utility>

using namespace troupe;
using namespace troupe::test;

namespace {

/// Calls `check` with a filled message of every kind but assignment, which has its own tests.
template <std::size_t Kind = 0, class Check>
void for_every_kind(const Check& check) {
  if constexpr (Kind < std::variant_size_v<wire_message>) {
    using message = std::variant_alternative_t<Kind, wire_message>;
    if constexpr (!std::is_same_v<message, assignment>) {
      message one;
      if constexpr (std::is_same_v<message, part_written> || std::is_same_v<message, placement>)
        fill(one);
      else
        filler().fill(one);
      check(wire_message(one));
    }
    for_every_kind<Kind + 1>(check);
  }
}

std::vector<float> special_floats() {
  std::vector<float> values;
  for (const std::uint32_t bits : {0x00000000U, 0x80000000U, 0x7f800000U, 0xff800000U, 0x7fc00000U, 0x7f800001U,
                                   0xffc12345U, 0x7fa5a5a5U, 0x00000001U, 0x807fffffU, 0x00800000U, 0x7f7fffffU})
    values.push_back(std::bit_cast<float>(bits));
  return values;
}

tensor tensor_of(const shape& extents, const std::vector<float>& values) {
  tensor_pool pool;
  tensor made = pool.make(extents);
  for (std::int64_t i = 0; i < made.size(); ++i)
    made.data()[i] = values[static_cast<std::size_t>(i) % values.size()];
  return made;
}

wire_message through(const wire_message& message, wire_precision precision = wire_precision::fp32) {
  const auto read = read_all(bytes_of({message}, precision), ample_limits, precision);
  REQUIRE(read.size() == 1);
  return read.front();
}

} // namespace

TEST_CASE("a message of every kind arrives with every field as it was sent") {
  for (const wire_precision precision : {wire_precision::fp32, wire_precision::bf16})
    for_every_kind([&](const wire_message& sent) {
      CAPTURE(name_of(sent));
      CHECK(same(through(sent, precision), sent));
    });
}

TEST_CASE("how far a lost rank has come may be unknown") {
  for (const std::optional<rank_last_words>& told : {std::optional<rank_last_words>(), {rank_last_words{}}}) {
    const wire_message sent = rank_lost{.rank = 1, .cause = "it died", .last_words = told};
    CHECK(same(through(sent), sent));
  }
}

TEST_CASE("the comparison of messages sees a difference in any kind that has fields") {
  for_every_kind([](const wire_message& sent) {
    CAPTURE(name_of(sent));
    wire_message other = sent;
    std::visit(
        [&](auto& one) {
          if constexpr (count_fields<std::remove_cvref_t<decltype(one)>>() > 0) {
            one = {};
            CHECK_FALSE(same(other, sent));
          }
        },
        other);
  });
}

TEST_CASE("messages of a lane arrive in the order in which they were put") {
  std::vector<wire_message> sent;
  for_every_kind([&](const wire_message& one) { sent.push_back(one); });
  const auto read = read_all(bytes_of(sent));
  sent = as_they_arrive(std::move(sent));
  REQUIRE(read.size() == sent.size());
  for (std::size_t i = 0; i < sent.size(); ++i)
    CHECK(same(read[i], sent[i]));
}

TEST_CASE("a message has the name of its type") {
  CHECK(name_of(hello{}) == std::string("hello"));
  CHECK(name_of(heartbeat{}) == std::string("heartbeat"));
  CHECK(name_of(parameter_answer{}) == std::string("parameter_answer"));
  CHECK(name_of(token_message{}) == std::string("token_message"));
  CHECK(name_of(tied_value_message{}) == std::string("tied_value_message"));
  CHECK(name_of(failure_message{}) == std::string("failure_message"));
}

TEST_CASE("an arithmetic fingerprint is described in words") {
  CHECK(describe({"AVX2", "oneDNN 2.6.3", "GCC 12.2.0 for x86-64-v3", 1}) ==
        "AVX2 instructions, oneDNN 2.6.3, built by GCC 12.2.0 for x86-64-v3, 1 thread");
  CHECK(describe({"AVX2", "Eigen", "clang", 4}) == "AVX2 instructions, Eigen, built by clang, 4 threads");
}

TEST_CASE("floats keep all their bits: NaN payloads, signed zeros, infinities, denormals") {
  const tensor values = tensor_of({3, 4}, special_floats());
  CHECK(same(through(carrying<activation_message>(values)), carrying<activation_message>(values)));
  CHECK(
      same(through(carrying<tied_value_message>(values), wire_precision::bf16), carrying<tied_value_message>(values)));
  const auto group = carrying<group_gradient_message>({values, {}, values});
  CHECK(same(through(group, wire_precision::bf16), group));
}

TEST_CASE("doubles keep all their bits") {
  for (const std::uint64_t bits :
       {0ULL, 1ULL << 63, 0x7ff0000000000000ULL, 0xfff0000000000000ULL, 0x7ff8000000000000ULL, 0x7ff0000000000001ULL,
        0xfff123456789abcdULL, 1ULL, 0x800fffffffffffffULL}) {
    const auto value = std::bit_cast<double>(bits);
    CAPTURE(bits);
    loss_message loss;
    loss.loss = value;
    CHECK(same(through(loss), loss));
    CHECK(same(through(clock_answer{value, 1.0}), clock_answer{value, 1.0}));
    step_decision decision;
    decision.gradient_scale = decision.learning_rate = value;
    CHECK(same(through(decision), decision));
    step_report report;
    report.squares = {{1, {value, 2.0, value}}};
    report.usage.busy_seconds = value;
    CHECK(same(through(report), report));
    slice_batch slices;
    slices.slices = {{{1, operation::backward, 2}, value, value}};
    CHECK(same(through(slices), slices));
  }
}

TEST_CASE("bf16 sends activations and gradients in half the bytes, and rounded values lose nothing") {
  std::vector<float> rounded;
  for (std::uint32_t upper = 0; upper <= 0xffff; ++upper) // every bf16 there is
    rounded.push_back(std::bit_cast<float>(upper << 16));
  for (const std::int64_t rows : {1, 3, 1023, 1024, 1025, 65536, 700000}) {
    CAPTURE(rows);
    const tensor values = tensor_of({rows}, rounded);
    CHECK(same(through(carrying<activation_message>(values), wire_precision::bf16),
               carrying<activation_message>(values)));
    CHECK(same(through(carrying<gradient_message>(values), wire_precision::bf16), carrying<gradient_message>(values)));
  }
  const tensor large = tensor_of({1000, 1000}, rounded);
  const auto bytes = [&](wire_precision precision) {
    return bytes_of({carrying<gradient_message>(large)}, precision).size();
  };
  CHECK(bytes(wire_precision::fp32) - bytes(wire_precision::bf16) > 1'999'000);
}

TEST_CASE("bf16 sends the upper half of what is not rounded") {
  const tensor values = tensor_of({2}, {std::bit_cast<float>(0x3f81ffffU), std::bit_cast<float>(0xbf80a000U)});
  const auto read = through(carrying<activation_message>(values), wire_precision::bf16);
  const tensor& got = std::get<activation_message>(read).values;
  CHECK(std::bit_cast<std::uint32_t>(got.data()[0]) == 0x3f810000U);
  CHECK(std::bit_cast<std::uint32_t>(got.data()[1]) == 0xbf800000U);
}

TEST_CASE("ends that disagree on the precision are refused, not misread") {
  const auto sent = carrying<activation_message>(tensor_of({2, 2}, {1.0F}));
  const auto read = [&](wire_precision written, wire_precision expected) {
    return error_text<protocol_error>([&] { read_all(bytes_of({sent}, written), ample_limits, expected); });
  };
  CHECK(read(wire_precision::bf16, wire_precision::fp32) ==
        "wire: found 8 bytes of tensors, expected 16, which is what their shapes need");
  CHECK(read(wire_precision::fp32, wire_precision::bf16) ==
        "wire: found 16 bytes of tensors, expected 8, which is what their shapes need");
}

TEST_CASE("tensors of any shape keep it, empty ones too") {
  for (const shape& extents :
       {shape{1}, shape{0}, shape{2, 0}, shape{0, 3}, shape{2, 3, 4}, shape{2, 1, 3, 2}, shape{1, 0, 1, 5}}) {
    CAPTURE(to_string(extents));
    const auto sent = carrying<tied_value_message>(tensor_of(extents, special_floats()));
    CHECK(same(through(sent), sent));
  }
  CHECK(same(through(tied_value_message{}), tied_value_message{}));
  const auto tokens = std::make_shared<const std::vector<std::int32_t>>();
  CHECK(std::get<token_message>(through(token_message{1, {}, 0, tokens})).tokens->empty());
  CHECK(std::get<target_message>(through(target_message{})).targets->empty());
}

TEST_CASE("tokens keep sign and order") {
  const auto tokens = std::make_shared<const std::vector<std::int32_t>>(std::vector<std::int32_t>{
      0, -1, 1, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()});
  CHECK(*std::get<token_message>(through(token_message{1, {}, 0, tokens}, wire_precision::bf16)).tokens == *tokens);
}

TEST_CASE("a message of many frames arrives whole, with its tensors in order") {
  std::vector<float> numbers(1 << 20);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = static_cast<float>(i);
  layer_part sent{.layer = {.layer = 5, .parameters = {}}, .last = true};
  for (const std::int64_t rows : {700'000, 1, 262'144, 262'143, 0})
    sent.layer.parameters.push_back(
        {"p" + std::to_string(rows), tensor_of({rows}, numbers), {tensor_of({rows / 2}, numbers), {}}});
  CHECK(same(through(sent), sent));
}

TEST_CASE("lists that are too long for a head arrive, too") {
  digest_report report;
  report.layers.resize(3);
  for (int i = 0; i < 30'000; ++i)
    report.layers[1].parameters.push_back({"parameter " + std::to_string(i), {static_cast<std::uint8_t>(i)}, {}});
  CHECK(bytes_of({report}).size() > std::size_t{2} << 20);
  CHECK(same(through(report), report));
  group_gradient_message group;
  for (int i = 0; i < 900; ++i)
    group.values.push_back(tensor_of({1, 1, 1, 1 + i}, special_floats()));
  CHECK(same(through(group), group));
}

TEST_CASE("a text for people is cut at 64 KiB, a name over 1 KiB is refused by the writer") {
  const std::string text(70'000, 'x');
  CHECK(std::get<failure_message>(through(failure_message{error_kind::data, text})).text == text.substr(0, 65'536));
  CHECK(std::get<refusal>(through(refusal{error_kind::data, text})).text.size() == 65'536);
  CHECK(std::get<link_lost>(through(link_lost{1, text})).reason.size() == 65'536);
  CHECK(std::get<parameter_answer>(through(parameter_answer{.problem = text})).problem.size() == 65'536);
  frame_writer writer;
  CHECK_NOTHROW(writer.put(parameter_request{.name = std::string(1024, 'n')}));
  CHECK(error_text<protocol_error>([&] { writer.put(parameter_request{.name = std::string(1025, 'n')}); }) ==
        "wire: found the name of a parameter of 1025 bytes, expected at most 1024");
}

TEST_CASE("text of any bytes arrives") {
  const failure_message sent{error_kind::checkpoint, std::string("caf\xe9 \xff\0 end", 11)};
  CHECK(same(through(sent), sent));
}

TEST_CASE("the writer counts what waits, and holds a tensor only until its bytes are written") {
  frame_writer writer;
  CHECK(writer.empty());
  tensor values = tensor_of({1 << 19}, {1.0F}); // 2 MiB: two frames
  writer.put(carrying<activation_message>(values));
  CHECK_FALSE(values.unique());
  CHECK(writer.waiting_bytes() == 2 << 20);
  std::vector<char> bytes;
  writer.write_next(bytes);
  CHECK(writer.waiting_bytes() == 1 << 20);
  CHECK_FALSE(writer.empty());
  writer.write_next(bytes);
  CHECK(writer.waiting_bytes() == 0);
  CHECK(writer.empty());
  CHECK(values.unique());
}

TEST_CASE("no memory of a received tensor is shared with another") {
  const auto sent = carrying<activation_message>(tensor_of({4}, {1.0F}));
  const auto read = read_all(bytes_of({sent, sent}));
  CHECK(std::get<activation_message>(read[0]).values.data() != std::get<activation_message>(read[1]).values.data());
  CHECK(std::get<activation_message>(read[0]).values.unique());
}
