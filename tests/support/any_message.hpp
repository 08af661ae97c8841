// Messages filled with values that all differ, and their comparison to the bit, field by field. Fields are found by the
// compiler, so that one that is added later is filled and compared without being named here.
#pragma once

#include "runtime/wire/wire_message.hpp"

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace troupe::test {

/// Stands for a value of any field, to count how many a struct has.
struct anything {
  template <class Field>
  operator Field() const; // NOLINT(*-explicit-*): has to be implicit, and is never called
};

template <class Struct, class... Known>
consteval std::size_t count_fields() {
  if constexpr (requires { Struct{Known{}..., anything{}}; })
    return count_fields<Struct, Known..., anything>();
  else
    return sizeof...(Known);
}

/// References to all fields.
template <class Struct>
auto fields_of(Struct& of) {
  constexpr std::size_t count = count_fields<std::remove_const_t<Struct>>();
  static_assert(count <= 12);
  if constexpr (count == 0) {
    return std::tuple<>();
  } else if constexpr (count == 1) {
    auto& [a] = of;
    return std::tie(a);
  } else if constexpr (count == 2) {
    auto& [a, b] = of;
    return std::tie(a, b);
  } else if constexpr (count == 3) {
    auto& [a, b, c] = of;
    return std::tie(a, b, c);
  } else if constexpr (count == 4) {
    auto& [a, b, c, d] = of;
    return std::tie(a, b, c, d);
  } else if constexpr (count == 5) {
    auto& [a, b, c, d, e] = of;
    return std::tie(a, b, c, d, e);
  } else if constexpr (count == 6) {
    auto& [a, b, c, d, e, f] = of;
    return std::tie(a, b, c, d, e, f);
  } else if constexpr (count == 7) {
    auto& [a, b, c, d, e, f, g] = of;
    return std::tie(a, b, c, d, e, f, g);
  } else if constexpr (count == 8) {
    auto& [a, b, c, d, e, f, g, h] = of;
    return std::tie(a, b, c, d, e, f, g, h);
  } else if constexpr (count == 9) {
    auto& [a, b, c, d, e, f, g, h, i] = of;
    return std::tie(a, b, c, d, e, f, g, h, i);
  } else if constexpr (count == 10) {
    auto& [a, b, c, d, e, f, g, h, i, j] = of;
    return std::tie(a, b, c, d, e, f, g, h, i, j);
  } else if constexpr (count == 11) {
    auto& [a, b, c, d, e, f, g, h, i, j, k] = of;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k);
  } else {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l] = of;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l);
  }
}

template <class>
inline constexpr bool is_list = false;
template <class Element>
inline constexpr bool is_list<std::vector<Element>> = true;
template <class Element, std::size_t Size>
inline constexpr bool is_list<std::array<Element, Size>> = true;

template <class>
inline constexpr bool is_optional = false;
template <class Value>
inline constexpr bool is_optional<std::optional<Value>> = true;

/// Gives every field a value of its own; lists get two elements, and nothing that is optional lacks.
class filler {
public:
  template <class Value>
  void fill(Value& value) {
    if constexpr (std::same_as<Value, bool>)
      value = true;
    else if constexpr (std::is_enum_v<Value>)
      value = static_cast<Value>(1);
    else if constexpr (std::is_arithmetic_v<Value>)
      value = static_cast<Value>(next()) + (std::is_floating_point_v<Value> ? static_cast<Value>(0.1) : Value{});
    else if constexpr (std::same_as<Value, std::string>)
      value = "text " + std::to_string(next());
    else if constexpr (std::same_as<Value, tensor>)
      value = new_tensor();
    else if constexpr (std::same_as<Value, token_block>)
      value =
          std::make_shared<const std::vector<std::int32_t>>(std::vector<std::int32_t>{-7, static_cast<int>(next())});
    else if constexpr (is_list<Value>)
      fill_list(value);
    else if constexpr (is_optional<Value>)
      fill(value.emplace());
    else
      std::apply([&](auto&... field) { (fill(field), ...); }, fields_of(value));
  }

private:
  unsigned next() { return ++last_; }

  template <class List>
  void fill_list(List& list) {
    if constexpr (requires { list.resize(2); })
      list.resize(2);
    for (auto& one : list)
      fill(one);
  }

  tensor new_tensor() {
    tensor made = pool_.make({2, static_cast<std::int64_t>(1 + next() % 5)});
    for (float& value : made.values())
      value = std::bit_cast<float>(0x3f810000U + (next() << 16)); // its upper half says it all
    return made;
  }

  unsigned last_ = 0;
  tensor_pool pool_;
};

/// A message with these tensors and nothing else.
template <class Message>
Message carrying(decltype(Message::values) values) {
  Message message;
  message.values = std::move(values);
  return message;
}

/// Files have the names and hashes that they must have.
inline void fill(part_written& part) {
  filler().fill(part);
  for (manifest_layers& one : part.layers) {
    one.weights.name = weights_file_name(one.first, one.last);
    one.optimizer.name = optimizer_file_name(one.first, one.last);
    one.weights.sha256 = std::string(64, 'a');
    one.optimizer.sha256 = std::string(63, '0') + "b";
  }
}

/// Every rank of a placement lives in one place.
inline void fill(placement& where) {
  filler().fill(where);
  where.ranks = {{.life = 3, .replica = 1}, {.life = 1, .replica = 0}, {.life = 2, .replica = 1}};
  where.workers[0].ranks = {1};
  where.workers[1].ranks = {0, 2};
}

inline bool same(const tensor& a, const tensor& b) {
  return a.empty() == b.empty() && a.extents() == b.extents() &&
         (a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0);
}

template <class Value>
bool same(const Value& a, const Value& b) {
  if constexpr (std::same_as<Value, double>) {
    return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
  } else if constexpr (std::is_arithmetic_v<Value> || std::is_enum_v<Value> || std::same_as<Value, std::string> ||
                       std::same_as<Value, run_spec> || std::same_as<Value, schedule>) {
    return a == b;
  } else if constexpr (std::same_as<Value, token_block>) {
    return *a == *b;
  } else if constexpr (is_optional<Value>) {
    return a.has_value() == b.has_value() && (!a || same(*a, *b));
  } else if constexpr (is_list<Value>) {
    bool equal = a.size() == b.size();
    for (std::size_t i = 0; equal && i < a.size(); ++i)
      equal = same(a[i], b[i]);
    return equal;
  } else {
    const auto others = fields_of(b);
    return std::apply(
        [&](const auto&... mine) {
          return std::apply([&](const auto&... its) { return (same(mine, its) && ...); }, others);
        },
        fields_of(a));
  }
}

inline bool same(const wire_message& a, const wire_message& b) {
  return a.index() == b.index() &&
         std::visit([&](const auto& one) { return same(one, std::get<std::remove_cvref_t<decltype(one)>>(b)); }, a);
}

inline bool all_same(const std::vector<wire_message>& a, const std::vector<wire_message>& b) {
  return std::ranges::equal(a, b, [](const wire_message& one, const wire_message& other) { return same(one, other); });
}

} // namespace troupe::test
