#include "compiler/schedule.h"

#include <gtest/gtest.h>

#include "quern/error.h"

namespace quern::compiler {
namespace {

const FieldList kFields{"demo",
                        {{.name = "block", .parts = 3, .fallback = {128, 64, 16}},
                         {.name = "copy", .words = {"register", "async"}, .fallback = {0}},
                         {.name = "stages", .fallback = {2}}}};

std::string message_of(std::string_view text) {
  try {
    parse_schedule(text, kFields);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Schedule, PrintsAllFieldsAndReadsThemBack) {
  Schedule schedule = default_schedule(kFields);
  set(schedule, kFields, "block", 32, 1);
  set(schedule, kFields, "copy", 1);
  EXPECT_EQ(to_string(schedule, kFields), "demo block=128x32x16 copy=async stages=2");
  EXPECT_EQ(parse_schedule(to_string(schedule, kFields), kFields), schedule);
}

TEST(Schedule, FieldsLeftOutTakeTheirDefault) {
  EXPECT_EQ(parse_schedule("demo stages=4", kFields), (Schedule{"demo", {128, 64, 16, 0, 4}}));
  EXPECT_EQ(parse_schedule("demo", kFields), default_schedule(kFields));
}

TEST(Schedule, ErrorsNameTheFieldAndWhatItCouldBe) {
  EXPECT_EQ(message_of("demo size=3"),
            "schedule 'demo': 'size=3' is not a field; write name=value with one of: block, copy, stages");
  EXPECT_EQ(message_of("demo copy=bulk"), "schedule 'demo': copy cannot be 'bulk'; it is one of: register, async");
  EXPECT_EQ(message_of("demo block=4x4"), "schedule 'demo': block takes 3 integers joined by 'x', '4x4' has 2");
  EXPECT_EQ(message_of("demo stages=two"), "schedule 'demo': stages takes integers from 1 to 65536, 'two' is not one");
  EXPECT_EQ(message_of("demo stages=2 stages=2"), "schedule 'demo stages=2 stages=2': stages is given twice");
  EXPECT_EQ(message_of("other stages=2"), "schedule 'other stages=2': expected the strategy 'demo' first");
}

}  // namespace
}  // namespace quern::compiler
