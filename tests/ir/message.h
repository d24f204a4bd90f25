#pragma once
// What a negative test asserts: the kind and the text of an error.

#include <gtest/gtest.h>

#include <exception>
#include <string>

#include "quern/error.h"

namespace quern::test {

// The text of the quern::Error that `call` throws; a failure where it throws none or another kind.
template <typename Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  } catch (const std::exception& other) {
    ADD_FAILURE() << "not a quern::Error: " << other.what();
    return {};
  }
  ADD_FAILURE() << "no error";
  return {};
}

inline ::testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "no '" << part << "' in:\n" << text;
}

}  // namespace quern::test
