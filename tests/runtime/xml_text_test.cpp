#include "runtime/schedule/xml_text.hpp"

#include <catch2/catch.hpp>

using namespace troupe;

TEST_CASE("plain text stays as it is in XML") {
  CHECK(xml_text("1f1b, measured: step 3") == "1f1b, measured: step 3");
  CHECK(xml_text("") == "");
  CHECK(xml_text("\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xad") == "\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xad"); // 2, 3, 4 bytes
}

TEST_CASE("markup becomes entities") {
  CHECK(xml_text("<a b='c\"'>&") == "&lt;a b=&#39;c&quot;&#39;&gt;&amp;");
}

TEST_CASE("what XML does not allow becomes question marks") {
  CHECK(xml_text(std::string("\0\n\x1f\x7f", 4)) == "????");
  CHECK(xml_text("\xc2\x80") == "??");           // a control character of two bytes
  CHECK(xml_text("\xc0\xaf") == "??");           // a longer form of '/'
  CHECK(xml_text("\xe0\x80\xaf") == "???");      // and a still longer one
  CHECK(xml_text("\xed\xa0\x80") == "???");      // half of a surrogate pair
  CHECK(xml_text("\xef\xbf\xbe") == "???");      // U+FFFE
  CHECK(xml_text("\xf4\x90\x80\x80") == "????"); // above U+10FFFF
  CHECK(xml_text("\xe2\x82") == "??");           // cut off
  CHECK(xml_text("\xe2\x82g") == "??g");         // interrupted
}

TEST_CASE("of a text that is too long the end is kept, counted in characters") {
  CHECK(xml_text("0123456789", 10) == "0123456789");
  CHECK(xml_text("0123456789a", 10) == "...456789a");
  CHECK(xml_text("<<<<<<<<<<<", 10) == "...&lt;&lt;&lt;&lt;&lt;&lt;&lt;");
  CHECK(xml_text("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 4) == "...\xc3\xa9");
}
