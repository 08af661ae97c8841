// Reads an SVG picture of schedules back: a strict little XML reader, and what the picture's boxes say.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace troupe::test {

struct xml_element {
  std::string name;
  std::string parent;
  std::map<std::string, std::string> attributes; ///< values as written
  std::string text;                              ///< directly inside, as written
};

/// All elements in the order in which they begin. Throws unless the text is one well-formed element tree: tags match,
/// attributes are quoted and unique, '<' and '&' stand for nothing else.
class xml_reader {
public:
  explicit xml_reader(std::string text) : text_(std::move(text)) {}

  std::vector<xml_element> read() {
    while (at_ < text_.size()) {
      if (text_[at_] != '<')
        read_text();
      else if (text_.compare(at_, 2, "</") == 0)
        read_end();
      else
        read_start();
    }
    require(open_.empty() && !elements_.empty(), "an end of every element");
    return elements_;
  }

private:
  void require(bool holds, const char* expected) const {
    if (!holds)
      throw std::runtime_error("XML: expected " + std::string(expected) + " before byte " + std::to_string(at_) +
                               ", near: " + text_.substr(at_ < 40 ? 0 : at_ - 40, 80));
  }

  void check_characters(const std::string& part) const {
    static const std::array<std::string, 5> entities{"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (std::size_t i = 0; i < part.size(); ++i) {
      require(part[i] != '<' && (static_cast<unsigned char>(part[i]) >= 0x20 || part[i] == '\n'), "a character");
      bool known = part[i] != '&';
      for (const std::string& entity : entities)
        known = known || part.compare(i, entity.size(), entity) == 0;
      require(known, "an entity");
    }
  }

  void read_text() {
    const std::size_t end = std::min(text_.find('<', at_), text_.size());
    const std::string part = text_.substr(at_, end - at_);
    check_characters(part);
    require(!open_.empty() || part.find_first_not_of('\n') == std::string::npos, "no text outside");
    if (!open_.empty())
      elements_[open_.back()].text += part;
    at_ = end;
  }

  void read_end() {
    const std::size_t end = text_.find('>', at_);
    require(end != std::string::npos && !open_.empty(), "a tag that is open");
    require(text_.substr(at_ + 2, end - at_ - 2) == elements_[open_.back()].name, "the end of the innermost element");
    open_.pop_back();
    at_ = end + 1;
  }

  std::string read_name() {
    const std::size_t end = text_.find_first_of(" =/>\n", at_);
    require(end != std::string::npos && end > at_, "a name");
    std::string name = text_.substr(at_, end - at_);
    at_ = end;
    return name;
  }

  void read_start() {
    require(elements_.empty() || !open_.empty(), "one root");
    ++at_;
    xml_element element;
    element.name = read_name();
    element.parent = open_.empty() ? "" : elements_[open_.back()].name;
    while (text_.compare(at_, 1, " ") == 0) {
      ++at_;
      const std::string name = read_name();
      require(text_.compare(at_, 2, "=\"") == 0, "a quoted value");
      const std::size_t end = text_.find('"', at_ + 2);
      require(end != std::string::npos, "a quote");
      const std::string value = text_.substr(at_ + 2, end - at_ - 2);
      check_characters(value);
      require(element.attributes.emplace(name, value).second, "an attribute once");
      at_ = end + 1;
    }
    const bool empty = text_.compare(at_, 2, "/>") == 0;
    require(empty || text_.compare(at_, 1, ">") == 0, "the end of a tag");
    at_ += empty ? 2 : 1;
    elements_.push_back(element);
    if (!empty)
      open_.push_back(elements_.size() - 1);
  }

  std::string text_;
  std::size_t at_ = 0;
  std::vector<xml_element> elements_;
  std::vector<std::size_t> open_;
};

inline std::vector<xml_element> elements_named(const std::vector<xml_element>& all, const std::string& name,
                                               const std::string& kind = "") {
  std::vector<xml_element> found;
  for (const xml_element& one : all)
    if (one.name == name && (kind.empty() || (one.attributes.contains("class") && one.attributes.at("class") == kind)))
      found.push_back(one);
  return found;
}

struct svg_box {
  std::string kind;    ///< CSS class
  std::string tooltip; ///< "0F0: 0 to 1"
  double x = 0.0;
  double y = 0.0;
  double width = 0.0;
};

/// The boxes of actions: rectangles with a tooltip.
inline std::vector<svg_box> boxes_of(const std::string& svg) {
  const std::vector<xml_element> all = xml_reader(svg).read();
  std::vector<svg_box> boxes;
  for (std::size_t i = 1; i < all.size(); ++i)
    if (all[i].name == "title" && all[i].parent == "rect") {
      const std::map<std::string, std::string>& box = all[i - 1].attributes;
      boxes.push_back(
          {box.at("class"), all[i].text, std::stod(box.at("x")), std::stod(box.at("y")), std::stod(box.at("width"))});
    }
  return boxes;
}

} // namespace troupe::test
